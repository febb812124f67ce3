"""What one source of the audit says."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Verdict:
    """Of one source: what is vulnerable, each with its advisories, and why packages could not be asked about."""

    source: str
    packages: int
    vulnerable: Sequence[str] = ()
    unasked: int = 0
    reason: str = ""

    def __str__(self) -> str:
        asked = f"{self.packages - self.unasked} of {self.packages} packages asked about"
        missing = f", {self.unasked} could not be: {self.reason}" if self.unasked else ""
        return f"{self.source:<43} {asked}{missing}; {len(self.vulnerable)} vulnerable"


def last_line(text: str) -> str:
    """Where a program says why it failed."""
    return (text.strip().splitlines() or ["no answer"])[-1]
