"""A purchase file whose orders nobody has seen: `python -m bench.new_orders FILE COPY LABEL`.

A file that is sent twice counts once, so whoever wants to add to the figures sends a copy with other order ids.
"""

import argparse
import csv
import gzip
import sys
from collections.abc import Iterator
from pathlib import Path

from services.producer.csv_rows import Unreadable
from services.producer.source import PurchaseFile


def copy_with_new_orders(file: Path, copy: Path, label: str) -> Path:
    """Write the file's rows to `copy`, gzip, with `<label>-` before each order id. Raises BadFile."""
    with PurchaseFile(file) as source, gzip.open(copy, "wt", encoding="utf-8", newline="", compresslevel=1) as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(source.columns)
        writer.writerows(_relabelled(source, source.columns.index("order_id"), label))
    return copy


def _relabelled(source: PurchaseFile, order: int, label: str) -> Iterator[list[str]]:
    for block in source.blocks():
        for row in block.rows:
            if not isinstance(row, Unreadable):
                yield [f"{label}-{text}" if column == order else text for column, text in enumerate(row)]


def main(arguments: list[str] | None = None) -> int:
    """Write the copy; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.new_orders", description="A file with other order ids.")
    parser.add_argument("file", type=Path)
    parser.add_argument("copy", type=Path)
    parser.add_argument("label")
    options = parser.parse_args(arguments)
    copy_with_new_orders(options.file, options.copy, options.label)
    return 0


if __name__ == "__main__":
    sys.exit(main())
