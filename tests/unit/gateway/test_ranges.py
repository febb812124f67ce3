"""Which months and days together are a range."""

from collections.abc import Iterable
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from services.gateway.queries.buckets import Range
from services.gateway.queries.ranges import RangeFields, fields_of_range

SHOPS = ZoneInfo("UTC")
BERLIN = ZoneInfo("Europe/Berlin")
FIRST, LAST = "2020-01-05T04:11:08", "2020-04-24T11:50:39"


def ms(text: str, zone: ZoneInfo = SHOPS) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp() * 1000)


def range_fields(start: str | None, end: str | None, zone: ZoneInfo = SHOPS) -> RangeFields:
    wanted = Range(start and ms(start, zone), end and ms(end, zone))  # type: ignore[arg-type]
    return fields_of_range(zone, wanted, ms(FIRST), ms(LAST))


def named(fields: Iterable[str]) -> list[str]:
    """Fields with the start as a date, in UTC, and its hour where that is not midnight."""
    starts = [(field.split(":")[0], datetime.fromtimestamp(int(field.split(":")[1]), UTC)) for field in fields]
    return [f"{kind} {start:%m-%d}" + (f" {start:%H}h" if start.hour else "") for kind, start in starts]


def test_a_whole_month_is_one_field() -> None:
    assert named(range_fields("2020-02-01", "2020-04-01").fields) == ["month 02-01", "month 03-01"]


def test_the_days_of_the_first_and_the_last_month_stand_for_themselves() -> None:
    found = range_fields("2020-02-28", "2020-04-03")
    assert named(found.months) == ["month 03-01"]
    assert [(named([month]), named(days)) for month, days in found.parts] == [
        (["month 02-01"], ["day 02-28", "day 02-29"]),
        (["month 04-01"], ["day 04-01", "day 04-02"]),
    ]


def test_a_day_belongs_to_the_range_in_which_it_starts() -> None:
    assert named(range_fields("2020-03-10T00:00:01", "2020-03-12T00:00:01").fields) == ["day 03-11", "day 03-12"]
    assert range_fields("2020-03-10T00:00:01", "2020-03-10T23:00:00").fields == []


@pytest.mark.parametrize(("start", "end"), [("2021-01-01", None), (None, "2020-01-01"), ("2020-03-01", "2020-03-01")])
def test_where_nothing_was_sold_there_are_no_fields(start: str | None, end: str | None) -> None:
    assert range_fields(start, end).fields == []


def test_an_open_range_ends_with_the_first_and_the_newest_event() -> None:
    found = range_fields(None, None)
    assert named(found.months) == ["month 02-01", "month 03-01"]
    assert named(found.fields)[2:4] == ["day 01-05", "day 01-06"]
    assert named(found.fields)[-1] == "day 04-24"


def test_days_and_months_are_those_of_the_shops_calendar() -> None:
    # Clocks went forward on 29 March.
    assert named(range_fields("2020-03-28", "2020-04-02", BERLIN).fields) == [
        *("day 03-27 23h", "day 03-28 23h", "day 03-29 22h", "day 03-30 22h"),
        "day 03-31 22h",
    ]
    assert named(range_fields("2020-03-01", "2020-04-01", BERLIN).months) == ["month 02-29 23h"]
