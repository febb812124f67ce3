"""Times as exports write them: order of day and month, twelve hours, offsets, zones. Pure.

Whatever the spelling, a time becomes the seed's `YYYY-MM-DD HH:MM:SS UTC`, so that a line keeps its identity in any
container.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from enum import StrEnum
from functools import lru_cache
from zoneinfo import ZoneInfo

from services.common.times import format_time

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTHS = {name: number for number, name in enumerate(_NAMES, 1)}
_TEXT = re.compile(
    r"""(?:(?P<unix>\d{10}(?:\d{3})?)
    |(?:[A-Za-z]{3,9},\ )?                                              # the day of the week
      (?:(?P<y>\d{4})(?P<mark>[-/.]?)(?P<m>\d{1,2})(?P=mark)(?P<d>\d{1,2})
        |(?P<first>\d{1,2})[-/.](?P<second>\d{1,2})[-/.](?P<year>\d{4}|\d\d)
        |(?P<day>\d{1,2})[-\ .]+(?P<name>[A-Za-z]{3})[A-Za-z]*[-\ .,]+(?P<of>\d{4}|\d\d)
        |(?P<name2>[A-Za-z]{3})[A-Za-z]*\.?\ (?P<day2>\d{1,2}),?\ (?P<of2>\d{4}))
      (?:(?:T|,?\s+(?:at\s+)?)(?P<hour>\d{1,2}):(?P<minute>\d\d)(?::(?P<s>\d\d)(?:[.,](?P<fraction>\d{1,9}))?)?
        (?:\s*(?P<half>[AaPp])\.?[Mm]\.?)?)?
      \s*(?P<zone>Z|z|UTC|GMT|[-+]\d\d(?::?\d\d)?)?)""",
    re.ASCII | re.VERBOSE,
)
# How Rails names the zones of the United States; Square writes them so.
_ZONE_NAMES = {
    "eastern time (us & canada)": "America/New_York",
    "central time (us & canada)": "America/Chicago",
    "mountain time (us & canada)": "America/Denver",
    "pacific time (us & canada)": "America/Los_Angeles",
    "arizona": "America/Phoenix",
    "alaska": "America/Anchorage",
    "hawaii": "Pacific/Honolulu",
    "london": "Europe/London",
    "edinburgh": "Europe/London",
    "dublin": "Europe/Dublin",
}


class DateOrder(StrEnum):
    """What the numbers of a date such as 03/04/2024 are. A date that begins with four digits begins with the year."""

    YEAR_FIRST = "year-first"
    DAY_FIRST = "day-first"
    MONTH_FIRST = "month-first"


def seed_time(text: str, order: DateOrder, zone: str) -> str | None:
    """The time in the seed's spelling; None where it is none. `zone` is that of times that name none."""
    epoch_ms = epoch_millis(text, order, zone)
    if epoch_ms is None:
        return None
    if epoch_ms % 1000:
        return format_time(epoch_ms)
    return datetime.fromtimestamp(epoch_ms // 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


@lru_cache(maxsize=65536)
def epoch_millis(text: str, order: DateOrder, zone: str) -> int | None:
    """Epoch milliseconds of a time; None where it is none. Of an hour that comes twice, the first is meant."""
    match = _TEXT.fullmatch(text.strip())
    if match is None:
        return None
    if match["unix"]:
        return int(match["unix"].ljust(13, "0"))
    date = _date(match, order)
    if date is None:
        return None
    try:
        instant = datetime(*date, *_time_of_day(match), tzinfo=_zone(match["zone"], zone))
        return (instant - _EPOCH) // timedelta(milliseconds=1)
    except (ValueError, OverflowError):
        return None


def zone_name(text: str) -> str | None:
    """The IANA name of a zone, as IANA or Rails name it; None where it is unknown."""
    name = _ZONE_NAMES.get(text.strip().lower(), text.strip())
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return None
    return name


def names_zone(text: str) -> bool:
    """Whether a time says by itself which instant it is."""
    match = _TEXT.fullmatch(text.strip())
    return bool(match and (match["zone"] or match["unix"]))


def has_time_of_day(text: str) -> bool:
    """Whether there is more than a date."""
    match = _TEXT.fullmatch(text.strip())
    return bool(match and (match["hour"] or match["unix"]))


def possible_orders(texts: Iterable[str]) -> list[DateOrder]:
    """The orders that read most of a file's dates: both where the dates do not decide, or contradict each other."""
    distinct = set(texts)
    by_year, by_day, by_month = (
        {text for text in distinct if epoch_millis(text, order, "UTC") is not None} for order in DateOrder
    )
    if by_year == by_day | by_month:
        return [DateOrder.YEAR_FIRST]
    if by_day > by_month:
        return [DateOrder.DAY_FIRST]
    return [DateOrder.MONTH_FIRST] if by_month > by_day else [DateOrder.DAY_FIRST, DateOrder.MONTH_FIRST]


def undecided(texts: Iterable[str]) -> str:
    """A date that is another one if the month comes first."""
    return next(
        (text for text in texts if epoch_millis(text, DateOrder.YEAR_FIRST, "UTC") is None and _is_date(text)), ""
    )


def _is_date(text: str) -> bool:
    return any(epoch_millis(text, order, "UTC") is not None for order in DateOrder)


def _date(match: re.Match[str], order: DateOrder) -> tuple[int, int, int] | None:
    """Year, month and day."""
    if match["y"]:
        return int(match["y"]), int(match["m"]), int(match["d"])
    if name := match["name"] or match["name2"]:
        month = _MONTHS.get(name.lower(), 0)  # 0 is no month: the date is refused
        return _year(match["of"] or match["of2"]), month, int(match["day"] or match["day2"])
    if order is DateOrder.YEAR_FIRST:
        return None
    first, second = int(match["first"]), int(match["second"])
    day, month = (first, second) if order is DateOrder.DAY_FIRST else (second, first)
    return _year(match["year"]), month, day


def _year(text: str) -> int:
    return int(text) if len(text) == 4 else 2000 + int(text)


def _time_of_day(match: re.Match[str]) -> tuple[int, int, int, int]:
    """Hour, minute, second, microsecond. Raises ValueError."""
    hour = int(match["hour"] or 0)
    if half := (match["half"] or "").lower():
        if not 1 <= hour <= 12:
            raise ValueError("no hour of twelve")
        hour = hour % 12 + 12 * (half == "p")
    return hour, int(match["minute"] or 0), int(match["s"] or 0), int((match["fraction"] or "0")[:6].ljust(6, "0"))


def _zone(text: str | None, otherwise: str) -> tzinfo:
    if not text:
        return ZoneInfo(otherwise)
    if text[0] not in "+-":
        return UTC
    digits = text[1:].replace(":", "").ljust(4, "0")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(-offset if text[0] == "-" else offset)
