"""Numbers as exports spell them: decimal and thousands marks, currency signs, accountants' brackets. Pure."""

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from services.common.money import format_cents, parse_cents

_SPACES = dict.fromkeys(map(ord, "\u00a0\u2007\u2009\u202f"), " ")
_APOSTROPHES = dict.fromkeys(map(ord, "\u2019\u2018"), "'")
_AMOUNT = re.compile(
    r"(?P<open>\()?(?P<before>[^\d.,()]*)(?P<digits>[.,]?\d(?:[\d.,' ]*\d)?[.,]?)(?P<after>[^\d.,()]*)(?P<close>\))?",
    re.ASCII,
)
_MINUS = re.compile("[-−]")
_LONGEST_UNIT = 4


class Parts(NamedTuple):
    """An amount taken apart: `digits` with its marks, and the currency's sign or code in `unit`."""

    negative: bool
    digits: str
    unit: str


class NumberStyle(NamedTuple):
    """The decimal mark of a file's numbers, and the mark between thousands; "" where there is none."""

    decimal: str = "."
    thousands: str = ""

    def number(self, text: str) -> str | None:
        """The number as a plain decimal such as `-1355.9`; None where it is not one in this style."""
        parts = taken_apart(text)
        match = _pattern(self).fullmatch(parts.digits) if parts else None
        if parts is None or match is None or not any(match.groups()):
            return None
        whole, fraction = match[1] or "0", match[2] or ""
        if self.thousands:
            whole = whole.replace(self.thousands, "")
        return f"{'-' if parts.negative else ''}{whole}{'.' if fraction else ''}{fraction}"

    def money(self, text: str) -> str | None:
        """The amount with two places; None where it is none in this style, or not a whole number of cents."""
        number = self.number(text)
        try:
            return None if number is None else format_cents(parse_cents(number))
        except ValueError:
            return None


# The first of equally good ones is taken.
STYLES = tuple(NumberStyle(decimal, thousands) for thousands in ("", ",", ".", " ", "'") for decimal in ".,")
STYLES = tuple(style for style in STYLES if style.decimal != style.thousands)


@lru_cache
def _pattern(style: NumberStyle) -> re.Pattern[str]:
    grouped = rf"\d{{1,3}}(?:{re.escape(style.thousands)}\d{{3}})+|" if style.thousands else ""
    return re.compile(rf"({grouped}\d+)?(?:{re.escape(style.decimal)}(\d*))?", re.ASCII)


@lru_cache(maxsize=4096)
def taken_apart(text: str) -> Parts | None:
    """Sign, digits and unit of an amount; None where the text is none."""
    match = _AMOUNT.fullmatch(text.translate(_SPACES).translate(_APOSTROPHES).strip())
    if match is None or bool(match["open"]) != bool(match["close"]):
        return None
    around = match["before"] + match["after"]
    minus = len(_MINUS.findall(around)) + bool(match["open"])
    unit = re.sub(r"[-−+'\s]", "", around)
    if minus > 1 or not _is_unit(unit):
        return None
    return Parts(minus == 1, match["digits"], unit.upper())


def _is_unit(text: str) -> bool:
    return len(text) <= _LONGEST_UNIT and all(each.isalpha() or unicodedata.category(each) == "Sc" for each in text)


def possible_styles(texts: Iterable[str]) -> list[NumberStyle]:
    """The styles that read most of the numbers, one of each reading: more than one where the texts do not decide."""
    distinct = sorted({text for text in texts if text})
    readings = {style: tuple(style.number(text) for text in distinct) for style in STYLES}
    most = max(len(distinct) - reading.count(None) for reading in readings.values())
    best = {
        reading: style for style, reading in reversed(readings.items()) if len(distinct) - reading.count(None) == most
    }
    return sorted(best.values(), key=STYLES.index)


def units(texts: Iterable[str]) -> set[str]:
    """The currency signs and codes in the amounts."""
    return {parts.unit for text in texts if (parts := taken_apart(text)) and parts.unit}


def undecided(texts: Iterable[str], styles: Iterable[NumberStyle]) -> str:
    """A number that these styles read differently."""
    given = list(styles)
    return next((text for text in texts if len({style.number(text) for style in given}) > 1), "")
