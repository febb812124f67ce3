"""Which rows a run sends: the range asked for, less what the checkpoint says is done. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from services.producer.checkpoint import Checkpoint
from services.producer.source import FileFingerprint

_EDGE = re.compile(r"(\d{1,12})(%?)|", re.ASCII)


class CheckpointMismatch(Exception):
    """The checkpoint of this source was written for another file; the message says what to do."""


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

    def rows(self, total: int) -> tuple[int, int | None]:
        """Start and end row of a file of `total` rows; the end of the whole file stays open."""
        if self.end is None or self.end == Edge(100, percent=True):
            return self.start.row(total), None
        return self.start.row(total), self.end.row(total)


def _edge(match: re.Match[str] | None) -> Edge | None:
    if match is None or match[1] is None:
        return None
    return Edge(int(match[1]), percent=bool(match[2]))


@dataclass(slots=True)
class Plan:
    """Send the rows from `checkpoint.next_row` to `end` (exclusive). `notes` are lines for the person who asked."""

    checkpoint: Checkpoint
    end: int | None
    notes: list[str] = field(default_factory=list)

    @property
    def nothing_to_do(self) -> bool:
        """Whether every row of the range lies before the checkpoint."""
        return self.end is not None and self.end <= self.checkpoint.next_row


def make_plan(
    stored: Checkpoint | None,
    fresh: Checkpoint,
    *,
    current: FileFingerprint | None,
    log_ends: Mapping[int, int],
    rows: tuple[int, int | None],
    restart: bool,
) -> Plan:
    """Decide where to start from the stored checkpoint and what is found now.

    `fresh` names the current file, cluster and topic, at row 1; `current` is the file's fingerprint over the length of
    the stored one; `log_ends` gives the topic's end offset by partition; `rows` is the range asked for, the end
    exclusive. Raises CheckpointMismatch.
    """
    start, end = rows
    plan = Plan(fresh, end)
    if stored is not None:
        _take_over(plan, stored, current, log_ends, restart)
    if restart:
        plan.checkpoint.next_row = min(plan.checkpoint.next_row, start)
    _note_repeats(plan, start)
    if start > plan.checkpoint.next_row:
        _pass_over(plan, start)
    return plan


def _take_over(
    plan: Plan, stored: Checkpoint, current: FileFingerprint | None, log_ends: Mapping[int, int], restart: bool
) -> None:
    if current != stored.fingerprint:
        if not restart:
            raise CheckpointMismatch(
                f"source {stored.source!r} was begun with another file (row {stored.next_row:,} is next): "
                "name this one with --source NAME, or use --restart if only rows not yet sent have changed"
            )
        plan.notes.append("the file has changed: rows that went before under these numbers keep what they said then")
    if (stored.cluster, stored.topic) != (plan.checkpoint.cluster, plan.checkpoint.topic):
        plan.notes.append("the checkpoint is for another Kafka or topic: it is ignored")
    elif lost := [p for p, offset in stored.offsets.items() if log_ends.get(p, 0) <= offset]:
        plan.notes.append(f"the topic ends before what was acknowledged (partitions {lost}): all rows are sent again")
    else:
        plan.checkpoint = msgspec.structs.replace(stored, fingerprint=plan.checkpoint.fingerprint)
        if restart:
            plan.checkpoint.sent = 0
            plan.checkpoint.dead_letters = {}


def _pass_over(plan: Plan, start: int) -> None:
    checkpoint = plan.checkpoint
    passed = (checkpoint.next_row, start)
    plan.notes.append(
        f"rows {passed[0]:,} to {start - 1:,} are passed over: once later rows are sent, they can no longer be sent "
        f"as source {checkpoint.source!r}"
    )
    checkpoint.passed_over = [*checkpoint.passed_over, passed]
    checkpoint.next_row = start


def _note_repeats(plan: Plan, start: int) -> None:
    for first, after in plan.checkpoint.passed_over:
        if first < (plan.end or after) and start < after:
            plan.notes.append(
                f"rows {first:,} to {after - 1:,} were passed over earlier and later ones were sent, so they would be "
                "taken for repeats: send them under another name with --source NAME"
            )
