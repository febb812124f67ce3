"""Dead letters as a person works with them: fields, identity, filters, counts."""

from typing import Any

import pytest

from services.common.dead_letters import FileOrigin, Origin, RecordOrigin, dead_letter_headers
from services.common.events import Reason, Rejected
from services.deadletters.command import parse_command, parse_when
from services.deadletters.dead_letter import SEED_COLUMNS, DeadLetter, Filter, OriginDeduplicator, read_dead_letter
from services.deadletters.stats import Stats

PLACE = RecordOrigin("purchases.dlq", 1, 5)
ROW = b"1970-01-01 00:33:40 UTC,22,33,44,a.b,acme,1.50,66"


def dead_letter(
    origin: Origin, value: bytes = b"", reason: str = "bad_time", failed_at: int = 0, **more: Any
) -> DeadLetter:
    return DeadLetter(origin, reason, "why", failed_at, "producer", value, **more)


def in_file(row: int, **more: Any) -> DeadLetter:
    return dead_letter(FileOrigin("kz.csv", row), **more)


def in_topic(value: bytes) -> DeadLetter:
    return dead_letter(RecordOrigin("purchases", 0, 3), value)


def test_a_dead_letter_is_read_from_its_record() -> None:
    headers = dead_letter_headers(FileOrigin("kz.csv", 7), Rejected(Reason.BAD_PRICE, "no"), "producer")
    headers = [*headers, ("source-columns", b'price,"a,b"')]
    found = read_dead_letter(PLACE, headers, b"1.234,x", timestamp=9)
    assert (found.name, found.reason, found.detail, found.service) == ("kz.csv:7", "bad_price", "no", "producer")
    assert found.failed_at == int(dict(headers)["failed-at"])
    assert found.event == {"price": "1.234", "a,b": "x"}


def test_a_foreign_dead_letter_is_named_by_its_own_place() -> None:
    found = read_dead_letter(PLACE, [("failed-at", b"soon")], None, timestamp=9)
    assert (found.name, found.reason, found.failed_at, found.value) == ("purchases.dlq/1/5", "unnamed", 9, b"")


def test_a_row_has_the_fields_of_its_columns() -> None:
    assert in_file(1, value=ROW).event == dict(zip(SEED_COLUMNS, ROW.decode().split(","), strict=True))
    quoted = b'"a ""b""\nc",2'
    assert in_file(1, value=quoted, columns=["brand", "price"]).event == {"brand": 'a "b"\nc', "price": "2"}


def test_a_short_row_has_the_fields_that_the_producer_reads() -> None:
    assert in_file(1, value=b"1970-01-01 00:33:40 UTC,22,33,,1.50,66").event == {
        "event_time": "1970-01-01 00:33:40 UTC",
        "order_id": "22",
        "product_id": "33",
        "price": "1.50",
        "user_id": "66",
    }


def test_a_record_has_the_fields_of_its_object_and_no_number_loses_a_digit() -> None:
    value = b'{"price":1234567890.10,"user_id":1515915625441993984,"amount":1e2,"x":NaN}'
    assert in_topic(value).event == {
        "price": "1234567890.10",
        "user_id": 1515915625441993984,
        "amount": "1e2",
        "x": "NaN",
    }


@pytest.mark.parametrize("value", [b"", b"{", b"\xff", b"[1]", b"7", b"[" * 100_000])
def test_what_is_no_object_has_no_fields(value: bytes) -> None:
    assert in_topic(value).event == {}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b'{"event_id":"uuid-1"}', "uuid-1"),
        (b'{"event_id":"shop.csv:17"}', "shop.csv:17"),
        (b'{"event_id":17}', "purchases/0/3:replay"),
        (b'{"event_id":""}', "purchases/0/3:replay"),
        (b"{", "purchases/0/3:replay"),
    ],
)
def test_a_replay_keeps_its_identity_and_else_gets_one_from_its_origin(value: bytes, expected: str) -> None:
    assert in_topic(value).replay_id == expected


def test_the_replay_of_a_row_has_the_rows_identity() -> None:
    assert in_file(17, value=ROW, headers={"source-event-id": "0f_1"}).replay_id == "0f_1"
    assert in_file(17, value=ROW).replay_id == "kz.csv:17:replay", "an earlier version wrote no such header"
    columns = [*SEED_COLUMNS, "event_id"]
    assert in_file(17, value=ROW + b",own", columns=columns).replay_id == "own"


@pytest.mark.parametrize(
    ("wanted", "rows"),
    [
        (Filter(), [1, 2, 3]),
        (Filter(reasons=("bad_time", "bad_row")), [1, 3]),
        (Filter(since=200), [2, 3]),
        (Filter(until=200), [1]),
        (Filter(source="kz.csv"), [1, 2, 3]),
        (Filter(source="kz"), []),
        (Filter(order_id="22"), [2]),
    ],
)
def test_filters(wanted: Filter, rows: list[int]) -> None:
    reasons = ["bad_time", "bad_price", "bad_row"]
    dead_letters = [
        in_file(row, reason=reason, failed_at=100 * row, value=b"t,%d2,p" % row)
        for row, reason in enumerate(reasons, 1)
    ]
    assert [dead_letter.origin.row for dead_letter in dead_letters if wanted.matches(dead_letter)] == rows


@pytest.mark.parametrize("source", ["purchases", "purchases/0"])
def test_a_topic_is_a_source_with_all_its_partitions(source: str) -> None:
    assert Filter(source=source).matches(in_topic(b""))
    assert not Filter(source="purchases/1").matches(in_topic(b""))


def test_each_origin_is_listed_once() -> None:
    once = OriginDeduplicator()
    dead_letters = [in_file(2), in_file(1), in_file(1), in_file(2), in_file(3), in_topic(b"")]
    assert [once.is_new(dead_letter) for dead_letter in dead_letters] == [True, True, False, False, True, True]


def test_files_of_one_name_have_dead_letters_of_their_own() -> None:
    once = OriginDeduplicator()
    assert [once.is_new(in_file(1, value=value)) for value in (b"monday", b"tuesday", b"monday")] == [True, True, False]


def test_counts_by_reason_source_and_day_and_the_longest_run() -> None:
    stats = Stats()
    for row in (3, 4, 5, 9, 10):
        stats.add(in_file(row, failed_at=row * 86_400_000 // 5))
        stats.add(dead_letter(RecordOrigin("purchases", 1, 2 * row), reason="not_json"))
    assert (stats.longest, stats.longest_ends) == (3, "kz.csv:5")
    assert stats.groups == {
        ("bad_time", "kz.csv", "1970-01-01"): 2,
        ("bad_time", "kz.csv", "1970-01-02"): 2,
        ("bad_time", "kz.csv", "1970-01-03"): 1,
        ("not_json", "purchases/1", "1970-01-01"): 5,
    }


def test_moments_are_times_or_so_long_ago() -> None:
    assert parse_when("2020-04-24T11:50:39Z") == 1_587_729_039_000
    assert parse_when("1d") - parse_when("26h") == pytest.approx(7_200_000, abs=1000)
    with pytest.raises(ValueError, match="RFC 3339"):
        parse_when("yesterday")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["list", "--reason", "bad_weather"], "invalid choice: 'bad_weather'"),
        (["list", "--since", "soon"], "'soon' is neither RFC 3339"),
        (["list", "--limit", "-1"], "'-1' is not a number of dead letters"),
        (["repair"], "--with"),
        (["replay"], "say what to send"),
        (["replay", "repaired.jsonl", "--as-is"], "say what to send"),
        (["replay", "repaired.jsonl", "--reason", "bad_time"], "a file is sent whole"),
        (["replay", "repaired.jsonl", "--since", "2h"], "a file is sent whole"),
        (["replay", "repaired.jsonl", "--until", "2h"], "a file is sent whole"),
        (["replay", "repaired.jsonl", "--source", "kz.csv"], "a file is sent whole"),
        (["replay", "repaired.jsonl", "--limit", "5"], "a file is sent whole"),
        ([], "required"),
    ],
)
def test_a_mistake_on_the_command_line_is_told(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        parse_command(arguments)
    assert stopped.value.code == 2
    assert complaint in capsys.readouterr().err


def test_filters_come_from_the_command_line() -> None:
    options = parse_command(["list", "--reason", "bad_time", "--reason", "bad_row", "--until", "2020-04-24T11:50:39Z"])
    assert (options.reason, options.until, options.limit) == (["bad_time", "bad_row"], 1_587_729_039_000, 50)
