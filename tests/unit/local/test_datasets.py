"""The mapping of completejourney to the seed CSV, on a few lines in the set's own layout."""

import csv
import gzip
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from local.datasets import main, write_lines

HEADER = "event_time,order_id,product_id,category_id,category_code,brand,price,user_id,quantity,amount,product_name"
Line = tuple[int, int, int, int, float, str]
"""household, basket, product, quantity, sales_value, transaction_timestamp"""
PRODUCTS = """
    (1, 'GROCERY', 'National', 'FRZN ICE', 'ICE - CRUSHED/CUBED'),
    (2, 'DRUG GM', 'Private', 'CANDY - PACKAGED', 'CANDY, "BIG" BAG'),
    (3, 'MISCELLANEOUS', 'National', NULL, NULL),
    (4, ' ELECT &PLUMBING ', 'National', 'MISC. DAIRY (PK)', 'X')
"""


@pytest.fixture
def convert(tmp_path: Path) -> Callable[..., list[dict[str, str]]]:
    def written(*lines: Line, out: str = "out.csv.gz") -> list[dict[str, str]]:
        transactions, products = tmp_path / "t.parquet", tmp_path / "it's p.parquet"
        values = ", ".join(f"({h}, 9, {b}, {p}, {q}, {v!r}::DOUBLE, TIMESTAMP '{t}')" for h, b, p, q, v, t in lines)
        store(
            transactions,
            "household_id, store_id, basket_id, product_id, quantity, sales_value, transaction_timestamp",
            values,
        )
        store(products, "product_id, department, brand, product_category, product_type", PRODUCTS)
        assert write_lines(transactions, products, tmp_path / out) == len(lines)
        return read(tmp_path / out)

    return written


def store(parquet: Path, columns: str, values: str) -> None:
    path = str(parquet).replace("'", "''")
    with duckdb.connect() as database:
        database.execute(f"COPY (SELECT * FROM (VALUES {values}) t({columns})) TO '{path}' (FORMAT parquet)")


def read(file: Path) -> list[dict[str, str]]:
    with gzip.open(file, "rt") if file.suffix == ".gz" else file.open() as text:
        return list(csv.DictReader(text))


def one(line: dict[str, str], *names: str) -> tuple[str, ...]:
    return tuple(line[name] for name in names)


def test_a_line_has_every_column_of_the_seed_layout(convert: Callable[..., list[dict[str, str]]]) -> None:
    [line] = convert((900, 31198570044, 2, 2, 1.98, "2017-01-01 11:53:26"))
    assert ",".join(line) == HEADER
    assert line == {
        "event_time": "2017-01-01 11:53:26 UTC",
        "order_id": "31198570044",
        "product_id": "2",
        "category_id": "",
        "category_code": "drug_gm.candy_packaged",
        "brand": "Private",
        "price": "0.99",
        "user_id": "900",
        "quantity": "2",
        "amount": "1.98",
        "product_name": 'CANDY, "BIG" BAG',
    }


@pytest.mark.parametrize(
    ("product", "code"),
    [(1, "grocery.frzn_ice"), (3, "miscellaneous"), (4, "elect_plumbing.misc_dairy_pk"), (99, "")],
)
def test_points_separate_the_levels_of_a_category_and_nothing_else(
    convert: Callable[..., list[dict[str, str]]], product: int, code: str
) -> None:
    [line] = convert((1, 1, product, 1, 1.0, "2017-01-01 00:00:00"))
    assert line["category_code"] == code


@pytest.mark.parametrize(
    ("quantity", "value", "expected"),
    [
        (3, 1.0, ("3", "0.33", "1.00")),
        (3, 2.0, ("3", "0.67", "2.00")),
        (2, 0.01, ("2", "0.01", "0.01")),
        (1000, 20.0, ("1000", "0.02", "20.00")),
        (1001, 2.39, ("1", "2.39", "2.39")),
        (89638, 37.0, ("1", "37.00", "37.00")),
        (0, 0.0, ("0", "0.00", "0.00")),
        (0, 2.09, ("0", "2.09", "2.09")),
        (0, 4.440892098500626e-16, ("0", "0.00", "0.00")),
        (1, 840.0000000000001, ("1", "840.00", "840.00")),
        (1, 1.1500000000000001, ("1", "1.15", "1.15")),
        (1, 0.29, ("1", "0.29", "0.29")),
    ],
)
def test_pieces_unit_price_and_exact_amount(
    convert: Callable[..., list[dict[str, str]]], quantity: int, value: float, expected: tuple[str, ...]
) -> None:
    [line] = convert((1, 1, 1, quantity, value, "2017-01-01 00:00:00"))
    assert one(line, "quantity", "price", "amount") == expected


def test_lines_are_in_order_of_time_and_else_as_in_the_set(convert: Callable[..., list[dict[str, str]]]) -> None:
    late, early = "2017-01-02 00:00:00", "2017-01-01 00:00:00"
    lines = convert(
        *((1, basket, 1, 1, 1.0, late) for basket in (5, 3, 4)), *((1, basket, 1, 1, 1.0, early) for basket in (2, 1))
    )
    assert [line["order_id"] for line in lines] == ["2", "1", "5", "3", "4"]


def test_the_same_lines_are_the_same_bytes(tmp_path: Path, convert: Callable[..., list[dict[str, str]]]) -> None:
    line = (1, 1, 1, 1, 1.0, "2017-01-01 00:00:00")
    convert(line, out="one.csv.gz")
    convert(line, out="two.csv.gz")
    assert (tmp_path / "one.csv.gz").read_bytes() == (tmp_path / "two.csv.gz").read_bytes()


def test_a_name_without_gz_is_plain_text(tmp_path: Path, convert: Callable[..., list[dict[str, str]]]) -> None:
    convert((1, 1, 1, 1, 1.0, "2017-01-01 00:00:00"), out="plain.csv")
    assert (tmp_path / "plain.csv").read_text().startswith(f"{HEADER}\n")


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    out = tmp_path / "set.csv.gz"
    out.write_bytes(b"the old one")
    with pytest.raises(duckdb.IOException, match="none"):
        write_lines(tmp_path / "none.parquet", tmp_path / "none.parquet", out)
    assert [file.name for file in tmp_path.iterdir()] == ["set.csv.gz"]
    assert out.read_bytes() == b"the old one"


def test_a_set_that_is_not_known_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["atlantis", "out.csv"])
    assert stopped.value.code == 2
    assert "completejourney" in capsys.readouterr().err
