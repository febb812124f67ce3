"""Time buckets on the shop's calendar: which hashes hold a range, and how a bucket's start is written."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from services.common.tables import Granularity, period_of


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


def periods(granularity: Granularity, zone: ZoneInfo, first_ms: int, last_ms: int) -> Iterator[str]:
    """The periods (see `tables.period_of`) from the one of `last_ms` down to the one of `first_ms`."""
    first, last = _local_date(first_ms, zone), _local_date(last_ms, zone)
    for start in _starts(granularity, first, last):
        yield period_of(granularity, datetime(start.year, start.month, start.day, tzinfo=zone))


def _starts(granularity: Granularity, first: date, last: date) -> Iterator[date]:
    match granularity:
        case "month":
            if first <= last:
                yield last
        case "day":
            yield from (date(year, 1, 1) for year in range(last.year, first.year - 1, -1))
        case "hour":
            months = range(last.year * 12 + last.month - 1, first.year * 12 + first.month - 2, -1)
            yield from (date(month // 12, month % 12 + 1, 1) for month in months)
        case "minute":
            yield from (last - timedelta(days=days) for days in range((last - first).days + 1))


def _local_date(epoch_ms: int, zone: ZoneInfo) -> date:
    return datetime.fromtimestamp(epoch_ms // 1000, zone).date()


def bucket_time(start_s: int, zone: ZoneInfo) -> str:
    """A bucket's start as RFC 3339 in the shop's zone; `Z` for UTC."""
    return datetime.fromtimestamp(start_s, zone).isoformat().replace("+00:00", "Z")
