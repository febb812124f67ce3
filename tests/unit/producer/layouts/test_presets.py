"""The exports of shop systems, from file to events."""

from pathlib import Path

import pytest

from services.producer.layouts.presets import PRESETS
from tests.support import layouts
from tests.support.layouts import events, proposed

# order, product, time, price, quantity, amount, customer; "" where the event says nothing
CASES = {
    "shopify": (
        layouts.SHOPIFY,
        [
            # 28.50 less a discount of 2.00 on the order is the subtotal.
            ("#1001", "TT-1", "2026-03-01 15:14:05 UTC", "12.50", "1", "11.62", "ada@example.com"),
            ("#1001", "Mug, large", "2026-03-01 15:14:05 UTC", "8.00", "2", "14.88", "ada@example.com"),
            ("#1002", "BOWL", "2026-03-01 11:20:00 UTC", "10.00", "3", "20.00", "bo@example.com"),
        ],
    ),
    "woocommerce": (
        layouts.WOOCOMMERCE,
        [
            ("501", "TT-1", "2026-03-01 09:14:05 UTC", "10.00", "2", "20.00", "7"),
            ("501", "92", "2026-03-01 09:14:05 UTC", "8.00", "2", "16.00", "7"),
            ("503", "TT-1", "2026-03-02 07:00:00 UTC", "12.50", "1", "12.50", "0"),
        ],
    ),
    "woocommerce-advanced": (
        layouts.WOOCOMMERCE_ADVANCED,
        [
            ("601", "TT-1", "2026-03-01 09:14:00 UTC", "12.50", "2", "", "ada@example.com"),
            ("602", "MUG", "2026-03-01 09:20:00 UTC", "8.00", "-1", "", "bo@example.com"),
        ],
    ),
    "magento": (
        layouts.MAGENTO,
        [
            ("000000101", "TT-1", "2026-03-01 10:14:05 UTC", "12.50", "2", "20.00", "7"),
            ("000000102", "MUG", "2026-03-01 11:00:00 UTC", "8.00", "2", "16.00", "bo@example.com"),
        ],
    ),
    "square": (
        layouts.SQUARE,
        [
            ("T1", "COF", "2026-03-01 15:14:05 UTC", "4.00", "2", "8.00", "C7"),
            ("T1", "Cake", "2026-03-01 15:14:05 UTC", "1004.50", "1", "1004.50", "C7"),
            ("T2", "COF", "2026-03-01 16:00:00 UTC", "4.50", "-1", "-4.50", ""),
        ],
    ),
    "lightspeed": (
        layouts.LIGHTSPEED,
        [
            ("9001", "TT-1", "2026-03-01 09:14:05 UTC", "7.50", "2", "15.00", "ada-1"),
            ("9001", "MUG", "2026-03-01 09:14:05 UTC", "7.50", "1", "7.50", "ada-1"),
            ("9002", "MUG", "2026-03-01 10:00:00 UTC", "7.50", "-1", "-7.50", ""),
        ],
    ),
    "odoo-pos": (
        layouts.ODOO,
        [
            ("Shop/0001", "[TT-1] Tea towel", "2026-03-01 09:14:05 UTC", "12.50", "2", "22.50", "Ada"),
            ("Shop/0001", "[MUG] Mug", "2026-03-01 09:14:05 UTC", "8.00", "1", "8.00", "Ada"),
            ("Shop/0002", "[MUG] Mug", "2026-03-01 10:00:00 UTC", "8.00", "-1", "-8.00", ""),
        ],
    ),
    "uci-online-retail": (
        layouts.UCI,
        [
            ("536365", "85123A", "2010-07-01 07:26:00 UTC", "2.55", "6", "", "17850.0"),
            ("536365", "71053", "2010-07-01 07:26:00 UTC", "3.39", "6", "", "17850.0"),
            ("C536379", "D", "2010-07-13 08:41:00 UTC", "27.50", "-1", "", "14527"),
            ("536414", "22139", "2010-07-13 10:52:00 UTC", "0.00", "56", "", ""),
        ],
    ),
    "generic": (
        layouts.GENERIC,
        [
            ("A-1", "4711", "2026-03-13 09:14:00 UTC", "1234.50", "2", "", ""),
            ("A-2", "4712", "2026-03-14 08:00:00 UTC", "12.00", "1", "", ""),
        ],
    ),
}
FIELDS = ("order_id", "product_id", "event_time", "price", "quantity", "amount", "user_id")


def test_every_preset_has_a_case() -> None:
    assert set(CASES) == {preset.name for preset in PRESETS} | {"generic"}


@pytest.mark.parametrize("name", CASES)
def test_a_preset_reads_its_layout(tmp_path: Path, name: str) -> None:
    text, lines = CASES[name]
    path = tmp_path / "orders.csv"
    path.write_text(text)
    mapping = proposed(path, "Europe/Berlin").mapping
    assert mapping.layout == name
    assert [tuple(event.get(field, "") for field in FIELDS) for event in events(path, mapping)] == lines


def test_the_names_of_a_line_come_along(tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    path.write_text(layouts.SHOPIFY)
    first, second, _ = events(path, proposed(path).mapping)
    assert (first["product_name"], first["brand"], second["product_name"]) == ("Tea towel", "acme", "Mug, large")
    path.write_text(layouts.GENERIC, encoding="cp1252")
    proposal = proposed(path)
    assert (proposal.mapping.text.encoding, proposal.mapping.text.header_line) == ("cp1252", 2)
    assert [event["product_name"] for event in events(path, proposal.mapping)] == ["Käse", "Öl"]
