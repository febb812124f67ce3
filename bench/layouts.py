"""Files of other layouts, without Kafka: `python -m bench.layouts --csv FILE`.

CPU of a row from file to event (both passes) in the seed layout and, by a mapping, in other containers with the same
rows; and what `inspect` takes for the whole file.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import duckdb

from bench.machine import machine, table
from local.producer_run import demo_data
from services.producer.layouts.file import MappedFile
from services.producer.layouts.inspection import Answers, propose
from services.producer.layouts.mapping import Mapping
from services.producer.layouts.review import mapping_needed, review
from services.producer.line_ids import read_line_ids
from services.producer.partitioner import keyed_partitioner
from services.producer.rows import RowEncoder
from services.producer.source import PurchaseFile

FORMATS = {
    "seed layout, CSV": ("seed.csv", "(FORMAT csv, HEADER)"),
    "semicolons, CSV": ("other.csv", "(FORMAT csv, HEADER, DELIMITER ';')"),
    "JSON lines": ("other.jsonl", "(FORMAT json)"),
    "Parquet": ("other.parquet", "(FORMAT parquet)"),
}


def main(arguments: list[str] | None = None) -> int:
    """Measure as the command line says; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.layouts", description="Files of other layouts.")
    parser.add_argument(
        "--csv", type=Path, metavar="FILE", help="purchases in the seed layout (default: the groceries)"
    )
    parser.add_argument("--rows", type=int, default=100_000, help="rows in each container (default: 100,000)")
    options = parser.parse_args(arguments)
    file = options.csv or demo_data()
    measured = [(f"inspect {file.name}", f"{_cpu_s(partial(_inspect, file)):.1f} s")]
    with tempfile.TemporaryDirectory() as folder:
        for name, (base, form) in FORMATS.items():
            path = Path(folder) / base
            _write(file, path, form, options.rows)
            mapping = None if base == "seed.csv" else propose(path, Answers(), "UTC").mapping
            seconds = min(_cpu_s(partial(_encode, path, mapping)) for _ in range(3))
            measured.append((name, f"{seconds / options.rows * 1e6:.1f} µs a row"))
    print(f"\n{options.rows:,} rows of {file.name}, best of 3, CPU time on {machine()}")
    print(table([("what", "measured"), *measured]))
    return 0


def _cpu_s(work: Callable[[], object]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def _inspect(file: Path) -> None:
    proposal = mapping_needed(file, Answers(), "UTC")
    review(file, proposal.mapping if proposal else None)


def _write(file: Path, path: Path, form: str, rows: int) -> None:
    """The file's first whole rows in another container."""
    with duckdb.connect() as database:
        read = f"read_csv('{file}', all_varchar = true, ignore_errors = true)"
        database.execute(f"COPY (SELECT * FROM {read} LIMIT {rows}) TO '{path}' {form}")


def _encode(path: Path, mapping: Mapping | None) -> None:
    with PurchaseFile(path) if mapping is None else MappedFile(path, mapping) as file:
        ids = read_line_ids(file)
    now_ms = int(time.time() * 1000)
    with PurchaseFile(path) if mapping is None else MappedFile(path, mapping) as file:
        encoder = RowEncoder(file.columns, path.name, ids, keyed_partitioner(4))
        for block in file.blocks():
            encoder.encode(block, now_ms)


if __name__ == "__main__":
    sys.exit(main())
