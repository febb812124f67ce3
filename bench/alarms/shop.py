"""A shop that is open: a stack of its own with purchases, requests for recommendations, canaries and Prometheus."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from bench import recommend
from bench.soak.feeder import Feeder
from bench.stacks import own_stack
from local.stack import Stack, StackError
from local.steps import train, wait_gateway, wait_settled

SCRAPE_S = 5
HISTORY_ROWS = 8_000
_FOR_EVER_S = 10**6
PREFERENCES = {
    "TILLSTREAM_CANARY_SECONDS": "5",
    # A small model without an evaluation: what is measured here does not depend on it.
    "TILLSTREAM_ALS_RANK": "8",
    "TILLSTREAM_ALS_ITERATIONS": "5",
    "TILLSTREAM_GATE_QUESTIONS": "1000000",
}


@dataclass(frozen=True, slots=True)
class Traffic:
    """Purchases and requests for recommendations, each a second."""

    purchases: int
    requests: float


@contextmanager
def shop(traffic: Traffic) -> Iterator[tuple[Stack, Feeder]]:
    """A fresh stack that has a history and a model. Raises StackError without Prometheus."""
    with own_stack(PREFERENCES, monitoring=True, scrape_seconds=SCRAPE_S) as stack:
        if not stack.is_running("prometheus"):
            raise StackError("Prometheus does not run: `make prometheus` gets it")
        feeder = Feeder(stack, None, traffic.purchases, HISTORY_ROWS)
        feeder.load_history()
        wait_settled(stack)
        train(stack)
        wait_gateway(stack)
        yield stack, feeder


@asynccontextmanager
async def open_shop(stack: Stack, feeder: Feeder, traffic: Traffic) -> AsyncIterator[None]:
    """Traffic until the block ends. Raises ProcessDied, or what else ended the traffic."""
    asking = recommend.measure(stack.settings.page, traffic.requests, _FOR_EVER_S)
    tasks: list[asyncio.Task[object]] = [asyncio.create_task(feeder.run()), asyncio.create_task(asking)]
    try:
        yield
        for task in tasks:
            if task.done():
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
