"""Lines of the archive, as ours and as other archivers write them."""

import pytest

from spark.archive import ArchivedRecord, hour_end_ms, read_line

PLAIN = ArchivedRecord(None, None, None, b"")


def envelope(value: str) -> bytes:
    return f'{{"partition":3,"offset":12,"timestamp":1587729039000,{value}}}'.encode()


@pytest.mark.parametrize(
    ("content", "value"),
    [
        ('"value":{"order_id":"9007199254740993","price":1.10}', b'{"order_id":"9007199254740993","price":1.10}'),
        ('"value":"not \\"json\\" \\u00e9"', 'not "json" é'.encode()),
        ('"value":[1,2]', b"[1,2]"),
        ('"value":null', None),
        ('"value":""', b""),
        ('"value_base64":"//4="', b"\xff\xfe"),
    ],
)
def test_an_envelope_gives_the_record_back_byte_for_byte(content: str, value: bytes | None) -> None:
    assert read_line(envelope(content)) == ArchivedRecord(3, 12, 1587729039000, value)


@pytest.mark.parametrize(
    "line",
    [
        b'{"event_time":"2020-04-24 11:50:39 UTC","order_id":"1"}',
        b'{"partition":3,"offset":12,"timestamp":1587729039000,"order_id":"1"}',
        b'{"partition":"3","offset":12,"timestamp":1587729039000,"value":{}}',
        b'{"partition":3,"offset":12,"timestamp":1587729039000,"value_base64":"no base 64"}',
        b"not json",
        b"\xff\xfe",
        b'"text"',
        b"",
        b"[" * 100_000,
    ],
)
def test_any_other_line_is_the_record(line: bytes) -> None:
    assert read_line(line) == PLAIN._replace(value=line)


def test_the_hour_of_an_object_ends_where_its_path_says() -> None:
    path = "s3a://bucket/raw/purchases/2023/11/14/22/purchases-1-2023-11-14-22-13-20.json.gz"
    assert hour_end_ms(path) == 1_700_002_800_000  # 2023-11-14T23:00:00Z


@pytest.mark.parametrize("path", ["s3a://bucket/raw/purchases/some.json", "raw/2023/13/14/22/x", "raw/2023/11/14/x"])
def test_a_path_without_an_hour_tells_no_time(path: str) -> None:
    assert hour_end_ms(path) is None
