"""The aggregator's work on an event, without engines: `python -m bench.hot_path --csv FILE [--rows N]`.

CPU of an event by step, from a record's bytes to the input of the script, and the longest pause of the garbage
collector. Every order is a new one.
"""

import argparse
import gc
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.machine import machine, table
from services.aggregator.__main__ import tune_garbage_collector
from services.aggregator.dedup import judge
from services.aggregator.fold import Fold, FoldContext
from services.aggregator.order_counts import KnownOrder
from services.aggregator.payload import BatchEffects, OffsetAdvance, Payload
from services.aggregator.validation import validate
from services.common.calendar import Calendar
from services.common.tables import shard_keys
from services.producer.line_ids import read_line_ids
from services.producer.partitioner import keyed_partitioner
from services.producer.rows import Record as EncodedRow
from services.producer.rows import RowEncoder
from services.producer.source import PurchaseFile

PARTITIONS = 4
CHUNK = 1000
(_KEYS,) = shard_keys(1)


@dataclass(frozen=True, slots=True)
class Record:
    """A record as the aggregator reads it."""

    offset: int
    timestamp: int
    value: bytes
    headers: Sequence[tuple[str, bytes]] = ()


class Steps:
    """CPU seconds by step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Add what the block takes."""
        begun = time.process_time()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.process_time() - begun

    def table(self, events: int) -> str:
        """Microseconds of an event, by step and together."""
        rows = [*self.seconds.items(), ("all", sum(self.seconds.values()))]
        return table([("step", "µs an event"), *((name, f"{taken / events * 1e6:.2f}") for name, taken in rows)])


class Pauses:
    """The garbage collector's longest pause, seconds."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._begun = 0.0
        gc.callbacks.append(self._note)

    def _note(self, phase: str, _info: dict[str, int]) -> None:
        if phase == "start":
            self._begun = time.perf_counter()
        else:
            self.longest = max(self.longest, time.perf_counter() - self._begun)


def main(arguments: list[str] | None = None) -> int:
    """Measure as the command line says; returns the exit status."""
    options = _options(arguments)
    chunks = list(_chunks(options.csv, options.rows))
    tune_garbage_collector()
    steps, pauses = Steps(), Pauses()
    context = FoldContext("purchases/0", 0, 1, Calendar("UTC"), 0)
    for chunk in chunks:
        _prepare(chunk, context, steps)
    events = sum(map(len, chunks))
    print(f"\nThe aggregator's work on an event: {events:,} events on {machine()}")
    print(steps.table(events))
    print(f"longest pause of the garbage collector: {pauses.longest * 1000:.1f} ms")
    return 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.hot_path", description="CPU of an event, without engines.")
    parser.add_argument(
        "--csv", type=Path, metavar="FILE", help="purchases in the seed layout (default: the grocery set)"
    )
    parser.add_argument("--rows", type=int, metavar="N", default=100_000, help="only the first N rows (100,000)")
    return parser.parse_args(arguments)


def _prepare(chunk: Sequence[Record], context: FoldContext, steps: Steps) -> None:
    now_ms = chunk[-1].timestamp
    with steps.step("decode and validate"):
        lines, _ = validate(chunk)
    with steps.step("decide"):
        orders = {line.purchase.order_id: KnownOrder() for line in lines}
        counted = judge(lines, orders).counted
    with steps.step("fold"):
        fold = Fold(counted, context)
    with steps.step("figures and orders"):
        delta = fold.whole(orders)
    with steps.step("encode"):
        advance = OffsetAdvance(context.partition, 0, len(chunk))
        Payload(_KEYS, advance, delta, BatchEffects(now_ms), now_ms)


def _chunks(file: Path | None, rows: int) -> Iterator[Sequence[Record]]:
    """Records of each partition in turn, as many at a time as a script call takes."""
    if file is None:
        from local.producer_run import demo_data  # noqa: PLC0415  it loads DuckDB

        file = demo_data()
    now_ms, read = int(time.time() * 1000), 0
    with PurchaseFile(file) as source:
        ids = read_line_ids(source)
    waiting: list[list[Record]] = [[] for _ in range(PARTITIONS)]
    with PurchaseFile(file) as source:
        encoder = RowEncoder(source.columns, file.name, ids, keyed_partitioner(PARTITIONS))
        for block in source.blocks():
            for row in encoder.encode(block, now_ms):
                if isinstance(row, EncodedRow):
                    records = waiting[row.partition]
                    records.append(Record(len(records), now_ms, row.value))
                    if len(records) == CHUNK:
                        yield records
                        waiting[row.partition] = []
            read += len(block)
            if read >= rows:
                break
    yield from filter(None, waiting)


if __name__ == "__main__":
    sys.exit(main())
