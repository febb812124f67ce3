"""From a change of stock to the next answer through the real system: `python -m bench.stock [--rate N] [--seconds N]`.

Entries of the catalogue are written at a constant rate in batches, over HTTP. In addition, `--probes` times a second,
the first recommended product of somebody unknown goes out of stock by PUT, and requests are repeated until it is gone.
The time runs from before the PUT until the first answer without the product has arrived, so both requests are part of
it. Then the product is put back.

It runs on a stack of its own on free ports, with a made-up shop and a model trained for it; with --running on that of
`make up`, whose catalogue it changes.
"""

import argparse
import asyncio
import itertools
import json
import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from bench.freshness import trained_stack
from bench.machine import machine, table
from bench.recommend import percentile
from local.settings import StackSettings
from recsys.listings import Listings
from services.common.product_follower import ProductSink, put_record
from services.gateway.upstreams.catalogue import ShopCatalogue
from services.recommender.products import ListingSink

GIVE_UP_S = 10.0
_BATCH = 100
_ASK_AGAIN_S = 0.002
_LINES = {"Content-Type": "application/x-ndjson"}


@dataclass(slots=True)
class StockOutcome:
    """Seconds from PUT to an answer without the product, of the PUT alone, and how much was written."""

    latencies: list[float] = field(default_factory=list)
    puts: list[float] = field(default_factory=list)
    late: int = 0
    written: int = 0
    seconds: float = 0.0


def main(arguments: list[str] | None = None) -> int:
    """Measure as the command line says; 1 where a product was not gone in time."""
    parser = argparse.ArgumentParser(prog="python -m bench.stock", description="Stock to answer.")
    parser.add_argument("--rate", type=float, default=2000, help="entries written a second")
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--probes", type=float, default=5, help="probes a second")
    parser.add_argument("--running", action="store_true", help="on the stack of `make up`")
    parser.add_argument(
        "--memory", choices=("gateway", "recommender"), help="instead: what 1,000,000 products take there"
    )
    options = parser.parse_args(arguments)
    if options.memory:
        print(memory(options.memory, 1_000_000))
        return 0
    with trained_stack(own=not options.running) as stack:
        outcome = asyncio.run(measure(stack.settings, options.rate, options.seconds, options.probes))
    print(f"\nFrom stock to answer at {options.rate:g} entries/s for {options.seconds:g} s on {machine()}")
    print(render(outcome))
    return 1 if outcome.late else 0


def memory(service: str, products: int) -> str:
    """What a service holds of so many products in memory, in this process, and the CPU time of reading them."""
    sink: ProductSink = ShopCatalogue() if service == "gateway" else ListingSink(Listings())
    before, making, reading = _resident(), 0.0, 0.0
    for number in range(products):
        begun = time.process_time()
        key, value = _whole_entry(number)
        made = time.process_time()
        put_record(sink, key, value)
        making, reading = making + made - begun, reading + time.process_time() - made
    held = (_resident() - before) / products
    return f"{service}: {products:,} products, {held:.0f} bytes and {reading / products * 1e6:.1f} µs of CPU each"


def _whole_entry(number: int) -> tuple[bytes, bytes]:
    product_id = f"15159662235{number:08d}"
    product = {
        "product_id": product_id,
        "product_name": f"Product number {number}",
        "category_code": f"electronics.audio.c{number % 300}",
        "brand": f"brand{number % 900}",
        "price": f"{number % 9000}.99",
        "image_url": f"https://images.example.com/products/{number}.jpg",
    }
    return product_id.encode(), json.dumps(product).encode()


def _resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def measure(settings: StackSettings, rate: float, seconds: float, probes: float) -> StockOutcome:
    """Write the load and look for the probes among the answers."""
    outcome = StockOutcome()
    async with aiohttp.ClientSession(settings.page) as session:
        load = asyncio.create_task(_load(session, rate, outcome))
        ends = time.perf_counter() + seconds
        while (begun := time.perf_counter()) < ends:
            await _probe(session, outcome)
            await asyncio.sleep(max(0.0, begun + 1 / probes - time.perf_counter()))
        outcome.seconds = seconds
        load.cancel()
        with suppress(asyncio.CancelledError):
            await load
    return outcome


async def _load(session: aiohttp.ClientSession, rate: float, outcome: StockOutcome) -> None:
    """Entries of made-up products, in and out of stock in turn, without pause."""
    started, numbers = time.perf_counter(), itertools.count()
    while True:
        body = b"\n".join(_entry(number) for number in itertools.islice(numbers, _BATCH))
        async with session.post("/v1/products", data=body, headers=_LINES) as answer:
            answer.raise_for_status()
        outcome.written += _BATCH
        await asyncio.sleep(max(0.0, started + outcome.written / rate - time.perf_counter()))


def _entry(number: int) -> bytes:
    availability = "in_stock" if number // 20_000 % 2 else "out_of_stock"
    product = {"product_id": f"bench-{number % 20_000}", "product_name": f"Product {number % 20_000}", "price": "9.90"}
    return json.dumps(product | {"availability": availability}).encode()


async def _probe(session: aiohttp.ClientSession, outcome: StockOutcome) -> None:
    hidden = (await _shown(session))[0]
    begun = time.perf_counter()
    await _put(session, hidden, "out_of_stock")
    outcome.puts.append(time.perf_counter() - begun)
    while hidden in await _shown(session):
        if time.perf_counter() - begun > GIVE_UP_S:
            outcome.late += 1
            return
        await asyncio.sleep(_ASK_AGAIN_S)
    outcome.latencies.append(time.perf_counter() - begun)
    await _put(session, hidden, "in_stock")


async def _put(session: aiohttp.ClientSession, product_id: str, availability: str) -> None:
    async with session.put(f"/v1/products/{product_id}", json={"availability": availability}) as answer:
        answer.raise_for_status()


async def _shown(session: aiohttp.ClientSession) -> Sequence[str]:
    async with session.get("/v1/users/nobody-knows/recommendations?k=10") as answer:
        answer.raise_for_status()
        found = await answer.json()
    if found["strategy"] == "popular_fallback" or not found["items"]:
        raise SystemExit(f"the recommender does not answer: {found['strategy']}, {len(found['items'])} products")
    return [item["product_id"] for item in found["items"]]


def render(outcome: StockOutcome) -> str:
    """The times as a table."""
    rows = [("what", "value"), ("entries written", f"{outcome.written:,} ({outcome.written / outcome.seconds:,.0f}/s)")]
    rows.append(("products gone", f"{len(outcome.latencies):,}"))
    rows += [(f"PUT to gone, p{p:g}", f"{percentile(outcome.latencies, p) * 1000:.1f} ms") for p in (50, 90, 99, 100)]
    rows += [(f"PUT alone, p{p:g}", f"{percentile(outcome.puts, p) * 1000:.1f} ms") for p in (50, 99)]
    rows.append((f"not within {GIVE_UP_S:g} s", f"{outcome.late:,}"))
    return table(rows)


if __name__ == "__main__":
    sys.exit(main())
