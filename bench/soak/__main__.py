"""Soak test for growth, stalls and losses under load: `python -m bench.soak [--minutes 30] [--csv FILE]`; `make soak`.

Its own stack on free ports loads a history, trains a model, and is then kept busy: 5,000 purchases a second, 1,000
clients of the live stream and a few that do not read, 50 recommendations a second. It samples memory, CPU and disk of
each process every five seconds. After a warm-up of at most five minutes it fits a line to each process's memory. It
prints tables, writes every sample to the JSON file, and ends with status 1 if a limit of bench/soak/report.py is
exceeded. The load shares the machine with the stack. Linux only.
"""

import argparse
import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import aiohttp
from redis.asyncio import Redis

from bench import recommend
from bench.machine import machine
from bench.soak.feeder import Feeder
from bench.soak.report import SoakFindings, checks, render
from bench.soak.samples import Sample, Sampler, logged_stalls
from bench.stacks import own_stack
from local.console import say
from local.http import get_json
from local.layout import REPOSITORY, STATE
from local.process import Process, Program, spawn, stop_together
from local.stack import Stack
from local.steps import first_recommendation, train, wait_gateway, wait_settled

SAMPLE_S = 5.0
WARM_UP_S = 300.0
WARM_UP_SHARE = 0.25
SSE_CLIENTS = "followers"
# Little, so that retention has to act within the time.
KAFKA_RETENTION_BYTES = 128 * 1024 * 1024
# Besides what is kept: segments that wait for the next look (five minutes), those being filled, indexes, metadata.
KAFKA_BYTES = 3 * KAFKA_RETENTION_BYTES


@dataclass(frozen=True, slots=True)
class Load:
    """What the stack is kept busy with, for so many seconds."""

    seconds: float
    rate: int
    clients: int
    deaf: int
    requests: float


def main(arguments: list[str] | None = None) -> int:
    """Run the soak test; returns 1 where a limit is exceeded."""
    options = _options(arguments)
    load = Load(options.minutes * 60, options.rate, options.clients, options.deaf, options.requests)
    with own_stack(kafka_retention_bytes=KAFKA_RETENTION_BYTES) as stack:
        feeder = Feeder(stack, options.csv, options.rate, options.history)
        say("loading a history and training a model")
        feeder.load_history()
        wait_settled(stack)
        train(stack)
        wait_gateway(stack)
        first_recommendation(stack)
        samples, outcome, followers = asyncio.run(soak(stack, feeder, load))
        findings = _findings(stack, load, samples, outcome, followers)
        long_stalls = logged_stalls(stack.layout.logs)
    made = checks(findings)
    print(f"\n{options.minutes:g} min of {load} on {machine()}\n{render(findings)}\n")
    print(*(long_stalls or ["no service logged a long stall"]), sep="\n")
    report = {
        "machine": machine(),
        "load": asdict(load),
        "followers": followers,
        "long_stalls": long_stalls,
        "samples": [s.as_json() for s in samples],
    }
    report["checks"] = [asdict(check) for check in made]
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(report))
    print(f"\nevery sample: {options.json}")
    return 0 if all(check.ok for check in made) else 1


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.soak", description="Soak test: the stack under load for a long time."
    )
    add = parser.add_argument
    add("--minutes", type=float, default=30)
    add("--csv", type=Path, metavar="FILE", help="purchases to repeat; default: made-up ones with new orders")
    add("--rate", type=int, default=5000, help="purchases a second")
    add("--history", type=int, default=100_000, help="rows to train a model from first")
    add("--clients", type=int, default=1000, help="pages that follow the live stream")
    add("--deaf", type=int, default=5, help="clients that do not read")
    add("--requests", type=float, default=50, help="recommendations a second")
    add("--json", type=Path, default=STATE / "soak.json", metavar="FILE", help="where every sample goes")
    return parser.parse_args(arguments)


async def soak(stack: Stack, feeder: Feeder, load: Load) -> tuple[list[Sample], recommend.LoadResult, dict[str, Any]]:
    """Load the stack and sample it. Raises ProcessDied where a process ends."""
    seen = stack.layout.root / "followers.json"
    followers = _follow(stack, load, seen)
    try:
        feeding = asyncio.create_task(feeder.run())
        asking = asyncio.create_task(recommend.measure(stack.settings.page, load.requests, load.seconds))
        try:
            samples = await _watch(stack, feeder, followers, feeding, load.seconds)
            outcome = await asking
        finally:
            for task in (feeding, asking):
                task.cancel()
            await asyncio.gather(feeding, asking, return_exceptions=True)
    finally:
        await asyncio.to_thread(stop_together, [followers])
    return samples, outcome, json.loads(seen.read_text().splitlines()[-1])


def _follow(stack: Stack, load: Load, seen: Path) -> Process:
    figures = {"--port": stack.settings.gateway_port, "--clients": load.clients, "--deaf": load.deaf}
    options = [part for name, value in figures.items() for part in (name, str(value))]
    argv = [sys.executable, "-m", "bench.soak.sse_clients", *options]
    return spawn(Program(SSE_CLIENTS, argv, seen, REPOSITORY), die_with_parent=True)


async def _watch(
    stack: Stack, feeder: Feeder, sse_clients: Process, feeding: "asyncio.Task[None]", seconds: float
) -> list[Sample]:
    samples: list[Sample] = []
    begun = time.monotonic()
    async with aiohttp.ClientSession() as session, Redis.from_url(stack.settings.redis_url) as redis:
        while (elapsed := time.monotonic() - begun) < seconds:
            stack.require_alive()
            sse_clients.require_alive()
            if feeding.done():
                feeding.result()
            sampler = Sampler(stack, session, redis, {SSE_CLIENTS: sse_clients.identity.pid, **feeder.pids})
            samples.append(await sampler.take())
            if len(samples) % 12 == 0:
                say(_line(elapsed, samples[-1]))
            await asyncio.sleep(max(0.0, begun + len(samples) * SAMPLE_S - time.monotonic()))
    return samples


def _line(elapsed: float, sample: Sample) -> str:
    memory = ", ".join(f"{name} {rss / 1e6:.0f}" for name, rss in sample.rss.items())
    summary = sample.summary or {}
    return f"{elapsed / 60:.0f} min: MB {memory}; {summary.get('events_per_second')} events/s, lag {summary.get('lag')}"


def _findings(
    stack: Stack, load: Load, samples: list[Sample], outcome: recommend.LoadResult, followers: dict[str, Any]
) -> SoakFindings:
    lag = wait_settled(stack)
    time.sleep(2)  # the gateway reads the tables once a second
    summary = get_json(f"{stack.settings.page}/v1/stats/summary")
    warm = samples[0].at + min(WARM_UP_S, load.seconds * WARM_UP_SHARE)
    return SoakFindings(
        steady=[sample for sample in samples if sample.at >= warm],
        rate=load.rate,
        kafka_bytes=KAFKA_BYTES,
        recommendations=outcome,
        followers=followers,
        records=lag.records,
        unapplied=lag.unapplied,
        events=summary["events"],
        unarchived=lag.unarchived,
    )


if __name__ == "__main__":
    sys.exit(main())
