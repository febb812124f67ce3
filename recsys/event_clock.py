"""The event clock of one model's live state: the shop's present time, and sales that lie ahead of it.

The rule is that of services/common/event_clock.py.
"""

import heapq
from collections.abc import Iterator

from services.common.event_clock import MAX_AHEAD_MS, NEVER_MS, QUORUM


class EventClock:
    """The watermark is the newest event time, in epoch milliseconds, of those at most a day past the 20th newest.

    Sales that lie further ahead are deferred until the watermark gets there. So a single event of the far future does
    not age everything else, nor count more than it; and the order in which events arrive does not matter in the end.
    """

    def __init__(self) -> None:
        self.watermark_ms = NEVER_MS
        self._horizon_ms = -NEVER_MS  # nothing is ahead while few events are known
        self._latest: list[int] = []  # a heap of the newest times, the oldest of them first
        self._ahead: list[tuple[int, int, float]] = []  # a heap of sales: time, product, weight

    def begin(self, event_time_ms: int) -> None:
        """Start from a trusted time."""
        for _ in range(QUORUM):
            self.observe(event_time_ms)
        self.watermark_ms = max(self.watermark_ms, event_time_ms)

    def observe(self, event_time_ms: int) -> bool:
        """Take in the time of one event; whether deferred sales are due."""
        latest = self._latest
        if len(latest) < QUORUM:
            heapq.heappush(latest, event_time_ms)
            if len(latest) == QUORUM:
                self._horizon_ms = latest[0] + MAX_AHEAD_MS
                self.watermark_ms = max(known_ms for known_ms in latest if known_ms <= self._horizon_ms)
        elif event_time_ms > latest[0]:
            heapq.heapreplace(latest, event_time_ms)
            self._horizon_ms = latest[0] + MAX_AHEAD_MS
        if event_time_ms <= self._horizon_ms:
            self.watermark_ms = max(self.watermark_ms, event_time_ms)
        return bool(self._ahead) and self._ahead[0][0] <= self._horizon_ms

    def defer(self, event_time_ms: int, product: int, weight: float) -> bool:
        """Keep a sale for later if it lies ahead of the horizon; whether it does.

        There are never more than some twenty: with more, the horizon would lie further ahead.
        """
        if event_time_ms <= self._horizon_ms:
            return False
        heapq.heappush(self._ahead, (event_time_ms, product, weight))
        return True

    def due(self) -> Iterator[tuple[int, int, float]]:
        """The deferred sales that the horizon has reached: time, product, weight."""
        while self._ahead and self._ahead[0][0] <= self._horizon_ms:
            sale = heapq.heappop(self._ahead)
            self.watermark_ms = max(self.watermark_ms, sale[0])
            yield sale
