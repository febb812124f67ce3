"""The shop's calendar: time buckets (minute, hour, day, month) in one time zone.

A bucket is named by its start in UTC epoch seconds. `Calendar` gives the buckets of an instant, for writing; `periods`
and `day_start` give those of a range, for reading.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from services.common.tables import Granularity, period_of

_QUARTER_HOUR_MS = 900_000  # every zone's offset and every change of it is a multiple of 15 minutes since 1970


@dataclass(frozen=True, slots=True)
class QuarterHour:
    """What all events of one quarter of an hour share. hour, day and month are (table, field) of a time bucket.

    `dates`: the fields of an entity's table that an event of this time changes.
    """

    hour: tuple[str, str]
    day: tuple[str, str]
    month: tuple[str, str]
    minute_table: str
    day_field: str
    month_field: str
    dates: tuple[str, str, str]


class Calendar:
    """Maps event times to buckets in one time zone."""

    def __init__(self, time_zone: str) -> None:
        self._zone = ZoneInfo(time_zone)
        self._cached = lru_cache(maxsize=65_536)(self._quarter_hour)
        self._cached_day = lru_cache(maxsize=4096)(self._day)

    def quarter_hour(self, event_ms: int) -> QuarterHour:
        """The buckets of an event's quarter of an hour."""
        return self._cached(event_ms // _QUARTER_HOUR_MS)

    def minute_tables(self, from_s: int, to_s: int) -> list[str]:
        """The minute tables that lie wholly before the day of `to_s`, from the day of `from_s` on."""
        day, end = local_date(from_s * 1000, self._zone), local_date(to_s * 1000, self._zone)
        return [_table("minute", _midnight(day + timedelta(days=days), self._zone)) for days in range((end - day).days)]

    def _quarter_hour(self, number: int) -> QuarterHour:
        local = datetime.fromtimestamp(number * _QUARTER_HOUR_MS // 1000, self._zone)
        day = self._cached_day(local.date())
        return QuarterHour((_table("hour", local), _start(local.replace(minute=0))), *day)

    def _day(self, day: date) -> tuple[tuple[str, str], tuple[str, str], str, str, str, tuple[str, str, str]]:
        """All of a quarter of an hour but its hour."""
        midnight, first = _midnight(day, self._zone), _midnight(day.replace(day=1), self._zone)
        day_field, month_field = f"day:{_start(midnight)}", f"month:{_start(first)}"
        return (
            (_table("day", midnight), _start(midnight)),
            (_table("month", first), _start(first)),
            _table("minute", midnight),
            day_field,
            month_field,
            ("total", month_field, day_field),
        )


def periods(granularity: Granularity, zone: ZoneInfo, first_ms: int, last_ms: int) -> Iterator[str]:
    """The periods (see `tables.period_of`) from the one of `last_ms` down to the one of `first_ms`."""
    first, last = local_date(first_ms, zone), local_date(last_ms, zone)
    for start in _period_starts(granularity, first, last):
        yield period_of(granularity, _midnight(start, zone))


def _period_starts(granularity: Granularity, first: date, last: date) -> Iterator[date]:
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


def local_date(epoch_ms: int, zone: ZoneInfo) -> date:
    """The day that an instant lies in."""
    return datetime.fromtimestamp(epoch_ms // 1000, zone).date()


def day_start(day: date, zone: ZoneInfo) -> int:
    """The bucket start of a day (and of a month, given its first day)."""
    return int(_midnight(day, zone).timestamp())


def bucket_time(start_s: int, zone: ZoneInfo) -> str:
    """A bucket's start as RFC 3339 in the shop's zone: `2020-04-01T00:00:00+02:00`; `Z` for UTC."""
    return datetime.fromtimestamp(start_s, zone).isoformat().replace("+00:00", "Z")


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=zone)


def _table(granularity: Granularity, local_start: datetime) -> str:
    return f"sales:{granularity}:{period_of(granularity, local_start)}"


def _start(local: datetime) -> str:
    return str(int(local.timestamp()))
