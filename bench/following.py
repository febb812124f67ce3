"""What following the stream costs, without Kafka: `python -m bench.following [--csv FILE] [--rows N]`.

The rows become records as the producer makes them, and an empty live state applies them, as after a restart. It
reports the CPU time of a record, of its validation alone and of all records (the best of three rounds), and the memory
of the state per customer. CPU time of the one thread depends less on other load on the machine than wall-clock time.
"""

import argparse
import gc
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from bench.machine import machine, table
from local.producer_run import demo_data
from recsys.catalogue import Catalogue, Labels, ProductColumns
from recsys.category_affinity import no_categories
from recsys.co_purchases import no_co_purchases
from recsys.decayed_counts import HOUR_MS
from recsys.live_state import LiveState
from recsys.purchase_history import NO_PAST
from recsys.stream_apply import Deduplicator, StreamApplier
from services.common.events import parse
from services.producer.line_ids import read_line_ids
from services.producer.rows import Record, RowEncoder
from services.producer.source import PurchaseFile

PRODUCTS = 100_000
HALF_LIVES_H = (6.0, 168.0)
ROUNDS = 3
_PAGE = os.sysconf("SC_PAGE_SIZE")


def main(arguments: list[str] | None = None) -> int:
    """Measure as the command line says; returns the exit status."""
    options = _options(arguments)
    file: Path = options.csv or demo_data()
    records, now_ms = _records(file, options.rows), int(time.time() * 1000)
    print(f"\nThe recommender's state alone: {len(records):,} records of {file.name} on {machine()}")
    parsing = _cpu_us(records, lambda record: parse(record.value, now_ms))
    applier, grown = _fed(records, now_ms)
    following = min(_fed(records, now_ms)[0][1] for _ in range(ROUNDS - 1)) if ROUNDS > 1 else applier[1]
    sizes = applier[0].live.sizes()
    rows = [
        ("what", "value"),
        ("CPU of a record, validation", f"{parsing:.2f} µs"),
        ("CPU of a record, all", f"{min(following, applier[1]):.2f} µs"),
        ("records a second of one core", f"{1e6 / min(following, applier[1]):,.0f}"),
        ("customers", f"{sizes.customers:,}"),
        ("lines of theirs", f"{sizes.lines:,}"),
        ("fresh neighbours", f"{sizes.neighbours:,}"),
        ("fresh order pairs", f"{sizes.order_pairs:,}"),
        ("memory", f"{grown / 2**20:.1f} MB"),
        ("memory per 100,000 customers", f"{grown / 2**20 / max(sizes.customers, 1) * 100_000:.1f} MB"),
    ]
    print(table(rows))
    return 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.following", description="CPU and memory of the live state.")
    parser.add_argument(
        "--csv", type=Path, metavar="FILE", help="purchases in the seed layout (default: the grocery set)"
    )
    parser.add_argument("--rows", type=int, metavar="N", help="only the first N rows")
    return parser.parse_args(arguments)


def _records(path: Path, rows: int | None) -> list[Record]:
    """What the producer sends of these rows, and nothing of what it refuses."""
    now_ms = int(time.time() * 1000)
    with PurchaseFile(path) as file:
        ids = read_line_ids(file)
    with PurchaseFile(path) as file:
        encoder = RowEncoder(file.columns, path.name, ids, lambda key: (0, key.encode()))
        blocks = file.blocks(1, None if rows is None else rows + 1)
        return [made for block in blocks for made in encoder.encode(block, now_ms) if isinstance(made, Record)]


def _cpu_us(records: Sequence[Record], work: Callable[[Record], object]) -> float:
    """CPU time of a record, the best of the rounds."""
    return min(_round(records, work) for _ in range(ROUNDS))


def _round(records: Sequence[Record], work: Callable[[Record], object]) -> float:
    begun = time.thread_time()
    for record in records:
        work(record)
    return (time.thread_time() - begun) / len(records) * 1e6


def _fed(records: Sequence[Record], now_ms: int) -> tuple[tuple[StreamApplier, float], int]:
    """A state that took all of them in, the CPU time of one, and the bytes that the process has grown by."""
    applier = _empty()
    gc.collect()
    before = _resident()
    took = _round(records, lambda record: applier.apply(record.value, now_ms))
    gc.collect()
    return (applier, took), _resident() - before


def _empty() -> StreamApplier:
    """An empty state, with room for every product."""
    nothing = Labels(np.empty(0, np.int32), [])
    columns = ProductColumns(
        names=nothing,
        categories=Labels(np.empty(0, np.int32), []),
        brands=Labels(np.empty(0, np.int32), []),
        prices=np.empty(0, np.int64),
    )
    catalogue = Catalogue([], 0, columns, spare=PRODUCTS)
    live = LiveState(NO_PAST, no_co_purchases(PRODUCTS), [hours * HOUR_MS for hours in HALF_LIVES_H])
    return StreamApplier(catalogue, no_categories(PRODUCTS), live, Deduplicator())


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE


if __name__ == "__main__":
    sys.exit(main())
