"""Spellings of missing values and ids that other systems leave behind: placeholders, and ids that a spreadsheet or a
table library took for numbers.

Only what has one certain meaning is read as that; docs/adr/0087 gives the reasons.
"""

import re
from collections.abc import Container

# No customer, whatever the case of its letters: what shops write where nobody was logged in.
NO_CUSTOMER = (
    *("0", "-1", r"\N", "null", "(null)", "nil", "none", "nan", "na", "n/a", "#n/a", "<na>", "-", "--", "?"),
    *("undefined", "[object object]", "(not set)", "not set", "unknown", "guest", "anonymous", "anon"),
    "00000000-0000-0000-0000-000000000000",
)

# No value, in exactly this case: how databases and programs write a missing one. Other words may be names.
NO_VALUE = frozenset(
    (
        r"\N",
        "NULL",
        "null",
        "(null)",
        "None",
        "NaN",
        "nan",
        "undefined",
        "[object Object]",
        "#N/A",
        "N/A",
        "n/a",
        "<NA>",
    )
)

# `="1515"`, which keeps a spreadsheet from reading an id as a number.
_QUOTED = re.compile(r'="([^"]*)"')
# `1.51592E+18` and `1E+18`, but not `12e4`, which may be a short hexadecimal id.
_SCIENTIFIC = re.compile(r"[+-]?\d+(?:\.\d*[eE][+-]?|[eE][+-])\d+", re.ASCII)
# `42.0`: a table library has read a column with empty fields as floats. They are exact up to 2^53.
_FLOAT = re.compile(r"(\d+)\.0", re.ASCII)
_EXACT_DIGITS = 15


def placeholders(names: str) -> frozenset[str]:
    """The placeholders in a comma-separated list, as `is_no_customer` compares them."""
    return frozenset(name.strip().casefold() for name in names.split(",") if name.strip())


def is_no_customer(user_id: str, no_customer: Container[str]) -> bool:
    """Whether a customer's id is one of these placeholders; case and surrounding space do not matter."""
    if user_id.isdecimal():  # most ids
        return user_id in no_customer
    return user_id.strip().casefold() in no_customer


def unquoted(identifier: str) -> str:
    """The id in a spreadsheet's `="…"`; any other id as it is."""
    if not identifier.startswith("="):
        return identifier
    match = _QUOTED.fullmatch(identifier)
    return match[1] if match else identifier


def is_rounded(identifier: str) -> bool:
    """Whether an id has been turned into a number in scientific notation: it may have been any of many ids."""
    return _SCIENTIFIC.fullmatch(identifier) is not None


def without_float(identifier: str) -> str | None:
    """The id that a table library has turned into a float such as `42.0`; any other id as it is.

    None where the float has too many digits to be exact.
    """
    match = _FLOAT.fullmatch(identifier)
    if match is None:
        return identifier
    return match[1] if len(match[1]) <= _EXACT_DIGITS else None
