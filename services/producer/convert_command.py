"""`python -m services.producer convert FILE OUT`: a file's rows in the seed layout, as they would be sent."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from services.common.entrypoint import run_command
from services.common.settings import ShopSettings
from services.producer.csv_rows import Unreadable, csv_line
from services.producer.layouts.purchases import open_purchases
from services.producer.source import BadFile

_DESCRIPTION = "Write the rows of a file of purchases as CSV in the seed layout, as its mapping reads them."


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns the exit status: 0 done, 2 a file cannot be read or written."""
    parser = argparse.ArgumentParser(prog="python -m services.producer convert", description=_DESCRIPTION)
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument("out", type=Path, metavar="OUT", help="CSV in UTF-8")
    parser.add_argument("--mapping", type=Path, metavar="FILE", help="what `inspect` has written")
    options = parser.parse_args(arguments)

    def run(_settings: ShopSettings) -> int:
        convert(options.file, options.mapping, options.out)
        return 0

    return run_command("convert", ShopSettings, run, {BadFile: 2})


def convert(file: Path, mapping: Path | None, out: Path) -> None:
    """Write the rows; one that cannot be split into fields stays as it is in the file. Raises BadFile."""
    try:
        with (
            open_purchases(file, mapping) as purchases,
            out.open("w", encoding="utf-8", errors="surrogateescape", newline="") as target,
        ):
            target.write(csv_line(purchases.columns) + "\n")
            for block in purchases.blocks():
                for row, text in zip(block.rows, block.texts, strict=True):
                    target.write((text.rstrip("\r\n") if isinstance(row, Unreadable) else csv_line(row)) + "\n")
    except OSError as error:
        raise BadFile(f"{out} cannot be written: {error.strerror}") from None
