"""Buckets of the shop's calendar, where clocks change and where they don't."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from services.common.calendar import Calendar, day_start, local_date, periods
from services.common.tables import Granularity


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def start(field: str) -> datetime:
    return datetime.fromtimestamp(int(field.rpartition(":")[2]), UTC)


def test_utc_buckets() -> None:
    quarter = Calendar("UTC").quarter_hour(ms("2020-04-24T11:50:39+00:00"))
    assert quarter.hour[0] == "sales:hour:2020-04"
    assert start(quarter.hour[1]) == datetime(2020, 4, 24, 11, tzinfo=UTC)
    assert quarter.day[0] == "sales:day:2020"
    assert start(quarter.day[1]) == datetime(2020, 4, 24, tzinfo=UTC)
    assert quarter.month[0] == "sales:month:all"
    assert start(quarter.month[1]) == datetime(2020, 4, 1, tzinfo=UTC)
    assert quarter.minute_table == "sales:minute:2020-04-24"


@pytest.mark.parametrize(
    ("zone", "moment", "day"),
    [
        ("Europe/Berlin", "2020-03-28T23:30:00+00:00", "2020-03-28T23:00:00+00:00"),  # already the 29th there
        ("Europe/Berlin", "2020-03-29T12:00:00+00:00", "2020-03-28T23:00:00+00:00"),  # the day that has 23 hours
        ("Asia/Kathmandu", "2020-04-24T18:20:00+00:00", "2020-04-24T18:15:00+00:00"),  # UTC+05:45
        ("America/Los_Angeles", "2020-04-24T06:59:59+00:00", "2020-04-23T07:00:00+00:00"),
    ],
)
def test_days_begin_at_local_midnight(zone: str, moment: str, day: str) -> None:
    assert start(Calendar(zone).quarter_hour(ms(moment)).day[1]) == datetime.fromisoformat(day)


def test_the_hour_that_comes_twice_is_two_buckets() -> None:
    calendar = Calendar("Europe/Berlin")
    first = calendar.quarter_hour(ms("2020-10-25T00:30:00+00:00")).hour[1]  # 02:30 in summer time
    second = calendar.quarter_hour(ms("2020-10-25T01:30:00+00:00")).hour[1]  # 02:30 in winter time
    assert int(second) - int(first) == 3600


def test_expired_minute_tables_stop_before_the_floor_s_own_day() -> None:
    calendar = Calendar("Europe/Berlin")
    tables = calendar.minute_tables(ms("2020-10-24T10:00:00+00:00") // 1000, ms("2020-10-27T10:00:00+00:00") // 1000)
    assert tables == ["sales:minute:2020-10-24", "sales:minute:2020-10-25", "sales:minute:2020-10-26"]
    assert calendar.minute_tables(100, 100) == []


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Asia/Kathmandu", "America/Los_Angeles", "Pacific/Apia"])
def test_the_buckets_of_a_range_are_those_of_its_instants(zone: str) -> None:
    calendar, local = Calendar(zone), ZoneInfo(zone)
    for instant in range(ms("2020-03-28T00:00:00+00:00"), ms("2020-03-31T00:00:00+00:00"), 45 * 60 * 1000):
        quarter = calendar.quarter_hour(instant)
        day = local_date(instant, local)
        assert int(quarter.day[1]) == day_start(day, local)
        assert int(quarter.month[1]) == day_start(day.replace(day=1), local)
        tables: dict[Granularity, str] = {
            "day": quarter.day[0],
            "hour": quarter.hour[0],
            "minute": quarter.minute_table,
        }
        for granularity, table in tables.items():
            assert [f"sales:{granularity}:{each}" for each in periods(granularity, local, instant, instant)] == [table]
