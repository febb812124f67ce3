"""A log written again with its offsets, on a log in memory that gives out offsets as a broker does."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.provision.log_copy import (
    Aborted,
    CannotCopy,
    Committed,
    CopyPlan,
    Filled,
    LogRecord,
    Plain,
    Write,
    filler,
)


def record(offset: int) -> LogRecord:
    return LogRecord(offset, 1_000 + offset, b"key", b"value-%d" % offset)


class Log:
    """What a broker makes of writes: committed records by offset."""

    def __init__(self) -> None:
        self.records: dict[int, LogRecord] = {}
        self.end = 0

    def write(self, writes: Iterable[Write]) -> None:
        for write in writes:
            match write:
                case Plain(records):
                    self._append(records)
                case Committed(records):
                    self._append(records)
                    self.end += 1
                case Aborted(fillers):
                    assert fillers > 0
                    self.end += fillers + 1
                case Filled(fillers):
                    self._append([filler(self.end + n) for n in range(fillers)])

    def _append(self, records: Iterable[LogRecord]) -> None:
        for each in records:
            assert each.offset == self.end
            self.records[self.end] = each
            self.end += 1


@st.composite
def logs(draw: st.DrawFn) -> tuple[int, list[int], int]:
    """Beginning, offsets of records, end: no marker of an empty transaction stands alone at the beginning."""
    begin = draw(st.integers(0, 5))
    gaps = draw(st.lists(st.integers(0, 4), min_size=1, max_size=30))
    offsets, at = [], begin
    for number, gap in enumerate(gaps):
        at += 0 if gap == 1 and not (number or begin) else gap
        offsets.append(at)
        at += 1
    return begin, offsets, at + draw(st.integers(0, 4))


@given(logs(), st.integers(1, 7))
def test_every_record_gets_the_offset_that_it_had(log: tuple[int, list[int], int], fetched: int) -> None:
    begin, offsets, end = log
    plan, copy = CopyPlan(begin, 0), Log()
    copy.write(plan.start())
    for at in range(0, len(offsets), fetched):
        copy.write(plan.add(map(record, offsets[at : at + fetched])))
    copy.write(plan.finish(end))
    assert copy.end == end
    assert {o: r for o, r in copy.records.items() if o >= begin} == {offset: record(offset) for offset in offsets}


@given(st.integers(0, 9), st.integers(0, 9))
def test_a_log_without_records_keeps_its_beginning(reached: int, more: int) -> None:
    plan, copy = CopyPlan(reached + more, reached), Log()
    copy.end = reached
    copy.write([*plan.start(), *plan.finish(reached + more)])
    assert copy.end == reached + more


def test_a_copy_goes_on_where_it_ended() -> None:
    copy = Log()
    for reached, offsets, end in ((0, [0, 1], 3), (3, [3, 6], 7), (7, [9], 10)):
        assert copy.end == reached
        plan = CopyPlan(0, reached)
        copy.write([*plan.start(), *plan.add(map(record, offsets)), *plan.finish(end)])
    assert sorted(copy.records) == [0, 1, 3, 6, 9]
    assert copy.end == 10


def test_the_marker_of_an_empty_transaction_cannot_be_copied_alone() -> None:
    with pytest.raises(CannotCopy, match="offset 5 holds the marker of an empty transaction"):
        list(CopyPlan(0, 5).add([record(6)]))
