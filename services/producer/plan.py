"""Which rows a run sends: the range asked for, less what the checkpoint says is done. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from services.producer.checkpoint import Checkpoint
from services.producer.source import FileFingerprint

_EDGE = re.compile(r"(\d{1,12})(%?)|", re.ASCII)


@dataclass(frozen=True, slots=True)
class Edge:
    """One end of a range: a row number or, with `percent`, a share of the file's rows."""

    figure: int
    percent: bool = False

    def row(self, total: int) -> int:
        """The row number at this edge of a file of `total` rows."""
        return total * self.figure // 100 + 1 if self.percent else self.figure


@dataclass(frozen=True, slots=True)
class RowRange:
    """Rows from `start` (inclusive) to `end` (exclusive; None is the end of the file)."""

    start: Edge = Edge(1)
    end: Edge | None = None

    @classmethod
    def parse(cls, text: str) -> "RowRange":
        """A range from `START:END`, each a 1-based row, a percentage such as `90%`, or nothing. Raises ValueError."""
        ends = [_EDGE.fullmatch(part) for part in text.split(":")]
        if len(ends) != 2 or not all(ends):
            raise ValueError(f"{text!r} is not a range of rows: use START:END such as 1:1001, :90% or 90%:")
        start, end = (_edge(match) for match in ends)
        row_range = cls(start or Edge(1), end)
        row_range._check(text)
        return row_range

    def _check(self, text: str) -> None:
        if not self.start.percent and self.start.figure < 1:
            raise ValueError(f"{text!r}: rows are numbered from 1")
        if any(edge.percent and edge.figure > 100 for edge in (self.start, self.end) if edge):
            raise ValueError(f"{text!r}: a percentage is at most 100%")
        if self.end and self.end.percent == self.start.percent and self.end.figure < self.start.figure:
            raise ValueError(f"{text!r} ends before it starts")

    def rows(self, total: int) -> tuple[int, int]:
        """Start and end row of a file of `total` rows."""
        after = total + 1
        end = after if self.end is None else min(self.end.row(total), after)
        return min(self.start.row(total), end), end


def _edge(match: re.Match[str] | None) -> Edge | None:
    if match is None or match[1] is None:
        return None
    return Edge(int(match[1]), percent=bool(match[2]))


@dataclass(slots=True)
class Plan:
    """Send the rows from `checkpoint.next_row` to `end` (exclusive). `notes` are lines for the person who asked."""

    checkpoint: Checkpoint
    end: int
    notes: list[str] = field(default_factory=list)

    @property
    def nothing_to_do(self) -> bool:
        """Whether every row of the range lies before the checkpoint."""
        return self.end <= self.checkpoint.next_row


@dataclass(frozen=True, slots=True)
class Found:
    """What is there now: `fresh` names file, cluster and topic, at row 1; `log_ends` is the topic's end by partition.

    `fingerprint` and `rows_digest` are those of the file up to where the stored checkpoint's end; None without one.
    """

    fresh: Checkpoint
    log_ends: Mapping[int, int]
    fingerprint: FileFingerprint | None = None
    rows_digest: str | None = None


def make_plan(stored: Checkpoint | None, found: Found, rows: tuple[int, int], *, restart: bool) -> Plan:
    """Decide where to start in the range `rows` (the end exclusive) from the stored checkpoint and what is found.

    Whatever is sent again counts once, so a checkpoint that does not fit is ignored: that costs work alone.
    """
    start, end = rows
    plan = Plan(found.fresh, end)
    if stored is not None and not _misfit(plan, stored, found):
        plan.checkpoint = msgspec.structs.replace(stored, fingerprint=found.fresh.fingerprint)
    checkpoint = plan.checkpoint
    if restart or not checkpoint.first_row <= start <= checkpoint.next_row:
        _begin_at(plan, start)
    return plan


def _misfit(plan: Plan, stored: Checkpoint, found: Found) -> bool:
    """Whether the stored checkpoint is of something else; a note says of what."""
    if (stored.cluster, stored.topic) != (found.fresh.cluster, found.fresh.topic):
        plan.notes.append("the checkpoint is for another Kafka or topic: it is ignored")
    elif lost := [p for p, offset in stored.offsets.items() if found.log_ends.get(p, 0) <= offset]:
        plan.notes.append(f"the topic ends before what was acknowledged (partitions {lost}): all rows are sent again")
    elif found.fingerprint != stored.fingerprint or stored.rows_digest not in ("", found.rows_digest):
        plan.notes.append("the checkpoint is of another file under this name: all rows are sent, each line counts once")
    else:
        return False
    return True


def _begin_at(plan: Plan, start: int) -> None:
    """Acknowledge nothing before `start`, which is the first row that this run sends."""
    checkpoint, old = plan.checkpoint, plan.checkpoint.sent_under_old_ids
    if start < old:
        plan.notes.append(
            f"rows {start:,} to {old - 1:,} are not sent again: an earlier version gave them ids of file and row, "
            "so they would count twice"
        )
    checkpoint.first_row = checkpoint.next_row = max(start, old)
    checkpoint.sent = 0
    checkpoint.dead_letters = {}
