"""The aggregator and other stream programs over one full topic: `python -m bench.peers --csv FILE [--rows N]`.

Kafka Streams with exactly-once v2 and Quix Streams each keep sums by month, day, category, product and customer in
Redis: a part of the aggregator's tables, and without repeats, distinct orders, dead letters, rankings and histories.
Each contender reads the same topic from its beginning into its own database of one Valkey, alone, one after the other.
The clock runs from the first offset that Redis shows until all are applied, so the start of the process is not
measured; a JVM still compiles by then. What is read and not yet written at that moment is too cheap: up to a second's
events of a peer, so send many seconds' worth, 400,000 rows and more. In the end every sum must equal ours. Compare CPU
time by event: it depends less on the machine's load than events/s do. The first run downloads and builds the peers
below `.tillstream/peers/`.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import redis

from bench.log import Log, open_log
from bench.machine import CpuMeter, machine, table
from bench.peers import builds
from bench.peers.tables import differences, own_tables, peer_tables
from bench.stacks import own_engines, pids
from local.process import Process, Program, spawn, stop_together
from local.producer_run import ProducerRun, demo_data
from local.stack import Stack
from local.steps import send

POLL_S = 0.02
PEERS = (builds.kafka_streams, builds.quix)
SHOWN_DIFFERENCES = 10
# The service's default; a shop that loads a file for the demo wants them more often.
SNAPSHOT_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Measured:
    """Events applied while measured, seconds of it, and CPU seconds by process: the program's, Valkey's, Kafka's."""

    name: str
    events: int
    seconds: float
    program: float
    valkey: float
    kafka: float

    def row(self) -> Sequence[str]:
        """µs an event by process, and events/s."""
        own, valkey, kafka = (seconds / self.events * 1e6 for seconds in (self.program, self.valkey, self.kafka))
        parts = (own, valkey, own + valkey, kafka)
        return (self.name, *(f"{part:.1f}" for part in parts), f"{self.events / self.seconds:,.0f}")


def main(arguments: list[str] | None = None) -> int:
    """Measure as the command line says; 1 where a peer's sums differ from ours."""
    options = _options(arguments)
    run = ProducerRun(options.csv or demo_data(), "max", rows=f":{options.rows + 1}" if options.rows else None)
    with own_engines(aggregator_snapshot_seconds=SNAPSHOT_SECONDS) as stack:
        send(stack, run)
        measured = [asyncio.run(_ours(stack))]
        wrong: list[str] = []
        for number, build in enumerate(PEERS, 1):
            url = f"{stack.settings.redis_url.removesuffix('/0')}/{number}"
            program = build(stack.settings.kafka_bootstrap, stack.settings.purchases_topic, url, stack.layout.root)
            measured.append(asyncio.run(_peer(stack, program, url)))
            wrong += [f"{program.name}: {line}" for line in _differences(stack, url)]
    print(f"\nOne topic, each program alone: {run.file.name} on {machine()}")
    print(
        table([("µs of CPU an event", "program", "Valkey", "both", "Kafka", "events/s"), *map(Measured.row, measured)])
    )
    print("\n".join(wrong[:SHOWN_DIFFERENCES]) if wrong else "all sums of the peers equal ours")
    return bool(wrong)


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.peers", description="CPU time an event, beside peers.")
    parser.add_argument(
        "--csv", type=Path, metavar="FILE", help="purchases in the seed layout (default: the grocery set)"
    )
    parser.add_argument("--rows", type=int, metavar="N", help="only the first N rows")
    return parser.parse_args(arguments)


async def _ours(stack: Stack) -> Measured:
    async with open_log(stack.settings) as log:

        async def applied() -> int:
            return sum((await log.marks()).values())

        return await _measure(stack, stack.service("aggregator").program, log, applied)


async def _peer(stack: Stack, program: Program, url: str) -> Measured:
    with redis.Redis.from_url(url) as client:

        async def applied() -> int:
            return sum(map(int, client.hvals("offsets")))

        async with open_log(stack.settings) as log:
            return await _measure(stack, program, log, applied)


async def _measure(stack: Stack, program: Program, log: Log, applied: Callable[[], Awaitable[int]]) -> Measured:
    end = sum((await log.ends()).values())
    process = spawn(program, die_with_parent=True)
    try:
        first = await _reached(1, applied, process)
        started = time.monotonic()
        meter = CpuMeter({**pids(stack), "program": process.identity.pid})
        await _reached(end, applied, process)
        seconds = time.monotonic() - started
        meter.read()
    finally:
        stop_together([process])
    used = meter.seconds
    return Measured(program.name, end - first, seconds, used["program"], used["valkey"], used["kafka"])


async def _reached(offset: int, applied: Callable[[], Awaitable[int]], process: Process) -> int:
    """Wait until at least so many records are applied; returns how many are."""
    while (reached := await applied()) < offset:
        process.require_alive()
        await asyncio.sleep(POLL_S)
    return reached


def _differences(stack: Stack, url: str) -> list[str]:
    settings = stack.settings
    with redis.Redis.from_url(settings.redis_url) as ours, redis.Redis.from_url(url) as theirs:
        return differences(own_tables(ours, settings.shards), peer_tables(theirs))


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main())
