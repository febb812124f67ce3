"""Orders and refunds of Shopify as lines."""

from typing import Any

import pytest

from services.common.canary import Canary
from services.common.events import Purchase, Reason, Rejected, parse
from services.gateway.hooks.delivery import Delivery, NotAnOrder, Sale, decode
from services.gateway.hooks.shopify import read
from tests.support.webhooks import Json, encode, shopify_line, shopify_order, shopify_refund

NOW_MS = 1_795_000_000_000  # 2026-11-18
SHIRT, HAT = shopify_line(1, "19.90", 3), shopify_line(2, "10.00")


def delivered(body: Json, sale: Sale = Sale.PAID) -> Delivery:
    return read(decode(encode(body)), sale)


def outcomes(delivery: Delivery) -> list[Purchase | Rejected | Canary]:
    return [parse(value, NOW_MS + 10**9) for _key, value in delivery.records]


def lines(body: Json, sale: Sale = Sale.PAID) -> list[Purchase]:
    found = outcomes(delivered(body, sale))
    assert all(isinstance(each, Purchase) for each in found), found
    return [each for each in found if isinstance(each, Purchase)]


def refusal(body: Json) -> tuple[Reason, str]:
    (found,) = (each for each in outcomes(delivered(body)) if isinstance(each, Rejected))
    return found.reason, found.detail


def test_a_paid_order() -> None:
    shirt, hat = lines(shopify_order(SHIRT, HAT))
    assert (shirt.event_id, shirt.order_id, shirt.user_id) == ("line:9007199254740994", "450789469", "207119551")
    assert (shirt.product_id, shirt.product_name, shirt.brand) == ("SKU-1", "Shirt 1 - Blue", "Loom & Sons")
    assert (shirt.price, shirt.quantity, shirt.revenue) == (1990, 3, 5970)
    assert shirt.event_time == hat.event_time == 1_795_186_800_000
    assert shirt.order_digest == hat.order_digest is not None


def test_no_address_leaves_the_body() -> None:
    sent = b"".join(value for _key, value in delivered(shopify_order(SHIRT)).records)
    assert b"@" not in sent


def test_the_key_is_the_order_with_and_without_a_customer() -> None:
    records = delivered(shopify_order(SHIRT)).records + delivered(shopify_refund(SHIRT, "19.90")).records
    assert {key for key, _value in records} == {b"450789469"}


def test_discounts_of_line_and_order_are_taken_off() -> None:
    allocations = [{"amount": "5.00"}, {"amount": "0.71"}]
    (shirt,) = lines(shopify_order(SHIRT | {"discount_allocations": allocations, "total_discount": "5.00"}))
    assert shirt.revenue == 5970 - 571
    old = {name: value for name, value in SHIRT.items() if name != "discount_allocations"}
    assert lines(shopify_order(old | {"total_discount": "5.00"}))[0].revenue == 5470


def test_a_product_without_sku_is_its_name_as_in_the_export() -> None:
    assert lines(shopify_order(SHIRT | {"sku": ""}))[0].product_id == "Shirt 1 - Blue"
    assert lines(shopify_order(SHIRT | {"sku": None}))[0].product_id == "Shirt 1 - Blue"


def test_a_guest_is_anonymous() -> None:
    assert lines(shopify_order(SHIRT, customer=None))[0].user_id is None


@pytest.mark.parametrize("status", ["pending", "authorized", "partially_paid", "voided", "expired", None])
def test_what_is_not_paid_counts_only_where_created_orders_do(status: str | None) -> None:
    order = shopify_order(SHIRT, financial_status=status)
    assert (delivered(order).events, delivered(order).ignored) == ((), f"not paid: financial_status is {status}")
    assert len(lines(order, Sale.CREATED)) == 1


@pytest.mark.parametrize("status", ["paid", "partially_refunded", "refunded"])
def test_what_is_paid_counts(status: str) -> None:
    assert len(lines(shopify_order(SHIRT, financial_status=status))) == 1


def test_test_orders_do_not_count() -> None:
    assert delivered(shopify_order(SHIRT, test=True)).ignored == "a test order"


def test_a_refund_is_the_same_line_alone_and_in_its_order() -> None:
    refund = shopify_refund(SHIRT, "39.80", 2)
    (alone,) = lines(refund)
    assert (alone.event_id, alone.order_id, alone.user_id) == ("refund:104689539", "450789469", None)
    assert (alone.quantity, alone.revenue, alone.product_id) == (-2, -3980, "SKU-1")
    assert alone.order_digest is None
    _sold, inside = lines(shopify_order(SHIRT, refunds=[refund]))
    assert inside.user_id == "207119551"
    inside.user_id = None
    assert inside == alone


def test_subtotals_may_be_numbers() -> None:
    refund = shopify_refund(SHIRT, "19.90")
    refund["refund_line_items"][0]["subtotal"] = 19.9
    assert lines(refund)[0].revenue == -1990


@pytest.mark.parametrize(
    "transactions", [[], [{"kind": "void", "status": "success"}], [{"kind": "refund", "status": "failure"}]]
)
def test_pieces_that_come_back_without_money_count_only_where_created_orders_do(transactions: list[Json]) -> None:
    refund = shopify_refund(SHIRT, "19.90", transactions=transactions)
    assert delivered(refund).events == ()
    assert lines(refund, Sale.CREATED)[0].revenue == -1990


def test_money_for_no_line_is_a_dead_letter_and_shipping_is_nothing() -> None:
    def adjusted(kind: str, amount: str) -> Json:
        given = {"id": 1, "kind": kind, "amount": amount}
        return shopify_refund(SHIRT, "0.00", refund_line_items=[], order_adjustments=[given])

    assert refusal(adjusted("refund_discrepancy", "-5.00"))[0] is Reason.MISSING_FIELD
    assert delivered(adjusted("refund_discrepancy", "0.00")).events == ()
    assert delivered(adjusted("shipping_refund", "-5.00")).events == ()


@pytest.mark.parametrize(
    ("change", "reason", "detail"),
    [
        ({"price": "9.999"}, Reason.BAD_PRICE, "9.999"),
        ({"price": None}, Reason.MISSING_FIELD, "price"),
        ({"quantity": "many"}, Reason.BAD_QUANTITY, "many"),
        ({"discount_allocations": [{"amount": "a lot"}]}, Reason.BAD_AMOUNT, "19.90 x 3 - a lot"),
        ({"sku": None, "name": None, "title": None}, Reason.MISSING_FIELD, "product_id"),
        ({"name": "\ud800"}, Reason.NOT_JSON, ""),
        ({"id": None}, Reason.MISSING_FIELD, "event_time"),
    ],
)
def test_a_line_that_cannot_be_understood_is_a_dead_letter_and_the_others_count(
    change: Json, reason: Reason, detail: str
) -> None:
    found_reason, found_detail = refusal(shopify_order(SHIRT | change, HAT))
    assert found_reason is reason
    assert detail in found_detail


@pytest.mark.parametrize("line", [None, 7, "shirt", []])
def test_a_line_that_is_no_object_is_a_dead_letter(line: Any) -> None:
    assert refusal(shopify_order(line, HAT))[0] is Reason.MISSING_FIELD


def test_the_digest_is_of_the_lines_in_any_order() -> None:
    digest = lines(shopify_order(SHIRT, HAT))[0].order_digest
    later = shopify_order(HAT, SHIRT, financial_status="refunded", refunds=[shopify_refund(HAT, "10.00")])
    assert lines(later)[0].order_digest == digest
    assert lines(shopify_order(SHIRT, HAT | {"quantity": 2}))[0].order_digest != digest
    assert lines(shopify_order(SHIRT))[0].order_digest != digest


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"7",
        b'{"a":',
        b"\xff",
        b"[" * 100_000,
        b'{"id": 1, "title": "a product"}',
        b'{"id": 1, "line_items": []}',  # a draft order or a cart
        b'{"line_items": [], "financial_status": "paid"}',
        b'{"id": 1, "line_items": {}, "financial_status": "paid"}',
        b'{"refund_line_items": []}',
    ],
    ids=range(11),
)
def test_what_is_no_order_is_refused(body: bytes) -> None:
    with pytest.raises(NotAnOrder):
        read(decode(body), Sale.PAID)


def test_no_number_becomes_a_float() -> None:
    assert decode(b'{"price": NaN, "amount": -Infinity, "id": 1e3}') == {
        "price": "NaN",
        "amount": "-Infinity",
        "id": "1e3",
    }
