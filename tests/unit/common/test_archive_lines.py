"""The lines of the archive give every record back; lines of other archivers are the record."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.archive.lines import ArchivedRecord, archive_line, read_line
from services.common.events import MAX_RECORD_BYTES
from services.common.json_nesting import MAX_NESTING

PLAIN = ArchivedRecord(None, None, None, b"")


def test_an_event_is_embedded_as_it_came() -> None:
    value = b'{"price": 1.50, "order_id":"2294359932054536986"}'
    assert archive_line(3, 12, 1587729039000, value) == (
        b'{"partition":3,"offset":12,"timestamp":1587729039000,"value":' + value + b"}\n"
    )


@pytest.mark.parametrize(
    ("value", "member"),
    [
        (None, b'"value":null'),
        (b"", b'"value":""'),
        (b"null", b'"value":"null"'),
        (b'"text"', b'"value":"\\"text\\""'),
        (b"not json", b'"value":"not json"'),
        (b"17", b'"value":17'),
        (b"[1, 2]", b'"value":[1, 2]'),
        (b"\xff\x00", b'"value_base64":"/wA="'),
        (b'{"a":\n1.0,\r\n"b":"\\n"}', b'"value":{"a":1.0,"b":"\\n"}'),
    ],
)
def test_value(value: bytes | None, member: bytes) -> None:
    assert archive_line(0, 0, 0, value) == b'{"partition":0,"offset":0,"timestamp":0,' + member + b"}\n"


@given(st.none() | st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_any_bytes_come_back(value: bytes | None) -> None:
    line = archive_line(1, 2, 3, value)
    assert line.count(b"\n") == 1
    assert b"\r" not in line
    json.loads(line)
    assert read_line(line[:-1]) == (1, 2, 3, value) or _is_same_json(read_line(line[:-1]).value, value)


def _is_same_json(found: bytes | None, value: bytes | None) -> bool:
    """White space around JSON, and line ends between its tokens, are all that may be lost."""
    return found is not None and value is not None and found == json.dumps(json.loads(value)).encode()


@pytest.mark.parametrize("space", [b" ", b"\n", b"\r\n", b"\t"])
@pytest.mark.parametrize("before", [True, False])
def test_a_record_too_large_by_its_white_space_stays_so(space: bytes, before: bool) -> None:
    """The white space that embedding drops would make a purchase of what the stream has refused."""
    filler = space * MAX_RECORD_BYTES
    value = filler + b'{"a":1}' if before else b'{"a":' + filler + b"1}"
    assert read_line(archive_line(1, 2, 3, value)[:-1]) == (1, 2, 3, value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(json_values, st.sampled_from([None, 0, 2]))
def test_any_json_comes_back(value: object, indent: int | None) -> None:
    sent = json.dumps(value, indent=indent).encode()
    found = read_line(archive_line(1, 2, 3, sent)[:-1]).value
    assert found is not None
    assert json.loads(found) == value


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


@pytest.mark.parametrize("levels", [MAX_NESTING, MAX_NESTING + 1, 900, 5_000])
def test_nesting_of_any_depth_comes_back(levels: int) -> None:
    """Deeper than the contract allows it is text: a reader's stack may bear less than the writer's."""
    value = b"[" * levels + b"]" * levels
    line = archive_line(1, 2, 3, value)
    assert read_line(line[:-1]) == (1, 2, 3, value)
    assert (b'"value":"' in line) == (levels > MAX_NESTING)
