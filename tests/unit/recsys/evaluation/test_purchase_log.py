"""The purchase log: read from tables, in the order of time, whole or of a sample of the customers."""

from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from recsys.evaluation.purchase_log import read_log, sample
from tests.support.purchase_log import curated_lines


def test_a_log_is_read_in_the_order_of_time(tmp_path: Path) -> None:
    table = pa.table(
        {
            "event_time": [30, 10, 20, 10],
            "order_id": ["o3", "o2", "o1", "o2"],
            "user_id": ["9007199254740993", None, "9007199254740992", None],
            "product_id": ["b", "c", "a", "a"],
            "category_code": [None, "tea", "cup", "cup"],
            "quantity": [1, 2, 3, 4],
        }
    )
    (tmp_path / "month=2020-09").mkdir()
    pq.write_table(table, tmp_path / "month=2020-09" / "part-0.parquet")
    log = read_log(tmp_path)
    assert log.at_ms.tolist() == [10, 10, 20, 30]
    assert [log.products[row] for row in log.rows] == ["a", "c", "a", "b"]
    assert [log.user(line) for line in range(4)] == [None, None, "9007199254740992", "9007199254740993"]
    assert log.quantity.tolist() == [4, 2, 3, 1]
    assert log.category.tolist() == [0, -1, 1], "in the order of their names; b has none"


def test_a_sample_takes_customers_whole_and_always_the_same() -> None:
    users: list[str | None] = [f"u{number % 500}" for number in range(2000)] + [None] * 1000
    some, more = sample(curated_lines(users), 0.3), sample(curated_lines(users), 0.6)
    kept = Counter(user for user in some["user_id"].to_pylist() if user)
    assert set(kept.values()) == {4}
    assert 100 < len(kept) < 200
    assert 200 < some["user_id"].null_count < 400
    assert set(some["order_id"].to_pylist()) <= set(more["order_id"].to_pylist())
    assert sample(curated_lines(users), 1.0) == curated_lines(users)
