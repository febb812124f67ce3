"""Which records count, and that each line counts once."""

from dataclasses import dataclass, field

import pytest

from services.aggregator.validation import (
    claimed_ids,
    count_dead_letters,
    judge,
    replayed_ids,
    without_repeats,
)
from services.common.dead_letters import FileOrigin, Headers, RecordOrigin, dead_letter_headers
from services.common.events import Reason, Rejected, source_row

NOW = 1_790_000_000_000


@dataclass
class FakeRecord:
    offset: int
    value: bytes | None = b""
    timestamp: int = NOW
    key: bytes | None = None
    headers: Headers = field(default_factory=list)


def purchase(offset: int, event_id: str | None = None) -> FakeRecord:
    identity = f'"event_id":"{event_id}",' if event_id else ""
    return FakeRecord(
        offset,
        f'{{{identity}"event_time":"2020-04-24T11:50:39Z","order_id":"o","product_id":"p","price":"1.00"}}'.encode(),
    )


def replay(offset: int, event_id: str) -> FakeRecord:
    value = purchase(offset, event_id).value
    assert value is not None
    return FakeRecord(offset, value.replace(b"{", b'{"replay_of":"s:1",', 1))


def test_judge_tells_lines_from_refusals_and_keeps_the_order() -> None:
    lines, refusals = judge([purchase(5), FakeRecord(6, b"{"), purchase(8)])
    assert [line.offset for line in lines] == [5, 8]
    assert [(refusal.record.offset, refusal.rejected.reason) for refusal in refusals] == [(6, Reason.NOT_JSON)]


@pytest.mark.parametrize(
    ("event_id", "expected"),
    [
        ("kz.csv:12", ("kz.csv", 12)),
        ("a:b:007", ("a:b", 7)),
        ("kz.csv", None),
        (":12", None),
        ("kz.csv:", None),
        ("kz.csv:-1", None),
        ("kz.csv:1.5", None),
        ("kz.csv:٣", None),
        ("kz.csv:" + "9" * 16, None),
    ],
)
def test_source_and_row(event_id: str, expected: tuple[str, int] | None) -> None:
    assert source_row(event_id) == expected


def kept(events: list[str | None], rows: dict[str, int], owners: dict[str, str] | None = None) -> list[int]:
    lines, _ = judge(purchase(offset, event_id) for offset, event_id in enumerate(events))
    return [line.offset for line in without_repeats(lines, rows, owners or {}, "t/0")[0]]


def test_rows_count_once_within_and_across_batches() -> None:
    assert kept(["s:1", "s:2", "s:2", "s:1", "s:3"], {}) == [0, 1, 4]
    assert kept(["s:1", "s:2", "s:3"], {"s": 2}) == [2]
    assert kept(["s:1", "r:1"], {"s": 2}) == [1]


def test_row_zero_counts() -> None:
    assert kept(["s:0", "s:0"], {}) == [0]


def test_rows_that_move_forward_are_told() -> None:
    lines, _ = judge([purchase(0, "s:4"), purchase(1, "s:9"), purchase(2, "r:1")])
    assert without_repeats(lines, {"s": 3}, {}, "t/0")[1] == {"s": 9, "r": 1}


def test_lines_without_event_id_always_count() -> None:
    assert kept([None, None], {}) == [0, 1]


def test_an_opaque_id_counts_for_its_owner_only() -> None:
    lines, _ = judge([purchase(3, "uuid-a"), purchase(4, "uuid-a"), purchase(5, "uuid-b")])
    assert claimed_ids(lines, "t/0") == {"uuid-a": "t/0/3", "uuid-b": "t/0/5"}
    owners = {"uuid-a": "t/0/3", "uuid-b": "t/1/77"}
    assert [line.offset for line in without_repeats(lines, {}, owners, "t/0")[0]] == [3]


def test_replays_claim_their_id_whatever_its_form() -> None:
    lines, _ = judge([replay(0, "s:1"), replay(1, "uuid"), purchase(2, "s:2"), purchase(3, "other")])
    assert claimed_ids(lines, "t/0") == {"s:1": "t/0/0", "uuid": "t/0/1", "other": "t/0/3"}
    assert replayed_ids(lines) == {"s:1", "uuid"}


def letter(offset: int, origin: FileOrigin | RecordOrigin | None, reason: Reason = Reason.BAD_PRICE) -> FakeRecord:
    headers = dead_letter_headers(origin, Rejected(reason, "why"), "producer") if origin else []
    return FakeRecord(offset, b"row", headers=headers)


def test_dead_letters_count_each_origin_once() -> None:
    letters = [
        letter(0, FileOrigin("kz.csv", 7)),
        letter(1, FileOrigin("kz.csv", 7)),
        letter(2, FileOrigin("kz.csv", 9), Reason.BAD_TIME),
        letter(3, RecordOrigin("purchases", 2, 7)),
        letter(4, FileOrigin("kz.csv", 8)),
    ]
    reasons, moved = count_dead_letters(letters, {})
    assert dict(reasons) == {"bad_price": 2, "bad_time": 1}
    assert moved == {"kz.csv": 9, "purchases/2": 7}
    assert count_dead_letters(letters, moved)[0].total() == 0


def test_a_letter_without_origin_is_one_of_its_own() -> None:
    assert dict(count_dead_letters([letter(0, None), letter(1, None)], {})[0]) == {"unnamed": 2}
