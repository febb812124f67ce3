"""Short rows: a sender mapped the six fields event_time, order_id, product_id, (empty), price, user_id by position to
the first six of the seed's eight columns.

So the price is in category_code and the user in brand; price and user_id are missing, null or empty.
"""

import re
from typing import Literal

import msgspec

_PRICE = re.compile(r"\d{1,7}\.\d{1,2}", re.ASCII)
_USER = re.compile(r"\d*", re.ASCII)
_COLUMNS = {"price": "category_code", "user_id": "brand", "empty_price": "price", "empty_user_id": "user_id"}


class ShortRow(msgspec.Struct, gc=False, forbid_unknown_fields=True, rename=_COLUMNS):
    """The fields of a short row, decoded from the columns that they were mapped to. `user_id` None = anonymous."""

    event_time: str
    order_id: str
    product_id: str
    category_id: Literal[""] | None
    price: str
    user_id: str | None
    empty_price: Literal[""] | None = None
    empty_user_id: Literal[""] | None = None
    event_id: str | None = None


_decode = msgspec.json.Decoder(ShortRow).decode


def read_short_row(value: bytes) -> ShortRow | None:
    """The short row in a record without a price; None where the record does not have exactly that shape.

    A code without decimals or a brand that is no number may be what they claim to be: then the record is no short row.
    """
    try:
        row = _decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return row if _PRICE.fullmatch(row.price) and _USER.fullmatch(row.user_id or "") else None
