"""Money is an integer of cents inside Tillstream and a decimal string with two places outside.

No float takes part: a JSON number reaches `parse_cents` as the text that stood in the message.
"""

import re

MAX_UNIT_PRICE_CENTS = 999_999_999  # 9,999,999.99
_DECIMAL = re.compile(r"(-?)(\d{1,15})(?:\.(\d{1,}))?", re.ASCII)


def parse_cents(text: str) -> int:
    """Cents of a plain decimal such as `12`, `12.5`, `-0.10` or `12.500`.

    Raises ValueError for an exponent, a sign other than a leading minus, NaN, thousands separators,
    surrounding space, more than 15 whole digits, or a fraction of a cent.
    """
    match = _DECIMAL.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:40]!r} is not a plain decimal number")
    sign, whole, fraction = match.groups()
    cents = int(whole) * 100
    if fraction is not None:
        if fraction[2:].strip("0"):
            raise ValueError(f"{text[:40]!r} is not a whole number of cents")
        cents += int(fraction[:2].ljust(2, "0"))
    return -cents if sign else cents


def format_cents(cents: int) -> str:
    """The decimal string of an amount: 123456 → `1234.56`, -5 → `-0.05`."""
    sign = "-" if cents < 0 else ""
    whole, fraction = divmod(abs(cents), 100)
    return f"{sign}{whole}.{fraction:02d}"
