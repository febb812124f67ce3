"""The shop's present time, from event times alone and robust against single wrong ones. Pure.

The wall clock does not serve, because the data may be of another year, and neither does the newest event time, because
anybody may send one event of today into such a shop. The present is the newest event time among those at most a day
past the twentieth newest. Live tables, recommender and batch job use this rule alike (docs/adr/0066, 0088).
"""

from collections.abc import Iterable
from heapq import nlargest

NEVER_MS = -(2**62)
QUORUM = 20
MAX_AHEAD_MS = 24 * 3_600_000  # as far as the contract lets an event lie past its arrival


def newest(times_ms: Iterable[int]) -> list[int]:
    """The `QUORUM` newest times, or all where there are fewer, newest first: the watermark depends on no other."""
    return nlargest(QUORUM, times_ms)


def watermark_of(times_ms: Iterable[int]) -> int:
    """The present after events of these times, epoch milliseconds; `NEVER_MS` where there is none.

    With fewer than `QUORUM` events, the newest is the present.
    """
    latest = newest(times_ms)
    if len(latest) < QUORUM:
        return max(latest, default=NEVER_MS)
    horizon_ms = latest[-1] + MAX_AHEAD_MS
    return max(time_ms for time_ms in latest if time_ms <= horizon_ms)


class NewestEvents:
    """The newest events that one process knows of. Another may know of newer ones: the present is never too late."""

    def __init__(self) -> None:
        self._latest: list[int] = []

    def begin(self, times_ms: Iterable[int]) -> None:
        """Know of these events alone."""
        self._latest = newest(times_ms)

    def observe(self, times_ms: Iterable[int]) -> None:
        """Know of these as well."""
        self._latest = newest([*self._latest, *times_ms])

    @property
    def oldest_ms(self) -> int:
        """An event that is not newer changes nothing; `NEVER_MS` while fewer than `QUORUM` are known."""
        return self._latest[-1] if len(self._latest) == QUORUM else NEVER_MS

    @property
    def watermark_ms(self) -> int | None:
        """The present; None while fewer than `QUORUM` events are known: one of them could be wrong by years."""
        return watermark_of(self._latest) if len(self._latest) == QUORUM else None
