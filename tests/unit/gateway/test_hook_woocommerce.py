"""Orders of WooCommerce, with their refunds, as lines."""

import pytest

from services.common.canary import Canary
from services.common.events import Purchase, Reason, Rejected, parse
from services.gateway.hooks.delivery import Delivery, NotAnOrder, Sale, decode
from services.gateway.hooks.woocommerce import read, refund_shares
from tests.support.webhooks import Json, encode, woocommerce_line, woocommerce_order

NOW_MS = 1_796_000_000_000
PEN, INK = woocommerce_line(1, "20.00", 3), woocommerce_line(2, "10.00")


def delivered(body: Json, sale: Sale = Sale.PAID) -> Delivery:
    return read(decode(encode(body)), sale)


def outcomes(body: Json, sale: Sale = Sale.PAID) -> list[Purchase | Rejected | Canary]:
    return [parse(value, NOW_MS) for _key, value in delivered(body, sale).records]


def lines(body: Json, sale: Sale = Sale.PAID) -> list[Purchase]:
    found = outcomes(body, sale)
    assert all(isinstance(each, Purchase) for each in found), found
    return [each for each in found if isinstance(each, Purchase)]


def revenues(body: Json, sale: Sale = Sale.PAID) -> dict[str | None, int]:
    return {line.event_id: line.revenue for line in lines(body, sale)}


def test_a_paid_order() -> None:
    pen, ink = lines(woocommerce_order(PEN, INK, total="30.00"))
    assert (pen.event_id, pen.order_id, pen.user_id, pen.product_id) == ("line:301", "727", "25", "W-1")
    assert (pen.price, pen.quantity, pen.revenue) == (667, 3, 2000)
    assert pen.event_time == 1_795_186_800_000
    assert pen.order_digest == ink.order_digest is not None


def test_guests_and_products_without_sku() -> None:
    order = woocommerce_order(PEN | {"sku": ""}, INK | {"sku": "", "variation_id": 7}, total="30.00", customer_id=0)
    assert [(event["user_id"], event["product_id"]) for event in delivered(order).events] == [(None, "91"), (None, "7")]


@pytest.mark.parametrize("status", ["pending", "on-hold"])
def test_an_order_that_is_not_paid_counts_only_where_created_orders_do(status: str) -> None:
    order = woocommerce_order(PEN, total="20.00", status=status, date_paid_gmt=None)
    assert (delivered(order).events, delivered(order).ignored) == ((), f"no sale: its status is {status}")
    assert revenues(order, Sale.CREATED) == {"line:301": 2000}


@pytest.mark.parametrize("status", ["checkout-draft", "failed", "trash"])
@pytest.mark.parametrize("sale", Sale)
def test_an_order_that_was_not_placed_is_no_sale(status: str, sale: Sale) -> None:
    order = woocommerce_order(PEN, total="20.00", status=status, date_paid_gmt=None)
    assert delivered(order, sale).ignored == f"no sale: its status is {status}"


def test_cash_on_delivery_is_paid_by_its_status() -> None:
    assert revenues(woocommerce_order(PEN, total="20.00", date_paid_gmt=None)) == {"line:301": 2000}


def test_a_cancelled_order_that_was_never_paid_adds_up_to_nothing() -> None:
    order = woocommerce_order(PEN, total="20.00", status="cancelled", date_paid_gmt=None)
    assert delivered(order).ignored is not None
    assert revenues(order, Sale.CREATED) == {"line:301": 2000, "cancelled:301": -2000}
    assert sum(line.quantity for line in lines(order, Sale.CREATED)) == 0
    paid = order | {"date_paid_gmt": "2026-11-20T15:04:00"}  # only a refund takes back money
    assert revenues(paid, Sale.CREATED) == revenues(paid) == {"line:301": 2000}


def test_refunds_are_spread_over_the_lines_and_keep_their_ids() -> None:
    first, second = {"id": 726, "reason": "", "total": "-10.00"}, {"id": 724, "reason": "", "total": "-9.99"}
    one = revenues(woocommerce_order(PEN, INK, total="30.00", refunds=[first]))
    assert one == {"line:301": 2000, "line:302": 1000, "refund:726:301": -667, "refund:726:302": -333}
    two = revenues(woocommerce_order(PEN, INK, total="30.00", status="refunded", refunds=[second, first]))
    assert two == one | {"refund:724:301": -666, "refund:724:302": -333}


def test_tax_and_shipping_of_a_refund_are_no_revenue() -> None:
    refund = {"id": 1, "total": "-41.65"}  # 30.00 of goods, 5.00 of shipping, 19 % tax on both
    found = revenues(woocommerce_order(PEN, INK, total="41.65", status="refunded", refunds=[refund]))
    assert sum(found.values()) == 0


@pytest.mark.parametrize(
    ("refund", "total", "of_lines", "shares"),
    [
        (3000, 3000, [2000, 1000], [2000, 1000]),
        (1, 3000, [2000, 1000], [1, 0]),
        (100, 300, [100, 100, 100], [34, 33, 33]),
        (9000, 3000, [2000, 1000], [2000, 1000]),
        (500, 500, [0, 0], [0, 0]),
        (1190, 2380, [1000], [500]),
        (2, 3, [1], [1]),
    ],
)
def test_shares_of_a_refund_add_up(refund: int, total: int, of_lines: list[int], shares: list[int]) -> None:
    assert refund_shares(refund, total, of_lines) == shares


def test_lines_and_refunds_have_one_digest_which_follows_the_lines() -> None:
    refund = {"id": 1, "total": "-3.00"}
    (digest,) = {line.order_digest for line in lines(woocommerce_order(PEN, INK, total="30.00", refunds=[refund]))}
    assert lines(woocommerce_order(INK, PEN, total="30.00", status="completed"))[0].order_digest == digest
    assert lines(woocommerce_order(PEN, total="20.00"))[0].order_digest != digest


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        (woocommerce_order(PEN | {"total": "8.3333"}, INK, total="30.00"), Reason.BAD_PRICE),
        (woocommerce_order(PEN | {"total": None}, INK, total="30.00"), Reason.MISSING_FIELD),
        (woocommerce_order(PEN | {"quantity": 1.5}, INK, total="30.00"), Reason.BAD_QUANTITY),
        (woocommerce_order(PEN | {"id": None}, INK, total="30.00"), Reason.MISSING_FIELD),
        (woocommerce_order(PEN, INK, total="30.00", refunds=[{"id": 1, "total": "some"}]), Reason.MISSING_FIELD),
        (woocommerce_order(PEN, INK, total="", refunds=[{"id": 1, "total": "-1.00"}]), Reason.MISSING_FIELD),
    ],
    ids=["fraction", "no total", "half a piece", "no id", "refund", "refund of nothing"],
)
def test_what_cannot_be_understood_is_a_dead_letter(order: Json, reason: Reason) -> None:
    found = [each.reason for each in outcomes(order) if isinstance(each, Rejected)]
    assert found == [reason]


@pytest.mark.parametrize("body", [{}, {"id": 1, "status": "x"}, {"line_items": []}, {"line_items": [], "id": 1}])
def test_what_is_no_order_is_refused(body: Json) -> None:
    with pytest.raises(NotAnOrder):
        delivered(body)
