"""The types of request parameters, with their limits."""

import re
from typing import Annotated, Any
from urllib.parse import unquote

from fastapi import Path, Query
from pydantic import AfterValidator, BeforeValidator, StringConstraints, WithJsonSchema

from services.common.events import MAX_ID_LENGTH, MAX_TEXT_LENGTH
from services.common.money import format_cents, parse_cents
from services.common.times import parse_time
from services.gateway.api.problems import bad_field
from services.gateway.queries.buckets import Range

MAX_K = 100
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_LOST_PLUS = re.compile(r"T[\d:.]+ \d\d:\d\d$")


def is_clean(text: str) -> bool:
    """Whether a text has no control character."""
    return _CONTROL.search(text) is None


def _clean(text: str) -> str:
    if not is_clean(text):
        raise ValueError("must not hold control characters")
    return text


def _unquoted(text: str) -> str:
    # Paths are routed undecoded (see middleware.py), so that an id may hold a slash.
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise ValueError("must be percent-encoded UTF-8") from None


def _clean_schema(**more: int) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": r"^[^\x00-\x1f\x7f-\x9f]*$", **more})


Identifier = Annotated[
    str,
    StringConstraints(min_length=1, max_length=MAX_ID_LENGTH),
    AfterValidator(_clean),
    _clean_schema(minLength=1, maxLength=MAX_ID_LENGTH),
]
Text = Annotated[
    str,
    StringConstraints(min_length=1, max_length=MAX_TEXT_LENGTH),
    AfterValidator(_clean),
    _clean_schema(minLength=1, maxLength=MAX_TEXT_LENGTH),
]
Prefix = Annotated[
    str,
    StringConstraints(max_length=MAX_ID_LENGTH),
    AfterValidator(_clean),
    _clean_schema(maxLength=MAX_ID_LENGTH),
    Query(description="The beginning of the id.", examples=["15159"]),
]
Search = Annotated[
    str,
    StringConstraints(max_length=MAX_ID_LENGTH),
    AfterValidator(_clean),
    _clean_schema(maxLength=MAX_ID_LENGTH),
    Query(description="The beginning of an id, or of words.", examples=["samsung phone"]),
]

UserId = Annotated[
    Identifier, BeforeValidator(_unquoted), Path(examples=["1515915625441993984"], description="A customer's id.")
]
ProductId = Annotated[
    Identifier, BeforeValidator(_unquoted), Path(examples=["1515966223509088509"], description="A product's id.")
]


Version = Annotated[
    str,
    StringConstraints(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$"),
    BeforeValidator(_unquoted),
    Path(examples=["20261122T101500Z-0a1b2c"], description="A model's version."),
]


def _cents(value: Any) -> int:
    if not isinstance(value, str):
        raise ValueError('must be a decimal string such as "9.99"')
    cents = parse_cents(value)
    if cents < 0 or value.startswith("-"):
        raise ValueError("must not be negative")
    return cents


# Cents inside, a decimal string outside.
Price = Annotated[
    int,
    BeforeValidator(_cents),
    WithJsonSchema({"type": "string", "pattern": r"^[0-9]{1,15}(\.[0-9]{1,2}0*)?$", "examples": ["9.99"]}),
]


def _instant(value: Any) -> int:
    text = str(value)
    try:
        return parse_time(text)
    except ValueError as error:
        hint = "; write the + of an offset as %2B" if _LOST_PLUS.search(text) else ""
        raise ValueError(f"{error}{hint}") from None
    except OverflowError:
        raise ValueError(f"{text[:40]!r} is out of range") from None


# Epoch milliseconds inside, RFC 3339 outside.
Instant = Annotated[
    int,
    BeforeValidator(_instant),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2020-04-01T00:00:00Z"]}),
]

From = Annotated[
    Instant | None, Query(alias="from", description="Buckets that start at this time or later (RFC 3339).")
]
To = Annotated[Instant | None, Query(description="Buckets that start before this time (RFC 3339).")]
K = Annotated[int, Query(ge=1, le=MAX_K, description="How many products.")]
Category = Annotated[
    Text | None, Query(description="A category code; `electronics` includes `electronics.*`.", examples=["electronics"])
]
Brand = Annotated[Text | None, Query(description="A brand, exactly.", examples=["samsung"])]
ALIKE = (
    "Products may be alike, and the best come by score alone. Without it no two of the first ten have the same name "
    "and category, as far as there are others."
)
Alike = Annotated[bool, Query(description=ALIKE)]
MinPrice = Annotated[Price | None, Query(description="Unit price at least this much.")]
MaxPrice = Annotated[Price | None, Query(description="Unit price at most this much.")]


def time_range(start: int | None, end: int | None) -> Range:
    """The range from `from` to `to`. Raises Problem 422 where `from` is later."""
    if start is not None and end is not None and start > end:
        raise bad_field("from", "must not be later than `to`")
    return Range(start, end)


def check_prices(low: int | None, high: int | None) -> None:
    """Raises Problem 422 where the lower price is above the upper."""
    if low is not None and high is not None and low > high:
        raise bad_field("min_price", f"must not be above max_price ({format_cents(high)})")
