"""Lines that did not count, where there are several shards.

An order's entry says that a line has counted, not which record brought it. After a crash the shards may stand at
different marks; records that the order's shard has behind it are then read again, for the other shards. So each shard
lists which of these records did not count. Repeats are rare: mostly the list is empty.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

UNCOUNTED_KEPT = 2000
"""Newest batches with such lines that a shard keeps, by partition."""


@dataclass(slots=True)
class Uncounted:
    """Runs of offsets, ascending: no line of the shard's orders from `firsts[i]` to `lasts[i]` counted.

    `since`: the offset from which the runs are complete.
    """

    firsts: list[int] = field(default_factory=list)
    lasts: list[int] = field(default_factory=list)
    since: int = 0

    def __contains__(self, offset: int) -> bool:
        """Whether the line at this offset did not count."""
        at = bisect_right(self.firsts, offset) - 1
        return at >= 0 and offset <= self.lasts[at]


def uncounted_table(partition: str) -> str:
    """The table of a partition, `<topic>/<partition>`."""
    return f"uncounted:{partition}"


def encode_runs(lines: Iterable[tuple[int, bool]]) -> str:
    """One shard's lines as (offset, whether it counts), ascending → runs such as `5-9 12-12`; empty where all count."""
    runs: list[list[int]] = []
    extend = False
    for offset, counts in lines:
        if not counts and extend:
            runs[-1][1] = offset
        elif not counts:
            runs.append([offset, offset])
        extend = not counts
    return " ".join(f"{first}-{last}" for first, last in runs)


def decode_runs(stored: Sequence[str]) -> Uncounted:
    """The runs of a list as `encode_runs` made its items, oldest first."""
    found = Uncounted()
    for item in stored:
        for run in item.split():
            first, _, last = run.partition("-")
            found.firsts.append(int(first))
            found.lasts.append(int(last))
    if len(stored) >= UNCOUNTED_KEPT:
        found.since = found.firsts[0]
    return found
