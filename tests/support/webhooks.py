"""Bodies of webhooks in the documented shapes of Shopify and WooCommerce, and their signatures."""

import base64
import hashlib
import hmac
import json
from typing import Any

Json = dict[str, Any]


def signature(body: bytes, secret: str) -> str:
    """The base64 of the HMAC-SHA256, as both shop systems send it."""
    return base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha256).digest()).decode()


def encode(body: Json) -> bytes:
    """The body as sent."""
    return json.dumps(body).encode()


def shopify_line(number: int, price: str, quantity: int = 1, **given: Any) -> Json:
    """A line of an order; its id is beyond what a double holds."""
    return {
        "id": 9_007_199_254_740_993 + number,
        "sku": f"SKU-{number}",
        "name": f"Shirt {number} - Blue",
        "title": f"Shirt {number}",
        "vendor": "Loom & Sons",
        "price": price,
        "quantity": quantity,
        "total_discount": "0.00",
        "discount_allocations": [],
        **given,
    }


def shopify_order(*lines: Json, **given: Any) -> Json:
    """A paid order of a customer, as in orders/create, orders/paid and orders/updated."""
    return {
        "id": 450_789_469,
        "name": "#1001",
        "created_at": "2026-11-20T10:00:00-05:00",
        "updated_at": "2026-11-20T10:01:00-05:00",
        "financial_status": "paid",
        "test": False,
        "email": "jan@example.com",
        "customer": {"id": 207_119_551, "email": "jan@example.com"},
        "line_items": list(lines),
        "refunds": [],
        **given,
    }


def shopify_refund(line: Json, subtotal: str, quantity: int = 1, **given: Any) -> Json:
    """A refund of pieces of a line, as in refunds/create and in the order."""
    return {
        "id": 509_562_969,
        "order_id": 450_789_469,
        "created_at": "2026-11-21T09:00:00-05:00",
        "refund_line_items": [
            {"id": 104_689_539, "line_item_id": line["id"], "line_item": line, "quantity": quantity}
            | {"subtotal": subtotal, "total_tax": "0.00"}
        ],
        "transactions": [{"id": 179_259_969, "kind": "refund", "status": "success", "amount": subtotal}],
        "order_adjustments": [],
        **given,
    }


def woocommerce_line(number: int, total: str, quantity: int = 1, **given: Any) -> Json:
    """A line of an order."""
    return {
        "id": 300 + number,
        "name": f"Woo Single #{number}",
        "product_id": 90 + number,
        "variation_id": 0,
        "sku": f"W-{number}",
        "quantity": quantity,
        "subtotal": total,
        "total": total,
        "price": 8.333333333333334,
        **given,
    }


def woocommerce_order(*lines: Json, total: str, **given: Any) -> Json:
    """A paid order, as in order.created and order.updated."""
    return {
        "id": 727,
        "number": "727",
        "status": "processing",
        "currency": "EUR",
        "date_created": "2026-11-20T16:00:00",
        "date_created_gmt": "2026-11-20T15:00:00",
        "date_modified_gmt": "2026-11-20T15:05:00",
        "date_paid_gmt": "2026-11-20T15:04:00",
        "customer_id": 25,
        "total": total,
        "line_items": list(lines),
        "refunds": [],
        **given,
    }
