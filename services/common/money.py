"""Money is an integer of cents inside Tillstream and a decimal string with two places outside.

No float takes part: a JSON number reaches `parse_cents` as the text that stood in the message.
"""

import re

MAX_UNIT_PRICE_CENTS = 999_999_999  # 9,999,999.99
_DECIMAL = re.compile(r"(-?)(\d{1,15})(?:\.(\d{1,}))?", re.ASCII)
# Spellings with the same certain meaning: a spreadsheet's apostrophe, any sign, `.99` and `12.`.
_SPELLED = re.compile(r"'?([-+\u2212]?)(?=\.?[0-9])([0-9]{0,15})(?:\.([0-9]*))?")
_INVISIBLE = "\u200b\ufeff"
_EXPONENT = re.compile(r"(-?)(\d{1,20})(?:\.(\d{1,20}))?[eE]([+-]?\d{1,2})", re.ASCII)


def parse_cents(text: str) -> int:
    """Cents of a decimal such as `12`, `12.5`, `-0.10`, `12.500`, `.99`, `+5` or a spreadsheet's `'-10.00`.

    Space around it does not matter. Raises ValueError for an exponent, NaN, thousands separators, more than 15 whole
    digits, or a fraction of a cent.
    """
    negative, whole, fraction = _digits(text)
    cents = whole * 100
    if fraction:
        if fraction[2:].strip("0"):
            raise ValueError(f"{text[:40]!r} is not a whole number of cents")
        cents += int(fraction[:2].ljust(2, "0"))
    return -cents if negative else cents


def parse_whole(text: str) -> int:
    """A whole number, in the same spellings as an amount: `2`, `-1`, `2.0`. Raises ValueError."""
    negative, whole, fraction = _digits(text)
    if fraction.strip("0"):
        raise ValueError(f"{text[:40]!r} is not a whole number")
    return -whole if negative else whole


def _digits(text: str) -> tuple[bool, int, str]:
    """Whether a decimal is negative, its whole part and the digits of its fraction. Raises ValueError."""
    match = _DECIMAL.fullmatch(text) or _SPELLED.fullmatch(text.strip().strip(_INVISIBLE).strip())
    if match is None:
        raise ValueError(f"{text[:40]!r} is not a plain decimal number")
    sign, whole, fraction = match.groups()
    return sign not in ("", "+"), int(whole or 0), fraction or ""


def without_exponent(literal: str) -> str:
    """A JSON number such as `1E+2` as a plain decimal; any other text as it is.

    A number is exact in whatever notation a program writes it. A text such as "1.2E+2" is not read so: a spreadsheet
    that shows a number so has dropped digits.
    """
    match = _EXPONENT.fullmatch(literal)
    if match is None:
        return literal
    sign, whole, fraction, exponent = match.groups("")
    point = len(whole) + int(exponent)
    digits = f"{'0' * -point}{whole}{fraction}".ljust(point, "0")
    point = max(point, 0)
    return f"{sign}{digits[:point]}.{digits[point:]}".rstrip(".")


def format_cents(cents: int) -> str:
    """The decimal string of an amount: 123456 → `1234.56`, -5 → `-0.05`."""
    sign = "-" if cents < 0 else ""
    whole, fraction = divmod(abs(cents), 100)
    return f"{sign}{whole}.{fraction:02d}"
