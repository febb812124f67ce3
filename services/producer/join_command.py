"""`python -m services.producer join`: orders and their lines in two files, as one file that is then read like any."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from services.common.entrypoint import run_command
from services.common.settings import ShopSettings
from services.producer.csv_rows import csv_line
from services.producer.layouts.containers import Container, Table, container_of, open_table, sheet_names
from services.producer.layouts.file_form import form_of
from services.producer.layouts.order_join import Counts, Join, Orders, Write, find_key, joined_columns
from services.producer.source import BadFile

_WAITING = 3
_WAITING_END = ".waiting.csv"
_PROBLEMS_SHOWN = 20
_DESCRIPTION = """\
Join orders and their lines, which are in two files, by the order's id: OUT has a row for each line with the columns of
its order. It is then looked at and sent like any other file.

Lines whose order is in none of the files wait: they are written to the file of --waiting, which is one of the --lines
the next time, with the orders that come later. A file that has such lines is not written over unless it is among the
--lines and its name ends with .waiting.csv. Files may be CSV, .gz, .zip, JSON lines, .xlsx or Parquet.

Exit status: 0 all lines are joined, 2 a file cannot be read or written, 3 some lines wait.
"""


@dataclass(frozen=True, slots=True)
class Files:
    """What is joined, and where the lines go: `out` the joined ones, `waiting` the others."""

    orders: Sequence[Path]
    lines: Sequence[Path]
    out: Path
    waiting: Path


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m services.producer join",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--orders", type=Path, nargs="+", required=True, metavar="FILE", help="a row for each order")
    add("--lines", type=Path, nargs="+", required=True, metavar="FILE", help="a row for each line of an order")
    add("--out", type=Path, required=True, metavar="OUT", help="CSV in UTF-8")
    add("--on", default="", metavar="ORDERS=LINES", help="the columns of the order's id (default: by their names)")
    add("--waiting", type=Path, metavar="FILE", help="where lines wait (default: OUT with .waiting.csv at its end)")
    options = parser.parse_args(arguments)
    waiting = options.waiting or options.out.with_suffix(_WAITING_END)
    files = Files(options.orders, options.lines, options.out, waiting)

    def run(_settings: ShopSettings) -> int:
        counts = join_files(files, options.on)
        return _WAITING if counts.waiting else 0

    return run_command("join", ShopSettings, run, {BadFile: 2})


def join_files(files: Files, on: str = "") -> Counts:
    """Join them, and say what became of the lines. Files are replaced once all is written. Raises BadFile."""
    _refuse_to_overwrite(files)
    with _table(files.orders[0]) as first, _table(files.lines[0]) as second:
        columns = first.columns, second.columns
    key = find_key(*columns, on)
    orders = Orders(columns[0], key)
    for path in files.orders:
        with _table(path) as table:
            orders.add(path.name, table)
    with ExitStack() as opened:  # the first one is replaced last: a line that waits is in one of the two at any time
        waiting = opened.enter_context(_writer(files.waiting, columns[1]))
        joined = opened.enter_context(_writer(files.out, joined_columns(*columns, key)))
        join = Join(columns[1], key, orders, joined, waiting)
        for path in files.lines:
            with _table(path) as table:
                join.add(path.name, table)
    _report(files, orders, join.counts)
    if not join.counts.waiting:
        files.waiting.unlink()
    return join.counts


def _refuse_to_overwrite(files: Files) -> None:
    """Raises BadFile where a file would be written over that is read, or that has lines that wait."""
    out, waiting = files.out.resolve(), files.waiting.resolve()
    written = [out, _part(out), waiting, _part(waiting)]
    lines = {path.resolve() for path in files.lines}
    if len(set(written)) < len(written):
        raise BadFile(f"{files.out} cannot have the lines that wait too: name another file with --waiting")
    # The lines that waited may be read and written; a file of lines by any other name is the shop's own.
    read = {path.resolve() for path in files.orders} | (lines - {waiting} if _only_waits(waiting) else lines)
    if read & set(written):
        raise BadFile("a file that is read cannot be written: name other files with --out and --waiting")
    if waiting.exists() and waiting not in lines:
        raise BadFile(
            f"{files.waiting} has lines that wait for their orders and would be lost: name it as one of the --lines, "
            "or write to another file with --waiting"
        )


def _only_waits(path: Path) -> bool:
    return path.name.endswith(_WAITING_END)


def _part(path: Path) -> Path:
    return path.with_name(f"{path.name}.part")


@contextmanager
def _table(path: Path) -> Iterator[Table]:
    with open_table(path, form_of(path)) as table:
        if container_of(path) is Container.WORKBOOK and len(names := sheet_names(path)) > 1:
            raise BadFile(f"{path} has several sheets ({', '.join(names)}): save the one to join as a file of its own")
        yield table


@contextmanager
def _writer(path: Path, columns: Sequence[str]) -> Iterator[Write]:
    """Writes rows to a file next to it, which takes its place at the end. Raises BadFile."""
    part = _part(path)
    try:
        with part.open("w", encoding="utf-8", errors="surrogateescape", newline="") as target:
            target.write(csv_line(columns) + "\n")
            yield lambda row: target.write(row + "\n")
        part.replace(path)
    except OSError as error:
        raise BadFile(f"{path} cannot be written: {error.strerror}") from None
    finally:
        part.unlink(missing_ok=True)


def _report(files: Files, orders: Orders, counts: Counts) -> None:
    for problem in orders.problems[:_PROBLEMS_SHOWN]:
        print(problem, file=sys.stderr)
    if len(orders.problems) > _PROBLEMS_SHOWN:
        print(f"and {len(orders.problems) - _PROBLEMS_SHOWN:,} further rows of orders", file=sys.stderr)
    print(f"{files.out}: {counts.joined:,} lines joined; {orders.without_lines:,} orders have no line")
    if counts.unreadable:
        print(f"{counts.unreadable:,} rows of lines cannot be split into fields: they become dead letters")
    if counts.waiting:
        print(f"{files.waiting}: {counts.waiting:,} lines wait for their orders, such as {counts.example}", flush=True)
