"""`python -m spark.order_list FILE`: the shop system's own list of orders against the purchases that count."""

import argparse
import csv
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple, TextIO

import msgspec
import pyarrow as pa
from botocore.exceptions import BotoCoreError, ClientError

from services.common.entrypoint import run_command
from services.common.money import format_cents, parse_cents
from services.common.object_store import ObjectStore
from services.common.settings import S3Settings
from services.common.storage_errors import NoSuchObject
from services.producer.csv_rows import Unreadable
from services.producer.layouts.amounts import NumberStyle
from services.producer.layouts.containers import open_table
from services.producer.layouts.file_form import form_of
from services.producer.source import BadFile
from spark.curate import curated_tables
from spark.folders import CURATED, REPORTS

DESCRIPTION = """\
Compare the shop system's list of orders with the purchases of the newest run of the batch job: which orders are missing
or have another revenue, to the cent. Webhooks get lost; this finds out. Run the batch job first: an order that came
after it is reported as missing.

FILE is CSV, a workbook, Parquet or JSON lines, one row an order. The total must be what the lines add up to: without
shipping and fees, after discounts and refunds, as the shop's events are. A row without a total says nothing. Orders
that count and are not in the list are counted; --extra lists them, for a list of all orders.

Prints CSV: order_id, difference, listed, counted. Exit status: 0 no difference, 1 differences, 2 a mistake in file,
settings, or no run yet.
"""
_DIFFERENT = 1


class Difference(StrEnum):
    """What is wrong with an order."""

    MISSING = "missing"
    OTHER_REVENUE = "other_revenue"
    LISTED_TWICE = "listed_twice"
    NOT_LISTED = "not_listed"


class Finding(NamedTuple):
    """An order that differs; amounts in cents, None where there is none."""

    order_id: str
    difference: Difference
    listed: int | None
    counted: int | None


class NoRun(Exception):
    """The batch job has not written purchases yet."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    options = _parser().parse_args(arguments)

    def run(settings: S3Settings) -> int:
        style = NumberStyle(options.decimal, options.thousands)
        listed = list(read_list(options.file, options.order, options.total, style))
        with closing(ObjectStore(settings)) as store:
            counted = counted_orders(store)
        return _report(listed, counted, extra=options.extra)

    expected = (BadFile, NoRun, BotoCoreError, ClientError)
    return run_command("order_list", S3Settings, run, dict.fromkeys(expected, 2))


def read_list(file: Path, order: str, total: str, style: NumberStyle) -> Iterator[tuple[str, int]]:
    """Order and total in cents of each row that has a total. Raises BadFile."""
    with open_table(file, form_of(file)) as table:
        for name in (order, total):
            if name not in table.columns:
                raise BadFile(f"{file} has no column {name!r}; it has {', '.join(table.columns)}")
        places = table.columns.index(order), table.columns.index(total)
        for number, row in enumerate(table.rows, 1):
            if isinstance(row.fields, Unreadable) or len(row.fields) != len(table.columns):
                raise BadFile(f"{file}: row {number:,} has other columns than the header")
            order_id, text = (row.fields[place].strip() for place in places)
            if text:
                yield order_id, _cents(file, number, text, style)


def _cents(file: Path, number: int, text: str, style: NumberStyle) -> int:
    money = style.money(text)
    if money is None:
        raise BadFile(f"{file}: row {number:,}: {text[:40]!r} is no amount; see --decimal and --thousands")
    return parse_cents(money)


def counted_orders(store: ObjectStore) -> dict[str, int]:
    """The revenue of each order in cents, by the newest run's purchases. Raises NoRun."""
    try:
        version: str = msgspec.json.decode(store.get(f"{REPORTS}latest.json"))["version"]
    except NoSuchObject:
        raise NoRun("there are no purchases yet: run `python -m spark run`") from None
    return summed(curated_tables(store, f"{CURATED}{version}/", ("order_id", "revenue")))


def summed(tables: Iterable[pa.Table]) -> dict[str, int]:
    """The revenue of each order over all tables of lines."""
    orders: dict[str, int] = {}
    for table in tables:
        sums = table.group_by("order_id").aggregate([("revenue", "sum")])
        for row in sums.to_pylist():
            orders[str(row["order_id"])] = orders.get(str(row["order_id"]), 0) + int(row["revenue_sum"] or 0)
    return orders


def differences(listed: Iterable[tuple[str, int]], counted: Mapping[str, int]) -> Iterator[Finding]:
    """The orders of the list that are missing, have another revenue, or are listed with two totals."""
    seen: dict[str, int] = {}
    twice: set[str] = set()
    for order_id, total in listed:
        if seen.setdefault(order_id, total) != total:
            twice.add(order_id)
    for order_id, total in seen.items():
        revenue = counted.get(order_id)
        if order_id in twice:
            yield Finding(order_id, Difference.LISTED_TWICE, None, revenue)
        elif revenue is None:
            yield Finding(order_id, Difference.MISSING, total, None)
        elif revenue != total:
            yield Finding(order_id, Difference.OTHER_REVENUE, total, revenue)


def _report(listed: list[tuple[str, int]], counted: Mapping[str, int], *, extra: bool) -> int:
    found = list(differences(listed, counted))
    names = {order_id for order_id, _ in listed}
    others = [Finding(each, Difference.NOT_LISTED, None, counted[each]) for each in counted if each not in names]
    write(found + (others if extra else []), sys.stdout)
    print(
        f"{len(names):,} orders listed, {len(found):,} of them differ; "
        f"{len(counted):,} orders count, {len(others):,} of them are not listed",
        file=sys.stderr,
    )
    return _DIFFERENT if found or (extra and others) else 0


def write(findings: Iterable[Finding], out: TextIO) -> None:
    """The findings as CSV."""
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(Finding._fields)
    for each in findings:
        writer.writerow([each.order_id, each.difference, _money(each.listed), _money(each.counted)])


def _money(cents: int | None) -> str:
    return "" if cents is None else format_cents(cents)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m spark.order_list",
        description=DESCRIPTION,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument("--order", default="order_id", metavar="COLUMN", help="the order's id (default: order_id)")
    parser.add_argument("--total", default="total", metavar="COLUMN", help="its total (default: total)")
    parser.add_argument("--decimal", default=".", choices=(".", ","), help="decimal mark (default: .)")
    parser.add_argument("--thousands", default="", choices=("", ".", ",", " ", "'"), help="mark between thousands")
    parser.add_argument("--extra", action="store_true", help="list orders that count and are not listed, too")
    return parser


if __name__ == "__main__":
    sys.exit(main())
