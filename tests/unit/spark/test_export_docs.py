"""docs/export.md: its columns are those of the files, and its queries run."""

import re
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from spark.curate import CURATED
from spark.recommendation_rows import COLUMNS
from spark.records import ORIGIN, PURCHASE

GUIDE = (Path(__file__).parents[3] / "docs" / "export.md").read_text()
QUERIES = re.findall(r"```sql\n(.+?)```", GUIDE, re.DOTALL)
LINES = [("2020-03", "a", "1", 3, 1050), ("2020-03", "a", "2", 1, 200), ("2020-04", "b", "1", -1, -350)]


def documented(heading: str) -> list[str]:
    """The names in the first column of the section's last table."""
    section = GUIDE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    table = section.rpartition("| column | type | meaning |")[2]
    cells = re.findall(r"^\| (`[^|]+) \|", table, re.MULTILINE)
    return [name for cell in cells for name in re.findall(r"`(\w+)`", cell)]


def test_the_columns_are_those_of_the_files() -> None:
    assert documented("Recommendations") == [name for name, _ in COLUMNS]
    assert documented("Purchases") == [name for name, _ in CURATED]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Purchases in the layout that the batch job writes."""
    for number, (month, order, product, quantity, revenue) in enumerate(LINES):
        row: dict[str, int | str | None] = dict.fromkeys((name for name, _ in (*ORIGIN, *PURCHASE)), None)
        row |= {"order_id": order, "product_id": product, "quantity": quantity, "revenue": revenue}
        (tmp_path / f"month={month}").mkdir(exist_ok=True)
        pq.write_table(pa.Table.from_pylist([row]), tmp_path / f"month={month}" / f"part-{number}.parquet")
    return tmp_path


def test_the_queries_run(folder: Path) -> None:
    with duckdb.connect() as connection:
        months, products = (
            connection.execute(query.replace("purchases/", f"{folder}/")).fetchall() for query in QUERIES
        )
    assert months == [("2020-03", 12.5, 1), ("2020-04", -3.5, 1)]
    assert products == [("1", None, 2, 7.0), ("2", None, 1, 2.0)]
