"""Each purchase and each dead letter counts once."""

import pytest

from services.aggregator.dedup import count_dead_letters, deduplicate, ids_to_claim, replayed_ids
from services.aggregator.validation import validate
from services.common.dead_letters import FileOrigin, RecordOrigin, dead_letter_headers
from services.common.events import Reason, Rejected
from tests.support.records import FakeRecord, purchase_record


def replay(offset: int, event_id: str) -> FakeRecord:
    value = purchase_record(offset, event_id).value
    assert value is not None
    return FakeRecord(offset, value.replace(b"{", b'{"replay_of":"s:1",', 1))


def kept(events: list[str | None], rows: dict[str, int], owners: dict[str, str] | None = None) -> list[int]:
    lines, _ = validate(purchase_record(offset, event_id) for offset, event_id in enumerate(events))
    return [line.offset for line in deduplicate(lines, rows, owners or {}, "t/0")[0]]


def test_rows_count_once_within_and_across_batches() -> None:
    assert kept(["s:1", "s:2", "s:2", "s:1", "s:3"], {}) == [0, 1, 4]
    assert kept(["s:1", "s:2", "s:3"], {"s": 2}) == [2]
    assert kept(["s:1", "r:1"], {"s": 2}) == [1]


def test_row_zero_counts() -> None:
    assert kept(["s:0", "s:0"], {}) == [0]


def test_the_highest_rows_are_returned() -> None:
    lines, _ = validate([purchase_record(0, "s:4"), purchase_record(1, "s:9"), purchase_record(2, "r:1")])
    assert deduplicate(lines, {"s": 3}, {}, "t/0")[1] == {"s": 9, "r": 1}


def test_lines_without_event_id_always_count() -> None:
    assert kept([None, None], {}) == [0, 1]


def test_an_opaque_id_counts_for_its_owner_only() -> None:
    lines, _ = validate([purchase_record(3, "uuid-a"), purchase_record(4, "uuid-a"), purchase_record(5, "uuid-b")])
    assert ids_to_claim(lines, "t/0") == {"uuid-a": "t/0/3", "uuid-b": "t/0/5"}
    owners = {"uuid-a": "t/0/3", "uuid-b": "t/1/77"}
    assert [line.offset for line in deduplicate(lines, {}, owners, "t/0")[0]] == [3]


def test_replays_claim_their_id_whatever_its_form() -> None:
    lines, _ = validate([replay(0, "s:1"), replay(1, "uuid"), purchase_record(2, "s:2"), purchase_record(3, "other")])
    assert ids_to_claim(lines, "t/0") == {"s:1": "t/0/0", "uuid": "t/0/1", "other": "t/0/3"}
    assert replayed_ids(lines) == {"s:1", "uuid"}


def dead_letter(offset: int, origin: FileOrigin | RecordOrigin | None, reason: Reason = Reason.BAD_PRICE) -> FakeRecord:
    headers = dead_letter_headers(origin, Rejected(reason, "why"), "producer") if origin else []
    return FakeRecord(offset, b"row", headers=headers)


def test_dead_letters_count_each_origin_once() -> None:
    dead_letters = [
        dead_letter(0, FileOrigin("kz.csv", 7)),
        dead_letter(1, FileOrigin("kz.csv", 7)),
        dead_letter(2, FileOrigin("kz.csv", 9), Reason.BAD_TIME),
        dead_letter(3, RecordOrigin("purchases", 2, 7)),
        dead_letter(4, FileOrigin("kz.csv", 8)),
    ]
    reasons, moved = count_dead_letters(dead_letters, {})
    assert dict(reasons) == {"bad_price": 2, "bad_time": 1}
    assert moved == {"kz.csv": 9, "purchases/2": 7}
    assert count_dead_letters(dead_letters, moved)[0].total() == 0


def test_a_dead_letter_without_origin_is_one_of_its_own() -> None:
    assert dict(count_dead_letters([dead_letter(0, None), dead_letter(1, None)], {})[0]) == {"unnamed": 2}


@pytest.mark.parametrize("row", [b"9" * 20, b"9" * 5000, b"-1", b"seven", b"\xff", b""])
def test_a_dead_letter_with_an_unreadable_row_is_one_of_its_own(row: bytes) -> None:
    odd = [FakeRecord(at, b"row", headers=[("source-file", b"kz.csv"), ("source-row", row)]) for at in (0, 1)]
    reasons, moved = count_dead_letters([*odd, dead_letter(2, FileOrigin("kz.csv", 7))], {})
    assert reasons.total() == 3
    assert moved == {"kz.csv": 7}
