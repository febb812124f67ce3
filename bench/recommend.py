"""Recommendations through the gateway under a constant load: `python -m bench.recommend [--rate 100] [--seconds 30]`.

Open loop: request n is due at n / rate seconds, whatever happened to earlier ones. Its latency counts from that moment
to the last byte of its answer, so a stall of the server counts for all requests due in it. The requests ask for three
products for the hundred biggest spenders in turn; one in ten is for an unknown customer. A failure is anything but
status 200 with three products. The client shares the machine with the stack.

--swap publishes the live model once more under a new version (a copy of its objects), moves the pointer to it at one
third of the time and back at two thirds, and removes the copy: every answer in between counts. It needs
TILLSTREAM_S3_* as `python -m local env` prints them.
"""

import argparse
import asyncio
import math
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import quote

import aiohttp

from bench.machine import machine, table
from bench.swap import ModelCopy, copied_model

PRODUCTS = 3
UNKNOWN_USER_EVERY = 10
TIMEOUT_S = 10


class Answered(NamedTuple):
    """A good answer: when its request was due (seconds of the performance counter), and its latency in seconds."""

    due: float
    latency: float
    version: str


@dataclass(slots=True)
class LoadResult:
    """The good answers, and what else was seen. `moves`: when the pointer moved, and to which version."""

    answers: list[Answered] = field(default_factory=list)
    moves: list[tuple[float, str]] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    strategies: Counter[str] = field(default_factory=Counter)

    def swaps(self) -> list[tuple[float, float]]:
        """From each move of the pointer to the first request that the new version answered."""
        firsts = [
            min((one.due for one in self.answers if one.version == version and one.due >= moved), default=math.inf)
            for moved, version in self.moves
        ]
        return [(moved, first) for (moved, _), first in zip(self.moves, firsts, strict=True)]


def main(arguments: list[str] | None = None) -> int:
    """Measure as the command line says; 1 where a request failed."""
    options = _options(arguments)
    if options.swap:
        with copied_model() as copy:
            result = asyncio.run(measure(options.url, options.rate, options.seconds, copy))
    else:
        result = asyncio.run(measure(options.url, options.rate, options.seconds))
    print(f"\n{options.rate:g} requests/s for {options.seconds:g} s through {options.url} on {machine()}")
    print(render(result))
    return 1 if result.failures else 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.recommend", description="Latency of recommendations.")
    parser.add_argument("--url", default="http://127.0.0.1:8080")
    parser.add_argument("--rate", type=float, default=100, help="requests a second")
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--swap", action="store_true", help="swap the model twice meanwhile")
    return parser.parse_args(arguments)


async def measure(url: str, rate: float, seconds: float, copy: ModelCopy | None = None) -> LoadResult:
    """Send the load, moving the pointer to the copy and back where there is one."""
    result = LoadResult()
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    connector = aiohttp.TCPConnector(limit=0)  # a pool that queues would close the loop
    async with (
        aiohttp.ClientSession(url, timeout=timeout, connector=connector) as session,
        asyncio.TaskGroup() as tasks,
    ):
        users = await _users(session)
        started = time.perf_counter() + 0.1
        if copy is not None:
            tasks.create_task(_swap(copy, seconds, result))
        for number in range(math.floor(rate * seconds)):
            due = started + number / rate
            await asyncio.sleep(due - time.perf_counter())
            tasks.create_task(_ask(session, users[number % len(users)], due, result))
    return result


async def _users(session: aiohttp.ClientSession) -> list[str]:
    async with session.get("/v1/users?limit=100") as answer:
        answer.raise_for_status()
        known: list[str] = await answer.json()
    if not known:
        raise SystemExit("no customer is known yet: load purchases first")
    return [f"nobody-{n}" if n % UNKNOWN_USER_EVERY == 0 else known[n % len(known)] for n in range(10 * len(known))]


async def _swap(copy: ModelCopy, seconds: float, result: LoadResult) -> None:
    for move, version in ((copy.activate, copy.copy), (copy.activate_original, copy.original)):
        await asyncio.sleep(seconds / 3)
        result.moves.append((time.perf_counter(), version))
        await asyncio.to_thread(move)


async def _ask(session: aiohttp.ClientSession, user: str, due: float, result: LoadResult) -> None:
    path = f"/v1/users/{quote(user, safe='')}/recommendations?k={PRODUCTS}"
    try:
        async with session.get(path) as answer:
            body = await answer.json()
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        result.failures[type(error).__name__] += 1
        return
    if answer.status != 200:
        result.failures[f"status {answer.status}"] += 1
    elif len(body["items"]) != PRODUCTS:
        result.failures[f"{len(body['items'])} products"] += 1
    else:
        result.answers.append(Answered(due, time.perf_counter() - due, str(body["model_version"])))
        result.strategies[body["strategy"]] += 1


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest of the values that is not below `percent` of them (nearest rank); NaN where there is none."""
    if not values:
        return math.nan
    return sorted(values)[max(math.ceil(len(values) * percent / 100) - 1, 0)]


def render(result: LoadResult) -> str:
    """Latencies, failures, strategies and versions as a table; with swaps also before, during and after them."""
    rows = [("what", "value"), *_latencies("", result.answers)]
    rows.append(("failed", f"{sum(result.failures.values()):,}"))
    rows += [(f"  {reason}", f"{count:,}") for reason, count in result.failures.most_common()]
    for counted in (result.strategies, Counter(one.version for one in result.answers)):
        rows += [(name, f"{count:,}") for name, count in counted.most_common()]
    if result.moves:
        rows += _around_swaps(result)
    return table(rows)


def _around_swaps(result: LoadResult) -> list[tuple[str, str]]:
    """A swap lasts from the move of the pointer until the new version answers: until it is loaded and has caught up."""
    swaps = result.swaps()
    parts: dict[str, list[Answered]] = {"before": [], "during": [], "after": []}
    for one in result.answers:
        during = any(moved <= one.due < first for moved, first in swaps)
        parts["during" if during else "before" if one.due < swaps[0][0] else "after"].append(one)
    took = ", ".join(f"{first - moved:.1f} s" for moved, first in swaps)
    return [("swaps took", took), *(row for name, some in parts.items() for row in _latencies(f"{name}: ", some))]


def _latencies(prefix: str, answers: Sequence[Answered]) -> list[tuple[str, str]]:
    latencies = [one.latency for one in answers]
    rows = [(f"{prefix}answered", f"{len(latencies):,}")]
    return rows + [(f"{prefix}p{p:g}", f"{percentile(latencies, p) * 1000:.1f} ms") for p in (50, 90, 99, 100)]


if __name__ == "__main__":
    sys.exit(main())
