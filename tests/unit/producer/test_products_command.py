"""Files of products: what is read from each container, and what is refused."""

from pathlib import Path

import duckdb
import pytest

from services.common.products import Availability, CatalogueProduct
from services.producer.layouts.mapping import TextForm
from services.producer.products_command import read_products
from services.producer.source import BadFile

EXPECTED = CatalogueProduct(
    "1", product_name="Tin, of tuna", price=199, availability=Availability.HIDDEN, attributes={"colour": "red"}
)


def csv_file(path: Path) -> None:
    path.write_text('product_id,product_name,price,availability,attribute.colour\n1,"Tin, of tuna",1.99,hidden,red\n')


def json_file(path: Path) -> None:
    path.write_text(
        '{"product_id": "1", "product_name": "Tin, of tuna", "price": 1.99, "availability": "hidden", '
        '"attributes": {"colour": "red"}}\n'
    )


def parquet_file(path: Path) -> None:
    with duckdb.connect() as database:
        database.execute(
            "COPY (SELECT '1' AS product_id, 'Tin, of tuna' AS product_name, 1.99 AS price, 'hidden' AS availability, "
            f"'red' AS \"attribute.colour\") TO '{path}' (FORMAT parquet)"
        )


@pytest.mark.parametrize("write", [csv_file, json_file, parquet_file], ids=["csv", "json lines", "parquet"])
def test_every_container_holds_the_same_product(tmp_path: Path, write: object) -> None:
    file = tmp_path / "products"
    assert callable(write)
    write(file)
    assert list(read_products(file, TextForm())) == [EXPECTED]


@pytest.mark.parametrize(
    ("header", "said"),
    [("product_id,stock", "unknown columns: stock"), ("product_name", "column product_id is missing")],
    ids=["unknown", "no id"],
)
def test_a_file_of_other_columns_is_refused_whole(tmp_path: Path, header: str, said: str) -> None:
    file = tmp_path / "products.csv"
    file.write_text(f"{header}\n1,2\n")
    with pytest.raises(BadFile, match=said):
        list(read_products(file, TextForm()))


def test_a_row_that_breaks_the_contract_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    file = tmp_path / "products.csv"
    file.write_bytes(b"product_id,image_url\n1,javascript:alert(1)\n2\n\xff,\n3,\n")
    first, second, third, last = read_products(file, TextForm())
    assert str(first).startswith("row 1: image_url must begin with")
    assert str(second).startswith("row 2: row has other columns")
    assert str(third).startswith("row 3: row holds bytes that are no text")
    assert last == CatalogueProduct("3")
