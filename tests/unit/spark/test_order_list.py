"""The shop system's list of orders against the purchases that count, to the cent."""

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from services.producer.layouts.amounts import NumberStyle
from services.producer.source import BadFile
from spark.order_list import Difference, Finding, NoRun, counted_orders, differences, read_list, write
from tests.support.bucket import Bucket

FOLDER = "curated/purchases/v2/month=2026-11/"


def lines(**orders: list[int]) -> bytes:
    table = pa.table(
        {
            "order_id": [order_id for order_id, revenues in orders.items() for _ in revenues],
            "revenue": [revenue for revenues in orders.values() for revenue in revenues],
        }
    )
    file = io.BytesIO()
    pq.write_table(table, file)
    return file.getvalue()


def test_the_newest_run_s_lines_add_up_by_order_over_its_files() -> None:
    bucket = Bucket()
    with pytest.raises(NoRun, match="run `python -m spark run`"):
        counted_orders(bucket)
    bucket.objects = {
        "reports/latest.json": b'{"version": "v2"}',
        "curated/purchases/v1/month=2026-10/a.parquet": lines(a=[999]),
        f"{FOLDER}a.parquet": lines(a=[100, 250], b=[500]),
        f"{FOLDER}b.parquet": lines(a=[-50]),
        f"{FOLDER}_SUCCESS": b"",
    }
    assert counted_orders(bucket) == {"a": 300, "b": 500}


def test_what_is_missing_and_what_differs_by_a_cent_is_found_and_nothing_else() -> None:
    listed = [
        ("same", 100),
        ("cent", 101),
        ("lost", 5),
        ("again", 7),
        ("again", 7),
        ("two", 1),
        ("two", 2),
        ("none", 0),
    ]
    counted = {"same": 100, "cent": 100, "again": 7, "two": 1, "none": 0, "unlisted": 9}
    found = list(differences(listed, counted))
    assert found == [
        Finding("cent", Difference.OTHER_REVENUE, 101, 100),
        Finding("lost", Difference.MISSING, 5, None),
        Finding("two", Difference.LISTED_TWICE, None, 1),
    ]
    out = io.StringIO()
    write(found, out)
    assert out.getvalue().splitlines()[1:] == [
        "cent,other_revenue,1.01,1.00",
        "lost,missing,0.05,",
        "two,listed_twice,,0.01",
    ]


def test_a_list_is_read_as_the_shop_system_writes_it(tmp_path: Path) -> None:
    file = tmp_path / "orders.csv"
    file.write_bytes("Name;Summe\n#1001;1.234,50 €\n#1001;\n#1002;-0,05\n".encode("cp1252"))
    assert list(read_list(file, "Name", "Summe", NumberStyle(",", "."))) == [("#1001", 123_450), ("#1002", -5)]


@pytest.mark.parametrize(
    ("text", "said"),
    [("id,total\n1,2\n", "no column 'order_id'"), ("order_id,total\n1,1.234\n", "row 1: '1.234' is no amount")],
    ids=["column", "amount"],
)
def test_a_list_that_is_not_understood_is_refused(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "orders.csv"
    file.write_text(text)
    with pytest.raises(BadFile, match=said):
        list(read_list(file, "order_id", "total", NumberStyle()))
