"""Counting dead letters by reason, source and day. Pure."""

from collections import Counter
from dataclasses import dataclass, field

from services.deadletters.dead_letter import Letter


@dataclass(slots=True)
class Stats:
    """What was counted. `groups`: (reason, source, day) → letters. `longest`: rows refused one after the other."""

    groups: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    longest: int = 0
    longest_ends: str = ""
    _runs: dict[str, tuple[int, int]] = field(default_factory=dict)

    def add(self, letter: Letter) -> None:
        """Count one letter; those of a source come in the order of their rows."""
        self.groups[letter.reason, letter.source, f"{letter.failed:%Y-%m-%d}"] += 1
        last, run = self._runs.get(letter.source, (-2, 0))
        run = run + 1 if letter.origin.row == last + 1 else 1
        self._runs[letter.source] = (letter.origin.row, run)
        if run > self.longest:
            self.longest, self.longest_ends = run, letter.name
