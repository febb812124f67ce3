"""The shop's calendar: which minute, hour, day and month bucket an event belongs to."""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from services.common.tables import Granularity, period_of

_QUARTER_HOUR_MS = 900_000  # every zone's offset and every change of it is a multiple of 15 minutes since 1970


@dataclass(frozen=True, slots=True)
class QuarterHour:
    """The buckets of all events in one quarter of an hour. `hour`, `day` and `month` are counters: (table, field)."""

    hour: tuple[str, str]
    day: tuple[str, str]
    month: tuple[str, str]
    minute_table: str
    day_field: str
    month_field: str


class Calendar:
    """Maps event times to buckets in one time zone. A bucket is named by its start in UTC epoch seconds."""

    def __init__(self, time_zone: str) -> None:
        self._zone = ZoneInfo(time_zone)
        self._cached = lru_cache(maxsize=65_536)(self._buckets)

    def quarter_hour(self, event_ms: int) -> QuarterHour:
        """The buckets of an event's quarter of an hour. `event_ms`: event time in epoch milliseconds."""
        return self._cached(event_ms // _QUARTER_HOUR_MS)

    def minute_tables(self, from_s: int, to_s: int) -> list[str]:
        """The minute tables of the days from that of `from_s` to the one before that of `to_s` (epoch seconds)."""
        day = self._day_start(from_s)
        end = self._day_start(to_s)
        tables = []
        while day < end:
            tables.append(self._table("minute", day))
            # 36 hours on is about noon of the next calendar day, also when clocks change.
            day = self._day_start(int(day.timestamp()) + 36 * 3600)
        return tables

    def _buckets(self, number: int) -> QuarterHour:
        local = datetime.fromtimestamp(number * _QUARTER_HOUR_MS // 1000, UTC).astimezone(self._zone)
        hour = local.replace(minute=0, second=0)
        day = hour.replace(hour=0, fold=0)
        month = day.replace(day=1)
        return QuarterHour(
            hour=(self._table("hour", hour), _start(hour)),
            day=(self._table("day", day), _start(day)),
            month=(self._table("month", month), _start(month)),
            minute_table=self._table("minute", day),
            day_field=f"day:{_start(day)}",
            month_field=f"month:{_start(month)}",
        )

    def _day_start(self, epoch_s: int) -> datetime:
        local = datetime.fromtimestamp(epoch_s, UTC).astimezone(self._zone)
        return local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)

    @staticmethod
    def _table(granularity: Granularity, local_start: datetime) -> str:
        return f"sales:{granularity}:{period_of(granularity, local_start)}"


def _start(local: datetime) -> str:
    return str(int(local.timestamp()))
