"""How far the figures are behind the log, partition by partition: in records and in seconds.

It compares Kafka's ends with Redis's marks. Neither needs an aggregator, so one that is dead or stuck is seen as well.
"""

import time
from collections import deque
from collections.abc import Callable, Mapping
from itertools import islice

from services.common.metrics import GATEWAY_LAG_RECORDS, GATEWAY_LAG_SECONDS, GATEWAY_STALLED_SECONDS

# Ends that are remembered by partition: an even number. Of one more, every second one is dropped, but neither the first
# nor the last: times become coarser.
_ENDS_KEPT = 600


class PartitionLag:
    """The lag of one partition. Times are seconds on any monotonic clock."""

    def __init__(self, applied: int, now: float) -> None:
        self._applied = applied
        self._moved_at = now
        self._end = applied
        # When an end was first seen, and the end; only those past the applied offset.
        self._waiting: deque[tuple[float, int]] = deque()

    def applied_to(self, offset: int, now: float) -> None:
        """Everything before the offset is in the figures."""
        if offset != self._applied:
            self._applied, self._moved_at = offset, now
            if not self._waiting and offset < self._end:  # Redis was restored from a snapshot
                self._waiting.append((now, self._end))
        while self._waiting and self._waiting[0][1] <= offset:
            self._waiting.popleft()

    def appended_to(self, end: int, now: float) -> None:
        """The log ends there."""
        if end < self._end:  # another topic of the same name
            self._waiting.clear()
        if end != self._end and end > self._applied:
            self._waiting.append((now, end))
        self._end = end
        if len(self._waiting) > _ENDS_KEPT:
            self._waiting = deque(islice(self._waiting, 0, None, 2))

    @property
    def records(self) -> int:
        """Records that wait."""
        return max(0, self._end - self._applied)

    def seconds(self, now: float) -> float:
        """For how long the oldest of them has been waiting; 0 where none does."""
        return now - self._waiting[0][0] if self._waiting else 0.0

    def stalled_seconds(self, now: float) -> float:
        """For how long nothing was applied although records wait."""
        return min(self.seconds(now), now - self._moved_at)


class LagTracker:
    """The lag of every partition, as metrics."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._partitions: dict[int, PartitionLag] = {}

    def applied(self, offsets: Mapping[int, int]) -> None:
        """The applied offset of each partition, as Redis has them."""
        now = self._clock()
        for partition, offset in offsets.items():
            self._partitions.setdefault(partition, PartitionLag(offset, now)).applied_to(offset, now)

    def appended(self, ends: Mapping[int, int]) -> None:
        """The end of each partition, as Kafka has them. One whose applied offset was never read is left out."""
        now = self._clock()
        for partition, end in ends.items():
            if (lag := self._partitions.get(partition)) is not None:
                lag.appended_to(end, now)

    def report(self) -> None:
        """Set the metrics. While neither side answers, times go on from what was seen last."""
        now = self._clock()
        for partition, lag in self._partitions.items():
            GATEWAY_LAG_RECORDS.labels(str(partition)).set(lag.records)
            GATEWAY_LAG_SECONDS.labels(str(partition)).set(lag.seconds(now))
            GATEWAY_STALLED_SECONDS.labels(str(partition)).set(lag.stalled_seconds(now))
