"""Orders and refunds of Shopify's webhooks, by the documented shapes of the REST resources Order and Refund. Pure."""

from collections.abc import Iterator

from services.gateway.hooks.delivery import (
    Delivery,
    Json,
    NotAnOrder,
    Sale,
    amount,
    cents,
    negative,
    objects,
    pieces,
    text,
    unread,
    with_digest,
)

_PAID = frozenset({"paid", "partially_refunded", "refunded"})
_MONEY_BACK = frozenset({"success", "pending"})
_MAX_NAME = 256


def read(body: Json, sale: Sale) -> Delivery:
    """The lines of an order, with its refunds, or of a refund alone. Raises NotAnOrder."""
    order_id, refunded_order = text(body, "id"), text(body, "order_id")
    if isinstance(body.get("line_items"), list) and order_id and "financial_status" in body:
        return _order(body, order_id, sale)
    if isinstance(body.get("refund_line_items"), list) and refunded_order:
        return Delivery(refunded_order, text(body, "created_at"), tuple(_refund(body, refunded_order, None, sale)))
    raise NotAnOrder("is neither an order nor a refund: subscribe to the topics orders/paid and orders/updated")


def _order(body: Json, order_id: str, sale: Sale) -> Delivery:
    changed_at, status = text(body, "updated_at", "created_at"), text(body, "financial_status")
    if body.get("test") is True:
        return Delivery(order_id, changed_at, ignored="a test order")
    if sale is Sale.PAID and status not in _PAID:
        return Delivery(order_id, changed_at, ignored=f"not paid: financial_status is {status}")
    buyer = text(body.get("customer"), "id")
    sold = with_digest(_sold(body, order_id, buyer, line) for line in body["line_items"])
    refunds = objects(body.get("refunds"))
    returned = (event for refund in refunds for event in _refund(refund, order_id, buyer, sale))
    return Delivery(order_id, changed_at, (*sold, *returned))


def _sold(order: Json, order_id: str, buyer: str | None, line: object) -> Json:
    line_id = text(line, "id")
    if not isinstance(line, dict) or line_id is None:
        return unread(order_id, line)
    if "discount_allocations" in line:
        discounts = [text(each, "amount") for each in objects(line["discount_allocations"])]
    else:
        discounts = [text(line, "total_discount") or "0"]
    return {
        "event_id": f"line:{line_id}",
        "event_time": text(order, "created_at"),
        "order_id": order_id,
        "user_id": buyer,
        **_product(line),
        "quantity": text(line, "quantity"),
        "amount": amount(text(line, "price"), text(line, "quantity"), discounts),
    }


def _product(line: object) -> Json:
    # As the export of orders names products, so that history and live orders are of the same products.
    name = text(line, "name", "title")
    return {
        "product_id": text(line, "sku") or name,
        "product_name": name and name[:_MAX_NAME],
        "brand": text(line, "vendor"),
        "price": text(line, "price"),
    }


def _refund(refund: Json, order_id: str, buyer: str | None, sale: Sale) -> Iterator[Json]:
    """Returned lines. Of an order that counts once it is paid, those for which money has gone back."""
    if sale is Sale.PAID and not _gives_money_back(refund):
        return
    time = text(refund, "created_at", "processed_at")
    returned = refund.get("refund_line_items")
    for line in returned if isinstance(returned, list) else []:
        yield _returned(line, order_id, buyer, time)
    for adjustment in objects(refund.get("order_adjustments")):
        # Money for no line: a person says of which product. Shipping was never counted.
        if text(adjustment, "kind") == "refund_discrepancy" and cents(text(adjustment, "amount")) != 0:
            yield unread(order_id, {"refund": text(refund, "id"), "created_at": time, "adjustment": adjustment})


def _gives_money_back(refund: Json) -> bool:
    return any(
        text(each, "kind") == "refund" and text(each, "status") in _MONEY_BACK
        for each in objects(refund.get("transactions"))
    )


def _returned(line: object, order_id: str, buyer: str | None, time: str | None) -> Json:
    line_id = text(line, "id")
    if not isinstance(line, dict) or line_id is None:
        return unread(order_id, line)
    quantity = text(line, "quantity")
    known = pieces(quantity)
    return {
        "event_id": f"refund:{line_id}",
        "event_time": time,
        "order_id": order_id,
        "user_id": buyer,
        **_product(line.get("line_item")),
        "quantity": quantity if known is None else str(-known),
        "amount": negative(text(line, "subtotal")) or "subtotal is missing",
    }
