"""The mapping file: what is written is read again, and mistakes in it are named."""

from pathlib import Path

import pytest

from services.producer.layouts.file import MappedFile
from services.producer.layouts.mapping import Mapping, TextForm, as_toml, read_mapping, write_mapping
from services.producer.layouts.order_totals import OrderLine, spread
from services.producer.layouts.times import DateOrder
from services.producer.source import BadFile

MAPPING = Mapping(
    layout="generic",
    columns={
        "event_time": ["Datum", "Uhrzeit"],
        "order_id": ['Nr. "neu"'],
        "product_id": ["SKU"],
        "price": ["Preis €"],
    },
    text=TextForm("cp1252", "\t", 3),
    sheet="Blatt 1",
    decimal=",",
    thousands=".",
    dates=DateOrder.DAY_FIRST,
    zone="Europe/Berlin",
    fill=["Datum"],
    only={"Line Type": ["Sale Line"]},
    skip={"Status": ["storniert", "*"]},
)


def test_a_mapping_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_mapping(MAPPING, tmp_path / "m.toml", "orders.csv")
    assert read_mapping(tmp_path / "m.toml") == MAPPING


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("format = 1", "format = 2", "has format 2, this version reads 1"),
        ("format = 1", "format = ", "is not valid"),
        ('decimal = ","', 'decimal = "."', "has unusable marks"),
        ('dates = "day-first"', 'dates = "dd.mm"', "is not valid: .*dd.mm"),
        ('zone = "Europe/Berlin"', 'zone = "Berlin"', "has an unknown zone 'Berlin'"),
        ('price = ["Preis €"]', "", "has no column for price: add it to"),
        ("product_id", "produkt", "names unknown columns: produkt"),
        ('encoding = "cp1252"', 'encoding = "ansi"', "has an unknown encoding 'ansi'"),
        ('delimiter = "\\t"', 'delimiter = ""', "has the delimiter ''"),
        ("header_line = 3", "header_line = 0", "has a header_line below 1"),
        ("fill =", "fills =", "is not valid: .*fills"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, old: str, new: str, problem: str) -> None:
    text = as_toml(MAPPING, "orders.csv")
    assert old in text
    (tmp_path / "m.toml").write_text(text.replace(old, new))
    with pytest.raises(BadFile, match=f"m.toml {problem}"):
        read_mapping(tmp_path / "m.toml")


def test_a_file_without_the_columns(tmp_path: Path) -> None:
    (tmp_path / "orders.csv").write_text("Datum\tSKU\n1.3.2026\tx\n")
    mapping = Mapping(layout="generic", columns=MAPPING.columns, text=TextForm("utf-8", "\t", 1))
    with pytest.raises(
        BadFile, match=r'names columns that the file lacks: Nr. "neu", Preis €, Uhrzeit \(found: Datum, SKU\)'
    ):
        MappedFile(tmp_path / "orders.csv", mapping)
    with pytest.raises(BadFile, match="cannot be read: No such file"):
        read_mapping(tmp_path / "none.toml")


def line(revenue: int | None, total: int | None = None, refund: int = 0) -> OrderLine:
    return OrderLine("A", revenue, total, refund)


@pytest.mark.parametrize(
    ("lines", "amounts"),
    [
        ([line(1250, 2650), line(1600)], [1162, 1488]),
        ([line(100, 200), line(100), line(100)], [67, 67, 66]),
        ([line(3000, 3000, 1000)], [2000]),
        ([line(1000, 1000, 1500)], [0]),
        ([line(1000, 1000), line(0)], [None, None]),  # nothing is taken off
        ([line(1000, 1200)], [None]),  # with tax
        ([line(1000, 1200, 300)], [700]),
        ([line(-1000, -500)], [None]),
        ([line(None, 500), line(1000)], [None, None]),
        ([line(0, 0, 100)], [None]),
    ],
)
def test_what_is_taken_off_an_order_adds_up(lines: list[OrderLine], amounts: list[int | None]) -> None:
    assert spread(lines) == amounts
