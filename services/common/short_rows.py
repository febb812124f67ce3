"""Short rows: a sender mapped the six fields event_time, order_id, product_id, (empty), price, user_id by position to
the first six of the seed's eight columns.

So the price is in category_code and the user in brand; price and user_id are missing, null or empty.
"""

import re
from typing import Literal, NamedTuple

import msgspec

_PRICE = re.compile(r"\d{1,7}\.\d{1,2}", re.ASCII)
_USER = re.compile(r"\d*", re.ASCII)


class ShortRow(NamedTuple):
    """The fields of a short row, each under its own name again."""

    event_time: str
    order_id: str
    product_id: str
    price: str
    user_id: str
    event_id: str | None


class _Shifted(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """The record as it came, by the columns' names."""

    event_time: str
    order_id: str
    product_id: str
    category_id: Literal[""] | None
    category_code: str
    brand: str | None
    price: Literal[""] | None = None
    user_id: Literal[""] | None = None
    event_id: str | None = None


_decode = msgspec.json.Decoder(_Shifted).decode


def read_short_row(value: bytes) -> ShortRow | None:
    """The short row in a record without a price; None where the record does not have exactly that shape.

    A code without decimals or a brand that is no number may be what they claim to be: then the record is no short row.
    """
    try:
        shifted = _decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    user_id = shifted.brand or ""
    if not (_PRICE.fullmatch(shifted.category_code) and _USER.fullmatch(user_id)):
        return None
    return ShortRow(
        shifted.event_time, shifted.order_id, shifted.product_id, shifted.category_code, user_id, shifted.event_id
    )
