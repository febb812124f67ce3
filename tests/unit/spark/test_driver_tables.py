"""The model tables that the driver makes, where the order of lines or missing facts decide."""

from typing import Any

import pyarrow as pa
import pytest

from recsys.decayed_counts import DAY_MS
from spark import driver_tables
from spark.curate import CURATED
from spark.driver_tables import COLUMNS, shop_lines
from spark.records import arrow_schema

NOW_MS = 1_600_000_000_000


def lines(*given: dict[str, Any]) -> pa.Table:
    """Lines with these columns; the others have usual values."""
    usual = {"event_time": NOW_MS, "order_id": "o", "product_id": "p", "user_id": "u", "quantity": 1, "price": 100}
    schema = arrow_schema(CURATED, COLUMNS)
    return pa.Table.from_pylist([dict.fromkeys(COLUMNS) | usual | one for one in given], schema)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ({"event_time": NOW_MS - 1, "offset": 9}, {"event_time": NOW_MS, "offset": 1}),
        ({"timestamp": 5, "partition": 1, "offset": 9}, {"timestamp": 6, "partition": 0, "offset": 1}),
        ({"timestamp": 5, "partition": 1, "offset": 1}, {"timestamp": 5, "partition": 1, "offset": 2}),
        ({}, {"timestamp": 0, "partition": 0, "offset": 0}),
    ],
    ids=["event time", "arrival", "offset", "a plain line comes first"],
)
def test_the_newest_line_of_a_product_has_its_facts(earlier: Any, later: Any, turned: bool) -> None:
    both = [earlier | {"brand": "old", "price": 1}, later | {"brand": None, "price": 2}]
    table = driver_tables.catalogue(lines(*(reversed(both) if turned else both)))
    assert (table["brand"].to_pylist(), table["price_cents"].to_pylist()) == ([None], [2])


def test_a_product_that_was_only_returned_was_never_sold() -> None:
    table = driver_tables.catalogue(lines({"product_id": "a", "quantity": -1}, {"product_id": "b"}))
    assert table["last_sold_ms"].to_pylist() == [None, NOW_MS]


def test_a_quiet_week_is_filled_up_with_the_best_of_all_time() -> None:
    old = NOW_MS - 8 * DAY_MS
    shop = shop_lines(
        lines(
            {"product_id": "week"},
            {"product_id": "ahead", "event_time": NOW_MS + 1},
            *({"product_id": "often", "event_time": old, "order_id": str(number)} for number in range(3)),
            {"product_id": "back", "quantity": -1},
        ),
        NOW_MS,
    )
    table = driver_tables.popularity(shop)
    assert table.to_pydict() == {"product_id": ["week", "often", "ahead"], "score": [1.0, 3 / 4, 1 / 2]}


def test_a_shop_without_categories_has_no_ties() -> None:
    assert len(driver_tables.category_ties(shop_lines(lines({"product_id": "a"}, {"product_id": "b"}), NOW_MS))) == 0
