"""When rows may go: at once, at a steady rate, or as fast as their event times once passed, compressed.

A pace is pure: from the time it computes what is due; `paced_batches` waits.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from services.producer.rows import Record, RejectedRow

Row = Record | RejectedRow

TICK_S = 0.01  # above a hundred events a second, rows go in groups of a tick
MAX_BEHIND_S = 1.0  # after a pause of the broker the rate goes on; it does not rush to catch up
MAX_WAIT_S = 2.0


class Pace(Protocol):
    """Decides how many of the next rows are due."""

    def due(self, rows: Sequence[Row], now_s: float) -> tuple[int, float]:
        """How many leading rows may go now, and the seconds to wait where none may."""


class MaxPace:
    """Everything at once."""

    def due(self, rows: Sequence[Row], now_s: float) -> tuple[int, float]:
        """All rows."""
        return len(rows), 0.0


class SteadyPace:
    """`rate` rows a second, evenly spread."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._next_s: float | None = None

    def due(self, rows: Sequence[Row], now_s: float) -> tuple[int, float]:
        """The rows whose place in the even spread has come."""
        if self._next_s is None or now_s - self._next_s > MAX_BEHIND_S:
            self._next_s = now_s
        behind = now_s - self._next_s
        if behind < 0:
            return 0, max(-behind, TICK_S if self._rate > 1 / TICK_S else 0)
        count = min(int(behind * self._rate) + 1, len(rows))
        self._next_s += count / self._rate
        return count, 0.0


class ReplayPace:
    """`speed` times as fast as the event times passed.

    Files are not sorted by event time (in real ones a row may be half a year older than the one before), so the
    clock follows the newest event time so far: a row that raises it waits for the difference ÷ speed, and an older
    one goes with its predecessor, as a late event does. No wait is longer than `MAX_WAIT_S`: a hole in the data, or
    one time far ahead, does not stall the replay. Dead letters go with their predecessor too.
    """

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._newest_ms: int | None = None
        self._open_until_s = 0.0

    def due(self, rows: Sequence[Row], now_s: float) -> tuple[int, float]:
        """The leading rows that are older than the clock, or one whose wait has ended."""
        for count, row in enumerate(rows):
            if isinstance(row, Record) and not self._passes(row.event_ms, now_s):
                return count, 0.0 if count else self._open_until_s - now_s
        return len(rows), 0.0

    def _passes(self, event_ms: int, now_s: float) -> bool:
        if self._newest_ms is None:
            self._newest_ms = event_ms
            self._open_until_s = now_s
        if event_ms <= self._newest_ms:
            return now_s >= self._open_until_s
        # Measured from when the one before was due, not from when it went: small delays do not add up.
        due_s = max(self._open_until_s, now_s - MAX_BEHIND_S) + self._wait_s(event_ms - self._newest_ms)
        self._newest_ms = event_ms
        self._open_until_s = due_s
        return now_s >= due_s

    def _wait_s(self, step_ms: int) -> float:
        return min(step_ms / 1000 / self._speed, MAX_WAIT_S)


def parse_rate(text: str) -> Pace:
    """A pace from `max`, `50` (events a second) or `x3600` (times real time). Raises ValueError."""
    if text == "max":
        return MaxPace()
    is_replay = text.startswith("x")
    try:
        figure = float(text[is_replay:])
    except ValueError:
        figure = 0.0
    if not 0 < figure < float("inf"):
        raise ValueError(f"{text!r} is not a rate: use max, events a second such as 50, or x3600 to replay event times")
    return ReplayPace(figure) if is_replay else SteadyPace(figure)


async def paced_batches(rows: Sequence[Row], pace: Pace) -> AsyncIterator[Sequence[Row]]:
    """The rows in order, each batch as soon as it is due."""
    while rows:
        count, wait_s = pace.due(rows, time.monotonic())
        if count:
            yield rows[:count]
            rows = rows[count:]
        else:
            await asyncio.sleep(wait_s)
