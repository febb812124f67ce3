"""The evaluation of similar products on a small shop, from its files to the tables and the page."""

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from recsys.decayed_counts import DAY_MS
from recsys.evaluation.purchase_log import read_log
from spark import similar_text
from spark.evaluate_similar import ALLOWED, SETTINGS, run_similar, shop_at
from spark.step_log import StepLog
from tests.support.purchase_log import START_MS, two_worlds


def test_from_purchases_to_the_tables_and_the_page(tmp_path: Path) -> None:
    drawn = two_worlds(120, seed=1)
    products = [drawn.products[row] for row in drawn.rows]
    lines = pa.table(
        {
            "event_time": pa.array(drawn.at_ms),
            "order_id": [f"o{order}" for order in drawn.orders],
            "user_id": [drawn.user(line) for line in range(len(drawn))],
            "product_id": products,
            "product_name": [f"name {row % 20 // 4}" for row in drawn.rows],
            "category_code": [f"world.{row // 20}" for row in drawn.rows],
            "brand": pa.array([None] * len(drawn), pa.string()),
            "price": pa.array(drawn.rows + 100),
            "quantity": pa.array(drawn.quantity),
        }
    )
    (tmp_path / "purchases").mkdir()
    pq.write_table(lines, tmp_path / "purchases" / "part.parquet")
    log = read_log(tmp_path / "purchases")
    shop = shop_at(log, START_MS + 25 * DAY_MS, tmp_path)
    document = run_similar(shop, log.newest_ms + 1, 40, tmp_path, StepLog(io.StringIO()))
    substitutes = document["substitutes"]
    assert substitutes["questions"] == 40
    assert substitutes["same category"]["substitutes"][0] == substitutes["same category"][ALLOWED][0] == 1
    assert list(document["variety"]["methods"]) == list(SETTINGS)
    alike = {name: each["alike"] for name, each in document["variety"]["methods"].items()}
    assert alike["none"] > 0
    assert alike["no two alike"] == 0
    assert document["complements"] == {"questions": 0, "methods": {}}, "each order has one product"
    table = similar_text.text(document)
    assert ALLOWED in table
    assert "HR@3 / first" in table
    page = similar_text.product_page(shop, 50).splitlines()
    rows = [row for row in page if row.startswith("| name")]
    assert len(rows) == 2, "a product of each category"
    assert all(row.count("<br>") == 2 and row.endswith("|  |") for row in rows), "three substitutes, no complement"
