"""The aggregator alone, from a full topic: `python -m bench.aggregate --csv FILE [--rows N]`.

The topic is filled first, with no service running; then the aggregator is started, on a stack of its own with free
ports. The clock runs from the first mark (applied offset) in Redis above 0 until the marks equal the end of the log. So
neither the start of the process nor the records below the first mark are measured. The times of the script are Valkey's
own, of all calls.
"""

import argparse
import asyncio
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from redis import Redis

from bench.log import Log, Offsets, open_log
from bench.machine import CpuMeter, cpu_table, machine, table
from bench.stacks import own_engines, pids
from local.process import Process, spawn, stop_together
from local.producer_run import ProducerRun, demo_data
from local.stack import Stack
from local.steps import send

POLL_S = 0.01


@dataclass(frozen=True, slots=True)
class CatchUp:
    """Records applied between the first mark seen and the last, and the seconds between them."""

    events: int
    seconds: float


def main(arguments: list[str] | None = None) -> int:
    """Measure as the command line says; returns the exit status."""
    options = _options(arguments)
    run = ProducerRun(options.csv or demo_data(), "max", rows=f":{options.rows + 1}" if options.rows else None)
    with own_engines() as stack:
        send(stack, run)
        catch_up, meter = asyncio.run(measure(stack))
        script = _script_times(stack)
    print(f"\nAggregator alone, from a full topic: {run.file.name} on {machine()}")
    print(_table(catch_up))
    print(cpu_table(meter, catch_up.seconds, catch_up.events))
    print(script)
    return 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.aggregate", description="Events a second, topic to Redis.")
    parser.add_argument(
        "--csv", type=Path, metavar="FILE", help="purchases in the seed layout (default: the grocery set)"
    )
    parser.add_argument("--rows", type=int, metavar="N", help="only the first N rows")
    return parser.parse_args(arguments)


async def measure(stack: Stack) -> tuple[CatchUp, CpuMeter]:
    """Start the aggregator and wait until it has caught up with the topic."""
    async with open_log(stack.settings) as log:
        ends = await log.ends()
        aggregator = spawn(stack.service("aggregator").program, die_with_parent=True)
        try:
            first, first_at = await _first_marks(log, aggregator)
            meter = CpuMeter({**pids(stack), "aggregator": aggregator.identity.pid})
            last_at = await _applied(log, ends, aggregator)
            meter.read()
        finally:
            stop_together([aggregator])
    return CatchUp(sum(ends.values()) - sum(first.values()), last_at - first_at), meter


async def _first_marks(log: Log, aggregator: Process) -> tuple[Offsets, float]:
    while not any((marks := await log.marks()).values()):
        aggregator.require_alive()
        await asyncio.sleep(POLL_S)
    return marks, time.monotonic()


async def _applied(log: Log, ends: Offsets, aggregator: Process) -> float:
    while await log.marks() != ends:
        aggregator.require_alive()
        await asyncio.sleep(POLL_S)
    return time.monotonic()


def _script_times(stack: Stack) -> str:
    """How long calls of the script kept Valkey from serving others; the aim is 20 ms at p99."""
    with Redis.from_url(stack.settings.redis_url) as redis:
        times = cast("dict[str, dict[str, float]]", redis.info("latencystats"))
    of_script = times.get("latency_percentiles_usec_evalsha", {})
    return "a script call: " + ", ".join(f"{name} {float(at) / 1000:.1f} ms" for name, at in of_script.items())


def _table(catch_up: CatchUp) -> str:
    rate = catch_up.events / catch_up.seconds
    return table(
        [("what", "seconds", "events/s"), (f"{catch_up.events:,} events", f"{catch_up.seconds:.1f}", f"{rate:,.0f}")]
    )


if __name__ == "__main__":
    sys.exit(main())
