"""What an attempt led to."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bench.attack.shop import Shop


@dataclass(frozen=True, slots=True)
class Outcome:
    """`held`: the attacker got nothing. `what` happened, for people."""

    held: bool
    what: str


Attempt = Callable[[Shop], Outcome]
Attempts = Mapping[str, Attempt]


def refused(found: list[int], expected: frozenset[int]) -> Outcome:
    """Held where all answers, and at least one, are among the expected."""
    shown = ", ".join(map(str, found)) or "no answer: the connection ended"
    return Outcome(bool(found) and set(found) <= expected, shown)
