"""How a partition's log is written again so that every record gets the offset that it had. Pure.

Markers of transactions and aborted records take offsets and are no records. A broker gives out offsets one after the
other, so the copy needs something in their place that no reader of committed records is given: a committed transaction
takes one offset more than its records, an aborted one takes offsets for nothing else. Offsets before the beginning of
the log are filled with records that are deleted afterwards.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple


class LogRecord(NamedTuple):
    """A record of a log. `timestamp`: the broker's, epoch milliseconds."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


class Plain(NamedTuple):
    """Records that follow each other."""

    records: Sequence[LogRecord]


class Committed(NamedTuple):
    """Records to write in a transaction: its marker takes the offset after them."""

    records: Sequence[LogRecord]

    @property
    def offsets(self) -> int:
        """How many offsets it takes."""
        return len(self.records) + 1


class Aborted(NamedTuple):
    """So many records to write and to abort; the marker takes one offset more."""

    fillers: int

    @property
    def offsets(self) -> int:
        """How many offsets it takes."""
        return self.fillers + 1


class Filled(NamedTuple):
    """So many records before the beginning of the log: they are deleted afterwards."""

    fillers: int


Write = Plain | Committed | Aborted | Filled


class CannotCopy(Exception):
    """The log cannot be written with its offsets; the message says why and what to do."""


class CopyPlan:
    """Turns a log's records into writes. The last record is held back: what follows it decides how it is written."""

    def __init__(self, begin: int, reached: int) -> None:
        """`begin`: the first offset of the log; `reached`: where its copy ends."""
        self._next = reached
        self._held: list[LogRecord] = []
        self._fillers = max(0, begin - reached)
        if self._fillers:
            self._held = [filler(begin - 1)]
            self._next = begin - 1

    def start(self) -> Iterator[Write]:
        """What fills the offsets before the log, but for the last one, which is held back."""
        if self._fillers > 1:
            yield Filled(self._fillers - 1)

    def add(self, records: Iterable[LogRecord]) -> Iterator[Write]:
        """Writes for the next committed records, in offset order. Raises CannotCopy."""
        for record in records:
            yield from self._pass_gap(record.offset)
            self._held.append(record)
        if len(self._held) > 1:
            *ready, last = self._held
            self._held = [last]
            self._next = last.offset
            yield Plain(ready)

    def finish(self, end: int) -> Iterator[Write]:
        """Writes up to the end of the log (exclusive): its last stable offset. Raises CannotCopy."""
        yield from self._pass_gap(end)
        yield from self._release()

    def _pass_gap(self, offset: int) -> Iterator[Write]:
        """Write up to an offset where the log has no records before it."""
        gap = offset - self._next - len(self._held)
        if gap == 1 and self._held:
            yield Committed(self._held)
        elif gap == 1:
            raise CannotCopy(f"offset {self._next} holds the marker of an empty transaction alone")
        elif gap:
            yield from self._release()
            yield Aborted(gap - 1)
        if gap:
            self._next, self._held = offset, []

    def _release(self) -> Iterator[Write]:
        if self._held:
            yield Plain(self._held)
            self._next += len(self._held)
            self._held = []


def filler(offset: int) -> LogRecord:
    """A record that takes an offset, and that no reader will see."""
    return LogRecord(offset, 0, None, b"")
