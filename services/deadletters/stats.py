"""Counting dead letters by reason, source and day. Pure."""

from collections import Counter
from dataclasses import dataclass, field

from services.deadletters.dead_letter import DeadLetter


@dataclass(slots=True)
class Stats:
    """Counts of dead letters by (reason, source, day). `longest`: the longest run of consecutive rows of a source."""

    groups: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    longest: int = 0
    longest_ends: str = ""
    _runs: dict[str, tuple[int, int]] = field(default_factory=dict)

    def add(self, dead_letter: DeadLetter) -> None:
        """Count one dead letter; those of a source come in the order of their rows."""
        self.groups[dead_letter.reason, dead_letter.source, f"{dead_letter.failed:%Y-%m-%d}"] += 1
        last, run = self._runs.get(dead_letter.source, (-2, 0))
        run = run + 1 if dead_letter.origin.row == last + 1 else 1
        self._runs[dead_letter.source] = (dead_letter.origin.row, run)
        if run > self.longest:
            self.longest, self.longest_ends = run, dead_letter.name
