"""The producer's two passes over a file, without Kafka: `python -m bench.line_ids --csv FILE`.

CPU of a row in the first pass, which identifies the lines, and in the second, which encodes and validates the events;
the memory of the identities, and what the process has grown by at most.
"""

import argparse
import resource
import sys
import time
from pathlib import Path

from bench.machine import machine, table
from local.producer_run import demo_data
from services.producer.line_ids import LineIds, read_line_ids
from services.producer.partitioner import keyed_partitioner
from services.producer.rows import RowEncoder
from services.producer.source import PurchaseFile


def main(arguments: list[str] | None = None) -> int:
    """Measure as the command line says; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.line_ids", description="The producer's two passes.")
    parser.add_argument(
        "--csv", type=Path, metavar="FILE", help="purchases in the seed layout (default: the groceries)"
    )
    file = parser.parse_args(arguments).csv or demo_data()
    before = _most_resident()
    begun = time.process_time()
    with PurchaseFile(file) as source:
        ids = read_line_ids(source)
    identified = time.process_time()
    most = _most_resident()
    value_bytes = _encode(file, ids)
    encoded = time.process_time()
    rows = len(ids)
    print(f"\nTwo passes over {file.name}, {rows:,} rows, on {machine()}")
    print(
        table(
            [
                ("what", "measured"),
                ("first pass: identify", f"{(identified - begun) / rows * 1e6:.2f} µs a row"),
                ("second pass: encode, validate", f"{(encoded - identified) / rows * 1e6:.2f} µs a row"),
                ("memory while rows are sent", f"{ids.nbytes / rows:.1f} bytes a row"),
                ("the most that the process grew by", f"{(most - before) / rows:.1f} bytes a row"),
                ("an event", f"{value_bytes / rows:.0f} bytes"),
            ]
        )
    )
    return 0


def _encode(file: Path, ids: LineIds) -> int:
    """Encode all rows; returns the bytes of the events and dead letters."""
    now_ms = int(time.time() * 1000)
    with PurchaseFile(file) as source:
        encoder = RowEncoder(source.columns, file.name, ids, keyed_partitioner(4))
        return sum(len(row.value) for block in source.blocks() for row in encoder.encode(block, now_ms))


def _most_resident() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    sys.exit(main())
