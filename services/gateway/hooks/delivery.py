"""What a delivery of a shop system is: the order it is about, and the lines to send. Pure.

A line that cannot be understood is still sent: the aggregator's validation makes it a dead letter, with its content.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b
from typing import Any

from services.common.money import format_cents, parse_cents, parse_whole

# An object of the body. Every number in it is the text that stood there, so that no float ever exists.
Json = dict[str, Any]


class ShopSystem(StrEnum):
    """Whose webhooks are read."""

    SHOPIFY = "shopify"
    WOOCOMMERCE = "woocommerce"


class Sale(StrEnum):
    """From when on an order's lines count."""

    PAID = "paid"
    CREATED = "created"


class NotAnOrder(ValueError):
    """The body is no order and no refund; the message says what it is not."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """The lines of one delivery. `changed_at` is RFC 3339, as the body gives it; `ignored` says why nothing counts."""

    order_id: str
    changed_at: str | None
    events: tuple[Json, ...] = ()
    ignored: str | None = None

    @property
    def records(self) -> list[tuple[bytes, bytes]]:
        """Key and value of each record. The key is the order, so that all copies of a line are in one partition."""
        key = self.order_id.encode(errors="replace")
        return [(key, json.dumps(event, separators=(",", ":")).encode()) for event in self.events]


def decode(body: bytes) -> Json:
    """The object of a request's body. Raises NotAnOrder."""
    try:
        found = json.loads(body, parse_int=str, parse_float=str, parse_constant=str)
    except (ValueError, RecursionError) as error:
        raise NotAnOrder(f"is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise NotAnOrder("is JSON but not an object")
    return found


def text(value: object, *names: str) -> str | None:
    """The first of these members that is a text or a number, and not empty."""
    if not isinstance(value, dict):
        return None
    return next((found for name in names if isinstance(found := value.get(name), str) and found), None)


def objects(value: object) -> list[Json]:
    """The objects of a list; none where it is no list."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def unread(order_id: str, part: object) -> Json:
    """A record that becomes a dead letter: a part of an order that has no identity, or no lines to be spread over."""
    return {"order_id": order_id, "unread": part}


def cents(literal: str | None) -> int | None:
    """Cents of a decimal; None where it is none."""
    try:
        return None if literal is None else parse_cents(literal)
    except ValueError:
        return None


def pieces(literal: str | None) -> int | None:
    """Pieces; None where it is no whole number."""
    try:
        return None if literal is None else parse_whole(literal)
    except ValueError:
        return None


def amount(price: str | None, quantity: str | None, discounts: Iterable[str | None]) -> str:
    """Price x quantity less discounts. Where one cannot be read: all of them as a text, which validation refuses."""
    off = list(discounts)
    known_price, known_pieces, known_off = cents(price), pieces(quantity), [cents(each) for each in off]
    if known_price is None or known_pieces is None or None in known_off:
        return " - ".join([f"{price} x {quantity}", *map(str, off)])
    return format_cents(known_price * known_pieces - sum(each or 0 for each in known_off))


def negative(literal: str | None) -> str | None:
    """A decimal of the other sign; a text that is none, as it is."""
    known = cents(literal)
    return literal if known is None else format_cents(-known)


def with_digest(events: Iterable[Json]) -> list[Json]:
    """The lines of an order with the digest of all of them (ADR 85).

    Where the order comes again with other lines, they become dead letters instead of counting next to the old ones.
    """
    lines = list(events)
    return [line | {"order_digest": digest_of(lines)} for line in lines]


def digest_of(lines: Iterable[Json]) -> str:
    """16 hexadecimal digits over what the lines of an order are, in any order."""
    said = ("event_id", "product_id", "quantity", "amount", "unread")
    parts = sorted(json.dumps([line.get(name) for name in said]) for line in lines)
    return blake2b("\n".join(parts).encode(), digest_size=8, person=b"hook").hexdigest()
