"""Each purchase and each dead letter counts once."""

import pytest

from services.aggregator import dedup
from services.aggregator.dedup import count_dead_letters, judge
from services.aggregator.order_counts import KnownOrder
from services.aggregator.validation import changed_orders, in_offset_order, validate
from services.common.dead_letters import EVENT_ID_HEADER, FileOrigin, RecordOrigin, dead_letter_headers
from services.common.events import Reason, Rejected
from tests.support.records import FakeRecord, purchase_record


def judged(events: list[str | None], order: KnownOrder | None = None) -> tuple[list[int], list[int], list[int]]:
    """Offsets of the lines of one order that count, that are repeats, and whose order has changed."""
    lines, _ = validate(purchase_record(offset, event_id) for offset, event_id in enumerate(events))
    verdicts = judge(lines, {"o": order or KnownOrder()})
    counted, repeats, changed = (
        [line.offset for line in found] for found in (verdicts.counted, verdicts.repeats, verdicts.changed)
    )
    return counted, repeats, changed


def test_a_line_counts_once_within_and_across_batches() -> None:
    order = KnownOrder()
    assert judged(["s:2", "s:1", "s:2", "uuid"], order) == ([0, 1, 3], [2], [])
    assert judged(["uuid", "s:3"], order) == ([1], [0], [])


def test_lines_without_event_id_always_count() -> None:
    assert judged([None, None]) == ([0, 1], [], [])


def test_what_a_shard_has_behind_it_is_not_decided_again() -> None:
    lines, _ = validate(purchase_record(offset, event_id) for offset, event_id in enumerate("abab"))
    verdicts = judge(
        lines, {"o": KnownOrder(tokens={lines[0].tokens[0]})}, lambda line: {0: True, 1: False}.get(line.offset)
    )
    assert [line.offset for line in verdicts.counted] == [0, 3]
    assert [line.offset for line in verdicts.repeats] == [1, 2]


def test_a_line_of_a_changed_order_becomes_a_dead_letter_in_its_place() -> None:
    line = purchase_record(4, "a").value
    assert line is not None
    records = [
        FakeRecord(n, line.replace(b"{", b'{"order_digest":"%016x",' % digest, 1)) for n, digest in ((4, 1), (6, 2))
    ]
    lines, _ = validate(records)
    order = KnownOrder(digest=bytes(7) + b"\2")
    verdicts = judge(lines, {"o": order})
    assert [line.offset for line in verdicts.changed] == [4]
    (dead,) = changed_orders(records, verdicts.changed)
    assert (dead.record.offset, dead.rejection.reason) == (4, Reason.ORDER_CHANGED)
    assert [each.record.offset for each in in_offset_order([*changed_orders(records, lines[1:]), dead])] == [4, 6]


def dead_letter(
    offset: int, origin: FileOrigin | RecordOrigin | None, reason: Reason = Reason.BAD_PRICE, value: bytes = b"row"
) -> FakeRecord:
    headers = dead_letter_headers(origin, Rejected(reason, "why"), "producer") if origin else []
    return FakeRecord(offset, value, headers=headers)


def rejected_row(file: str, row: int, event_id: str, value: bytes) -> FakeRecord:
    found = dead_letter(0, FileOrigin(file, row), value=value)
    return FakeRecord(0, value, headers=[*found.headers, (EVENT_ID_HEADER, event_id.encode())])


def test_dead_letters_count_each_origin_once() -> None:
    dead_letters = [
        dead_letter(0, FileOrigin("kz.csv", 7)),
        dead_letter(1, FileOrigin("kz.csv", 7)),
        dead_letter(2, FileOrigin("kz.csv", 9), Reason.BAD_TIME),
        dead_letter(3, RecordOrigin("purchases", 2, 7)),
        dead_letter(4, RecordOrigin("purchases", 2, 7)),
        dead_letter(5, FileOrigin("kz.csv", 8)),
    ]
    counted = count_dead_letters(dead_letters, {})
    assert dict(counted.reasons) == {"bad_price": 3, "bad_time": 1}
    assert counted.rows == {"purchases/2": 7}
    again = count_dead_letters(dead_letters, counted.rows, counted.file_rows, len(counted.file_rows))
    assert again.reasons.total() == 0


def test_a_rejected_row_counts_once_whatever_its_file_is_called_and_wherever_it_stands() -> None:
    rows = [rejected_row("orders.csv", 5, "a_1", b"x"), rejected_row("again.csv", 90, "a_1", b"x")]
    assert count_dead_letters(rows, {}).reasons.total() == 1
    equal = [rejected_row("orders.csv", 5, "a_1", b"x"), rejected_row("orders.csv", 6, "a_2", b"x")]
    assert count_dead_letters(equal, {}).reasons.total() == 2


def test_the_next_file_of_a_name_has_rejected_rows_of_its_own() -> None:
    monday = count_dead_letters([rejected_row("orders.csv", 90, "a_1", b"x"), dead_letter(1, FileOrigin("f", 9))], {})
    tuesday = [rejected_row("orders.csv", 5, "b_1", b"y"), dead_letter(1, FileOrigin("f", 9), value=b"other")]
    assert count_dead_letters(tuesday, monday.rows, monday.file_rows).reasons.total() == 2


def test_nobody_silences_the_rejected_rows_of_a_file() -> None:
    poison = dead_letter(0, FileOrigin("kz.csv", 10**14))
    assert count_dead_letters([poison, dead_letter(1, FileOrigin("kz.csv", 1))], {}).reasons.total() == 2


def test_a_dead_letter_without_origin_is_one_of_its_own() -> None:
    assert dict(count_dead_letters([dead_letter(0, None), dead_letter(1, None)], {}).reasons) == {"unnamed": 2}


@pytest.mark.parametrize("row", [b"9" * 20, b"9" * 5000, b"-1", b"seven", b"\xff", b""])
def test_a_dead_letter_with_an_unreadable_row_is_one_of_its_own(row: bytes) -> None:
    odd = [FakeRecord(at, b"row", headers=[("source-file", b"kz.csv"), ("source-row", row)]) for at in (0, 1)]
    counted = count_dead_letters([*odd, dead_letter(2, FileOrigin("kz.csv", 7))], {})
    assert counted.reasons.total() == 3
    assert len(counted.file_rows) == 1


def test_what_is_beyond_the_budgets_counts_without_being_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dedup, "MAX_SOURCES", 2)
    monkeypatch.setattr(dedup, "MAX_ROWS", 3)
    records = [dead_letter(n, RecordOrigin(source, 0, 1)) for n, source in enumerate("aabbccc")]
    counted = count_dead_letters(records, {})
    assert (counted.reasons.total(), counted.rows) == (2 + 3, {"a/0": 1, "b/0": 1})
    rows = [dead_letter(n, FileOrigin(file, 1)) for n, file in enumerate("aabbccc")]
    counted = count_dead_letters(rows, {}, (), kept=1)
    assert (counted.reasons.total(), len(counted.file_rows)) == (2 + 3, 2)
