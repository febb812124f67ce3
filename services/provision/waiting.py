"""Waiting for engines, with a line of progress now and then."""

import time
from collections.abc import Callable

PROGRESS_EVERY_S = 5.0

Say = Callable[[str], None]


class NotInTime(Exception):
    """An engine did not answer in time."""


class Pulse:
    """Says how far long work is, now and then."""

    def __init__(self, say: Say, clock: Callable[[], float] = time.monotonic) -> None:
        self._say = say
        self._clock = clock
        self._said_at = clock()

    def at(self, what: str, done: int, end: int) -> None:
        """Note that work is at `done` of `end`."""
        if self._clock() - self._said_at >= PROGRESS_EVERY_S:
            self._said_at = self._clock()
            self._say(f"{what}: {done:,} of {end:,}")


class Patience:
    """Reports that an engine is waited for, until the time is over."""

    def __init__(self, engine: str, within_s: float, say: Say, clock: Callable[[], float] = time.monotonic) -> None:
        self._engine = engine
        self._within_s = within_s
        self._say = say
        self._clock = clock
        self._since = clock()
        self._said_at = float("-inf")

    def on_wait(self, error: Exception) -> None:
        """Note another failed attempt. Raises NotInTime."""
        now = self._clock()
        waited_s = now - self._since
        if waited_s >= self._within_s:
            raise NotInTime(f"{self._engine} does not answer after {waited_s:.0f} s: {error!r}") from error
        if now - self._said_at >= PROGRESS_EVERY_S:
            self._said_at = now
            self._say(f"waiting for {self._engine}, {waited_s:.0f} of {self._within_s:.0f} s: {error!r}")
