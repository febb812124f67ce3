"""Orders of WooCommerce's webhooks, by the documented shape of its REST resource Order. Pure.

An order lists its refunds as totals without lines. Each is spread over the order's lines, like the refund of an
exported order (ADR 97).
"""

from collections.abc import Iterator, Sequence

from services.common.money import format_cents
from services.gateway.hooks.delivery import (
    Delivery,
    Json,
    NotAnOrder,
    Sale,
    cents,
    digest_of,
    negative,
    objects,
    pieces,
    text,
    unread,
)

_PAID = frozenset({"processing", "completed", "refunded"})
# Carts at the checkout, and orders that were never placed or whose payment failed; such an order may still be paid.
_NOT_PLACED = frozenset({"checkout-draft", "auto-draft", "draft", "failed", "trash"})
_CANCELLED = "cancelled"
_MAX_NAME = 256


def read(body: Json, sale: Sale) -> Delivery:
    """The lines of an order and its refunds. Raises NotAnOrder."""
    order_id, status = text(body, "number", "id"), text(body, "status")
    if not isinstance(body.get("line_items"), list) or order_id is None or status is None:
        raise NotAnOrder("is no order: choose the topics Order created and Order updated")
    changed_at = _utc(text(body, "date_modified_gmt", "date_created_gmt"))
    if not _counts(body, status, sale):
        return Delivery(order_id, changed_at, ignored=f"no sale: its status is {status}")
    sold = [_sold(body, order_id, line) for line in body["line_items"]]
    returned = [*_refunds(body, order_id, sold, changed_at)]
    if status == _CANCELLED and not _is_paid(body, status):
        returned += [_cancelled(line, changed_at) for line in sold if "event_id" in line]
    # Shares of a refund depend on the lines: if these change, the refund is for a person to look at too.
    digest = digest_of(sold)
    return Delivery(order_id, changed_at, tuple(event | {"order_digest": digest} for event in (*sold, *returned)))


def _counts(body: Json, status: str, sale: Sale) -> bool:
    return _is_paid(body, status) or (sale is Sale.CREATED and status not in _NOT_PLACED)


def _is_paid(body: Json, status: str) -> bool:
    return status in _PAID or text(body, "date_paid_gmt", "date_paid") is not None


def _utc(time: str | None) -> str | None:
    """Times whose name ends in _gmt have no zone."""
    return f"{time}Z" if time else None


def _sold(order: Json, order_id: str, line: object) -> Json:
    line_id = text(line, "id")
    if not isinstance(line, dict) or line_id is None:
        return unread(order_id, line)
    name, quantity, total = text(line, "name"), text(line, "quantity"), text(line, "total")
    buyer, known = text(order, "customer_id"), cents(total)
    return {
        "event_id": f"line:{line_id}",
        "event_time": _utc(text(order, "date_created_gmt")),
        "order_id": order_id,
        "user_id": None if buyer == "0" else buyer,  # 0 is a guest
        "product_id": text(line, "sku") or text(line, "variation_id" if _has_variation(line) else "product_id"),
        "product_name": name and name[:_MAX_NAME],
        "price": _price_of_a_piece(total, quantity),
        "quantity": quantity,
        "amount": (total or "total is missing") if known is None else format_cents(known),
    }


def _has_variation(line: Json) -> bool:
    return text(line, "variation_id") not in (None, "0")


def _price_of_a_piece(total: str | None, quantity: str | None) -> str | None:
    """The line's total by its pieces, in whole cents: WooCommerce's own price has more places. The total decides."""
    known_total, known_pieces = cents(total), pieces(quantity)
    if known_total is None or not known_pieces:
        return total
    total_cents, count = abs(known_total), abs(known_pieces)
    return format_cents((2 * total_cents + count) // (2 * count))


def _cancelled(line: Json, time: str | None) -> Json:
    """The line that takes back one of an order that was placed, never paid, and cancelled."""
    known = pieces(line["quantity"])
    return line | {
        "event_id": line["event_id"].replace("line:", "cancelled:", 1),
        "event_time": time,
        "quantity": line["quantity"] if known is None else str(-known),
        "amount": negative(line["amount"]),
    }


def _refunds(order: Json, order_id: str, sold: Sequence[Json], time: str | None) -> Iterator[Json]:
    revenues = [cents(line.get("amount")) for line in sold]
    order_total = cents(text(order, "total"))
    for refund in objects(order.get("refunds")):
        refund_id, total = text(refund, "id"), cents(text(refund, "total"))
        known = [revenue for revenue in revenues if revenue is not None and revenue >= 0]
        if refund_id is None or total is None or not order_total or len(known) < len(revenues):
            yield unread(order_id, {"refund": refund, "date_modified_gmt": time})
            continue
        for line, share in zip(sold, refund_shares(abs(total), order_total, known), strict=True):
            if share:
                yield line | {
                    "event_id": f"refund:{refund_id}:{line['event_id'].removeprefix('line:')}",
                    "event_time": time,
                    "quantity": "0",  # the order does not say which pieces came back
                    "amount": format_cents(-share),
                }


def refund_shares(refund: int, order_total: int, revenues: Sequence[int]) -> list[int]:
    """What a refund takes off each line, in cents. `order_total` includes tax and shipping, which are no revenue.

    The lines' part of the refund is their part of the order; the cents that remain go to the largest remainders, the
    first line first. A refund of the whole order takes off exactly its lines.
    """
    gross = sum(revenues)
    part = min(refund * gross // order_total + (2 * (refund * gross % order_total) >= order_total), gross)
    if not gross:
        return [0] * len(revenues)
    shares = [revenue * part // gross for revenue in revenues]
    by_remainder = sorted(range(len(revenues)), key=lambda at: -(revenues[at] * part % gross))
    for at in by_remainder[: part - sum(shares)]:
        shares[at] += 1
    return shares
