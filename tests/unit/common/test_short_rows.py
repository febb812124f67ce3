"""Short rows are recognised by their exact shape."""

import json
from typing import Any

import pytest

from services.common.short_rows import read_short_row

SHIFTED: dict[str, Any] = {
    "event_time": "2020-04-24 19:16:21 UTC",
    "order_id": "1",
    "product_id": "2",
    "category_id": "",
    "category_code": "217.57",
    "brand": "42",
}


def test_each_field_gets_its_own_name_again() -> None:
    row = read_short_row(json.dumps({**SHIFTED, "event_id": "e", "price": None, "user_id": ""}).encode())
    assert row is not None
    assert (row.event_time, row.order_id, row.product_id) == ("2020-04-24 19:16:21 UTC", "1", "2")
    assert (row.price, row.user_id, row.event_id) == ("217.57", "42", "e")


def test_a_short_row_without_a_user_is_anonymous() -> None:
    row = read_short_row(json.dumps({**SHIFTED, "brand": None}).encode())
    assert row is not None
    assert row.user_id is None


@pytest.mark.parametrize(
    "changes",
    [
        {"category_id": "3"},
        {"category_code": "217"},
        {"category_code": "electronics.tablet"},
        {"brand": "samsung"},
        {"price": "1.00"},
        {"user_id": "42"},
        {"quantity": "1"},
    ],
)
def test_any_other_shape_is_none(changes: dict[str, str]) -> None:
    assert read_short_row(json.dumps(SHIFTED | changes).encode()) is None


@pytest.mark.parametrize("value", [b"", b"[]", b"{", b'"\xff"'])
def test_what_is_no_object_is_none(value: bytes) -> None:
    assert read_short_row(value) is None
