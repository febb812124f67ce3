"""The same rows are the same lines, whatever they come in."""

import gzip
import json
import zipfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import duckdb
import pytest

from services.producer.layouts.containers import Container, container_of, open_table
from services.producer.layouts.mapping import TextForm
from services.producer.source import BadFile
from tests.support.layouts import events, proposed
from tests.support.workbook import Cell, write_workbook

ROWS = [
    ("2026-03-01 10:14:05", "1001", "4711", 12.5, 2, "Käse"),
    ("2026-03-01 10:14:05", "1001", "4711", 12.5, 2, "Käse"),
    ("2026-03-02 11:00:00", "1002", "4712", 1355.9, 1, "Öl, 1 l"),
]
HEADER = ("Date", "Order ID", "SKU", "Price", "Qty", "Title")
CSV = "".join(
    f"{line}\n"
    for line in [",".join(HEADER), *(f'{t},{o},{p},{price:.2f},{q},"{name}"' for t, o, p, price, q, name in ROWS)]
)


def plain(path: Path) -> None:
    """The rows in the seed layout, as they would be sent without a mapping."""
    lines = [f'{t} UTC,{o},{p},,,,{price:.2f},,{q},"{name}"' for t, o, p, price, q, name in ROWS]
    header = "event_time,order_id,product_id,category_id,category_code,brand,price,user_id,quantity,product_name"
    path.write_text("\n".join([header, *lines]))


def zipped(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("__MACOSX/._orders.csv", "x")
        archive.writestr("export/orders.csv", CSV)


def json_lines(path: Path) -> None:
    path.write_text("".join(json.dumps(dict(zip(HEADER, row, strict=True))) + "\n" for row in ROWS))


def workbook(path: Path) -> None:
    rows: list[list[Cell]] = [
        [datetime.fromisoformat(t), float(o), p, price, q, name] for t, o, p, price, q, name in ROWS
    ]
    write_workbook(path, {"Orders": [["Our shop"], list(HEADER), *rows], "Empty": []})


def parquet(path: Path) -> None:
    with duckdb.connect() as database:
        database.execute(
            'CREATE TABLE t ("Date" TIMESTAMP, "Order ID" DOUBLE, "SKU" VARCHAR, '
            '"Price" DOUBLE, "Qty" DOUBLE, "Title" VARCHAR)'
        )
        database.executemany("INSERT INTO t VALUES (?, ?, ?, ?, ?, ?)", ROWS)
        database.execute(f"COPY t TO '{path}' (FORMAT parquet)")


FILES: dict[str, tuple[Container, Callable[[Path], object]]] = {
    "orders.csv": (Container.TEXT, lambda path: path.write_text(CSV)),
    "orders.tsv": (Container.TEXT, lambda path: path.write_text(CSV.replace(",", "\t").replace("Öl\t", "Öl,"))),
    "orders.csv.gz": (Container.TEXT, lambda path: path.write_bytes(gzip.compress(CSV.encode()))),
    "orders.zip": (Container.TEXT, zipped),
    "orders.jsonl": (Container.JSON_LINES, json_lines),
    "orders.xlsx": (Container.WORKBOOK, workbook),
    "orders.parquet": (Container.PARQUET, parquet),
}


@pytest.mark.parametrize("name", FILES)
def test_a_line_keeps_its_identity_in_any_container(tmp_path: Path, name: str) -> None:
    plain(tmp_path / "plain.csv")
    expected = events(tmp_path / "plain.csv", None)
    kind, write = FILES[name]
    write(tmp_path / name)
    assert container_of(tmp_path / name) is kind
    proposal = proposed(tmp_path / name)
    assert events(tmp_path / name, proposal.mapping) == expected
    assert [event["event_id"][-2:] for event in expected] == ["_1", "_2", "_1"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'[{"a": 1}]', "one JSON array: write one object a line"),
        (b"\xd0\xcf\x11\xe0" + bytes(100), "an old Excel file: save it as .xlsx"),
        (gzip.compress(gzip.compress(b"a,b\n", mtime=0), mtime=0), "holds another packed file: unpack it first"),
        (b"PAR1" + bytes(100), "cannot be read as Parquet"),
        (b"PK\x03\x04" + bytes(100), "cannot be read"),
        (b"\n", "has no header"),
    ],
)
def test_what_cannot_be_read_says_what_to_do(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "orders"
    path.write_bytes(content)
    with pytest.raises(BadFile, match=message), open_table(path, TextForm()) as table:
        list(table.rows)


def test_a_zip_with_two_tables_and_a_damaged_gz(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.writestr("a.csv", CSV)
        archive.writestr("b.csv", CSV)
    with pytest.raises(BadFile, match=r"holds 2 files \(a.csv, b.csv\), not one"):
        container_of(tmp_path / "two.zip")
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress((CSV * 5000).encode())[:-100])
    with pytest.raises(BadFile, match="cannot be read"), open_table(tmp_path / "cut.csv.gz", TextForm()) as table:
        list(table.rows)
    with pytest.raises(BadFile, match="No such file"):
        container_of(tmp_path / "missing.csv")
