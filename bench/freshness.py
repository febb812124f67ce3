"""From a purchase to the next answer through the real system: `python -m bench.freshness [--rate N] [--seconds N]`.

Purchases are sent to Kafka at a constant rate. In addition, `--probes` times a second, a customer with recommendations
buys the first recommended product, and requests are repeated until that product is masked. The time runs from before
the purchase is handed to Kafka's client until the first answer without it, the latency of that answer included. It also
reports how often that answer had other scores.

It runs on the stack of `make up` (with TILLSTREAM_* as `python -m local env` prints them), where the purchases stay;
with --own on a stack of its own on free ports, with a made-up shop and a model trained for it.
"""

import argparse
import asyncio
import itertools
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import grpc
from aiokafka import AIOKafkaProducer

from bench.machine import machine, table
from bench.recommend import percentile
from bench.soak.feeder import Feeder
from bench.stacks import own_stack, running_stack
from local.ports import LOOPBACK
from local.stack import Stack
from local.steps import train, wait_settled
from proto.tillstream.recommender.v1 import recommender_pb2 as pb
from proto.tillstream.recommender.v1 import recommender_pb2_grpc
from services.common.kafka import client_options
from services.common.times import format_time

HISTORY_ROWS = 40_000
GIVE_UP_S = 10.0
_TICK_S = 0.01
_ASK_AGAIN_S = 0.002


@dataclass(slots=True)
class FreshnessOutcome:
    """Seconds from purchase to masked answer, and what else was seen."""

    latencies: list[float] = field(default_factory=list)
    changed: int = 0
    late: int = 0
    unanswered: int = 0
    sent: int = 0
    ages_ms: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Shop:
    """Where purchases go and answers come from. `now`: the shop's time, which may be of another year."""

    producer: AIOKafkaProducer
    topic: str
    recommender: "recommender_pb2_grpc.RecommenderAsyncStub"
    customers: list[str]
    products: list[str]
    now: str

    def line(self, number: int, customer: str | None, product: str) -> bytes:
        """A purchase, of this moment as the shop has it."""
        line = {"event_time": self.now, "order_id": f"bench-{number}", "product_id": product, "user_id": customer}
        return json.dumps(line | {"price": "1.00"}).encode()


def main(arguments: list[str] | None = None) -> int:
    """Measure as the command line says; 1 where a purchase was not masked in time."""
    options = _options(arguments)
    with trained_stack(own=options.own) as stack:
        outcome = asyncio.run(measure(stack, options.rate, options.seconds, options.probes))
    print(f"\nFrom purchase to answer at {options.rate:g} purchases/s for {options.seconds:g} s on {machine()}")
    print(render(outcome, options.seconds))
    return 1 if outcome.late else 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.freshness", description="Purchase to answer.")
    parser.add_argument("--rate", type=float, default=2000, help="purchases a second")
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--probes", type=float, default=10, help="probes a second")
    parser.add_argument("--own", action="store_true", help="on a stack of its own")
    return parser.parse_args(arguments)


@contextmanager
def trained_stack(*, own: bool) -> Iterator[Stack]:
    """A stack of its own with a trained model, or the one that `make up` started."""
    if not own:
        with running_stack() as stack:
            yield stack
        return
    with own_stack() as stack:
        Feeder(stack, None, 1000, HISTORY_ROWS).load_history()
        wait_settled(stack)
        train(stack)
        yield stack


async def measure(stack: Stack, rate: float, seconds: float, probes: float) -> FreshnessOutcome:
    """Send the load and look for the probes among the answers."""
    settings, outcome = stack.settings, FreshnessOutcome()
    customers, products, now = await _known(settings.page)
    address = f"{LOOPBACK}:{settings.recommender_port}"
    async with (
        AIOKafkaProducer(linger_ms=2, **client_options(settings)) as producer,
        grpc.aio.insecure_channel(address) as channel,
        asyncio.TaskGroup() as tasks,
    ):
        recommender = recommender_pb2_grpc.RecommenderStub(channel)
        shop = Shop(producer, settings.purchases_topic, recommender, customers, products, now)
        tasks.create_task(_load(shop, rate, seconds, outcome))
        started = time.perf_counter() + 0.5
        for number in range(int(probes * seconds)):
            await asyncio.sleep(started + number / probes - time.perf_counter())
            # Each customer once, as long as there are enough of them: a second probe would meet the first.
            tasks.create_task(_probe(shop, number, customers[number % len(customers)], outcome))
    return outcome


async def _known(page: str) -> tuple[list[str], list[str], str]:
    """Customers, products, and what time it is in the shop."""
    async with aiohttp.ClientSession(page) as session:
        users = await _get(session, "/v1/users?limit=100")
        products = await _get(session, "/v1/stats/top/products?n=100")
        minutes = await _get(session, "/v1/stats/sales?granularity=hour")
    if not users or not products:
        raise SystemExit("no customer or no product is known yet: load purchases first")
    return users, [product["id"] for product in products], minutes[-1]["bucket"] if minutes else format_time(0)


async def _get(session: aiohttp.ClientSession, path: str) -> list[Any]:
    async with session.get(path) as answer:
        answer.raise_for_status()
        found: list[Any] = await answer.json()
        return found


async def _load(shop: Shop, rate: float, seconds: float, outcome: FreshnessOutcome) -> None:
    """Purchases without pause: every other one is anonymous, the others are of made-up customers."""
    started, last = time.perf_counter(), None
    products = itertools.cycle(shop.products)
    while (elapsed := time.perf_counter() - started) < seconds:
        while outcome.sent < elapsed * rate:
            number = outcome.sent
            customer = f"load-{number % 50_000}" if number % 2 else None
            value = shop.line(number // 4, customer, next(products))
            last = await shop.producer.send(shop.topic, value, key=str(number // 4).encode())
            outcome.sent += 1
        await asyncio.sleep(_TICK_S)
    if last is not None:
        await last


async def _probe(shop: Shop, number: int, customer: str, outcome: FreshnessOutcome) -> None:
    before = await _ask(shop, customer)
    if not before.items:
        outcome.unanswered += 1
        return
    bought, scores = before.items[0].product_id, {item.product_id: item.score for item in before.items[1:]}
    begun = time.perf_counter()
    await shop.producer.send(shop.topic, shop.line(-number - 1, customer, bought), key=customer.encode())
    while (took := time.perf_counter() - begun) < GIVE_UP_S:
        answer = await _ask(shop, customer)
        if all(item.product_id != bought for item in answer.items):
            outcome.latencies.append(time.perf_counter() - begun)
            outcome.ages_ms.append(float(answer.state_age_ms))
            outcome.changed += any(scores.get(item.product_id) != item.score for item in answer.items)
            return
        await asyncio.sleep(_ASK_AGAIN_S)
    outcome.late += took >= GIVE_UP_S


async def _ask(shop: Shop, customer: str) -> pb.RecommendResponse:
    request = pb.RecommendRequest(user_id=customer, k=10, filters=pb.Filters(exclude_purchased=True))
    return await shop.recommender.Recommend(request, timeout=5)


def render(outcome: FreshnessOutcome, seconds: float) -> str:
    """The times as a table."""
    rows = [("what", "value"), ("purchases sent", f"{outcome.sent:,} ({outcome.sent / seconds:,.0f}/s)")]
    rows.append(("masked in the next answers", f"{len(outcome.latencies):,}"))
    rows += [(f"p{p:g}", f"{percentile(outcome.latencies, p) * 1000:.1f} ms") for p in (50, 90, 99, 100)]
    rows.append(("of these with other scores too", f"{outcome.changed:,}"))
    rows.append((f"not within {GIVE_UP_S:g} s", f"{outcome.late:,}"))
    rows.append(("without an answer before", f"{outcome.unanswered:,}"))
    rows.append(("age of the state, p99", f"{percentile(outcome.ages_ms, 99):.0f} ms"))
    return table(rows)


if __name__ == "__main__":
    sys.exit(main())
