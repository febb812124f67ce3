"""The range of time buckets that a request asks for."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Range:
    """Bucket starts from `start` (inclusive) to `end` (exclusive), epoch milliseconds; None = open."""

    start: int | None = None
    end: int | None = None

    def holds(self, bucket_s: int) -> bool:
        """Whether a bucket that starts at this second lies within."""
        bucket_ms = bucket_s * 1000
        return (self.start is None or bucket_ms >= self.start) and (self.end is None or bucket_ms < self.end)

    def within(self, first_ms: int, last_ms: int) -> tuple[int, int]:
        """The part of [first_ms, last_ms] that the range covers; empty where first > last."""
        first = first_ms if self.start is None else max(first_ms, self.start)
        last = last_ms if self.end is None else min(last_ms, self.end - 1)
        return first, last
