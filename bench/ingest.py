"""Sustained events a second from CSV to Redis: `python -m bench.ingest --csv FILE [--rows N] [--running]`.

Everything runs while it is measured: Kafka, Valkey, S3, aggregator, archiver, recommender, gateway, and the producer
that sends the file at full speed. The clock runs from the broker's time of the first record until the marks in Redis
equal the end of the log with the producer gone. The producer's first pass over the file, before it sends, is not part
of that time; its CPU seconds are those of both passes. Events are the records of the purchases topic; rows that the
producer rejects are not counted. CPU seconds are those of each process until then. The stack is one of its own on free
ports, or, with --running, that of `make up` (which then gets the rows as new orders).
"""

import argparse
import asyncio
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.log import Log, open_log
from bench.machine import CpuMeter, cpu_table, machine, table
from bench.new_orders import copy_with_new_orders
from bench.stacks import own_stack, pids, running_stack
from local.process import Process, spawn, stop_together
from local.producer_run import ProducerRun, demo_data
from local.stack import PRODUCER, Stack

POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class IngestOutcome:
    """`seconds` from the first record's append to the last one's being applied; `sent_s` to the producer's end."""

    events: int
    seconds: float
    sent_s: float


def main(arguments: list[str] | None = None) -> int:
    """Measure as the command line says; returns the exit status."""
    options = _options(arguments)
    rows = f":{options.rows + 1}" if options.rows else None
    with running_stack() if options.running else own_stack() as stack, TemporaryDirectory() as folder:
        file = options.csv or demo_data()
        if options.running:  # it may have this file already, and a line counts once
            file = copy_with_new_orders(file, Path(folder) / "new-orders.csv.gz", f"bench{time.time_ns()}")
        run = ProducerRun(file, "max", rows=rows)
        outcome, meter = asyncio.run(measure(stack, run))
    print(f"\nCSV to Redis, everything running: {run.file.name} on {machine()}")
    print(_table(outcome))
    print(cpu_table(meter, outcome.seconds))
    return 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.ingest", description="Events a second from CSV to Redis.")
    parser.add_argument(
        "--csv", type=Path, metavar="FILE", help="purchases in the seed layout (default: the grocery set)"
    )
    parser.add_argument("--rows", type=int, metavar="N", help="only the first N rows")
    parser.add_argument("--running", action="store_true", help="use the stack of `make up` and add to its figures")
    return parser.parse_args(arguments)


async def measure(stack: Stack, run: ProducerRun) -> tuple[IngestOutcome, CpuMeter]:
    """Send the file and wait until it is applied."""
    async with open_log(stack.settings) as log:
        begin = await log.ends()
        producer = _start_producer(stack, run)
        try:
            meter = CpuMeter({**pids(stack), PRODUCER: producer.identity.pid})
            sent_at, applied_at = await _follow(log, stack, producer, meter)
        finally:
            stop_together([producer])
        first = await log.first_append_ms(begin) / 1000
        events = sum((await log.ends()).values()) - sum(begin.values())
    return IngestOutcome(events, applied_at - first, sent_at - first), meter


def _start_producer(stack: Stack, run: ProducerRun) -> Process:
    log = stack.layout.log("bench-producer")
    return spawn(run.program(stack.settings, stack.layout, stack.environment, log), die_with_parent=True)


async def _follow(log: Log, stack: Stack, producer: Process, meter: CpuMeter) -> tuple[float, float]:
    """Wait for the producer's end, then for the marks to reach the log's end; when each was, in epoch seconds."""
    while producer.alive:
        meter.read()
        stack.require_alive()
        await asyncio.sleep(POLL_S)
    sent_at = time.time()
    if producer.exit_code:
        producer.require_alive()
    ends = await log.ends()
    while await log.marks() != ends:
        stack.require_alive()
        await asyncio.sleep(POLL_S)
    applied_at = time.time()
    meter.read()
    return sent_at, applied_at


def _table(outcome: IngestOutcome) -> str:
    return table(
        [
            ("what", "seconds", "events/s"),
            (
                "producer, to its last acknowledgement",
                f"{outcome.sent_s:.1f}",
                f"{outcome.events / outcome.sent_s:,.0f}",
            ),
            (
                f"{outcome.events:,} events, CSV to Redis",
                f"{outcome.seconds:.1f}",
                f"{outcome.events / outcome.seconds:,.0f}",
            ),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
