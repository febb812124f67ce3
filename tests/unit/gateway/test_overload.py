"""Load beyond what is answered soon is refused at once."""

import asyncio
from itertools import islice
from typing import Any

import httpx
import pytest

from services.gateway.api.hosts import AllowedHosts
from services.gateway.api.middleware import GatewayMiddleware
from services.gateway.api.overload import SHED_ROUTES, Shedding, SheddingMiddleware, StandingQueue
from services.gateway.routes import customers, products
from tests.support.metrics import growth

LIMIT = 4
PATH = "/v1/users/42/recommendations"


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queue(clock: Clock) -> StandingQueue:
    return StandingQueue(LIMIT, clock)


def admitted(queue: StandingQueue, requests: int) -> int:
    return sum(queue.enter() for _ in range(requests))


def left(queue: StandingQueue, requests: int) -> None:
    for _ in range(requests):
        queue.leave()


def paused(queue: StandingQueue, clock: Clock) -> None:
    """The limit is in flight, one more has come, and nothing has been answered for a while since."""
    assert admitted(queue, LIMIT + 1) == LIMIT + 1
    clock.now += 0.04


def test_a_burst_waits(queue: StandingQueue, clock: Clock) -> None:
    assert admitted(queue, 2 * LIMIT) == 2 * LIMIT
    clock.now += 0.49
    assert queue.enter()
    left(queue, 2 * LIMIT + 1)
    clock.now += 0.49
    assert admitted(queue, 2 * LIMIT) == 2 * LIMIT, "each burst has the time"


def test_a_queue_that_stands_is_cut_to_the_limit(queue: StandingQueue, clock: Clock) -> None:
    assert admitted(queue, 3 * LIMIT) == 3 * LIMIT
    clock.now += 0.5
    assert not queue.enter()
    left(queue, 2 * LIMIT)
    assert not queue.enter(), "the limit itself is in flight"
    left(queue, 1)
    assert admitted(queue, 10) == 1
    left(queue, LIMIT)
    assert admitted(queue, 10) == LIMIT, "no burst shortly after a refusal"


def test_while_answers_flow_a_burst_is_short_and_its_first_refusal_cuts_the_queue(
    queue: StandingQueue, clock: Clock
) -> None:
    assert admitted(queue, LIMIT + 1) == LIMIT + 1
    for _ in range(2 * LIMIT - 1):  # twice as many come as are answered
        clock.now += 0.02
        left(queue, 1)
        assert admitted(queue, 2) == 2
    assert not queue.enter()
    left(queue, 2 * LIMIT)
    assert not queue.enter(), "the limit itself is in flight"


def test_behind_a_pause_a_longer_queue_waits_and_drains(queue: StandingQueue, clock: Clock) -> None:
    paused(queue, clock)
    assert admitted(queue, 6 * LIMIT) == 6 * LIMIT
    left(queue, 1)
    clock.now += 0.01
    assert queue.enter(), "answers flow again, but this queue is the pause's"
    left(queue, 6 * LIMIT + 2)
    assert admitted(queue, 1_000) == 2 * LIMIT + 1, "what comes now is no pause's"


def test_behind_a_pause_the_queue_is_bounded_too(queue: StandingQueue, clock: Clock) -> None:
    paused(queue, clock)
    assert admitted(queue, 1_000) == 7 * LIMIT - 1


def test_a_second_without_refusals_allows_a_burst_again(queue: StandingQueue, clock: Clock) -> None:
    admitted(queue, LIMIT + 1)
    clock.now += 0.5
    assert not queue.enter()
    left(queue, LIMIT + 1)
    clock.now += 1.0
    assert admitted(queue, 2 * LIMIT) == 2 * LIMIT


def test_a_queue_may_stand_where_it_is_no_sign_of_load(queue: StandingQueue, clock: Clock) -> None:
    admitted(queue, LIMIT + 1)
    clock.now += 0.5
    assert queue.enter(may_stand=True)
    assert not queue.enter()
    assert sum(queue.enter(may_stand=True) for _ in range(1_000)) == 8 * LIMIT - LIMIT - 2


def test_a_pause_below_the_capacity_refuses_nobody(clock: Clock) -> None:
    queue = StandingQueue(16, clock)
    for _ in range(25):  # half a second without an answer, at 50 requests a second
        assert queue.enter()
        clock.now += 0.02
    for _ in range(25):  # from then on two are answered for each that comes
        left(queue, 2)
        assert queue.enter()
        clock.now += 0.02


def test_no_burst_is_endless(queue: StandingQueue) -> None:
    assert admitted(queue, 1_000) == 3 * LIMIT


class Shop:
    """An app whose requests wait until `open`."""

    def __init__(self) -> None:
        self.open = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.open.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})


def client_of(shop: Shop) -> httpx.AsyncClient:
    inner = GatewayMiddleware(shop, AllowedHosts(["localhost"]), 1024)
    app = SheddingMiddleware(inner, Shedding(1, lambda: False))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost")


async def test_refused_requests_may_come_again_in_a_second() -> None:
    shed, shop = growth("gateway_shed_total"), Shop()
    async with client_of(shop) as client, asyncio.timeout(60):
        asked = [asyncio.create_task(client.get(PATH)) for _ in range(20)]
        refused = [await one for one in islice(asyncio.as_completed(asked), 12)]
        shop.open.set()
        answers = await asyncio.gather(*asked)
    assert {answer.status_code for answer in refused} == {503}
    assert {answer.headers["retry-after"] for answer in refused} == {"1"}
    assert refused[0].json()["status"] == 503
    assert [answer.status_code for answer in answers].count(200) == 8
    assert shed() == 12


@pytest.mark.parametrize("path", ["/v1/stats/summary", "/v1/users/42", "/v1/recommendations"])
async def test_other_requests_pass(path: str) -> None:
    shop = Shop()
    async with client_of(shop) as client:
        asked = [asyncio.create_task(client.get(path)) for _ in range(20)]
        shop.open.set()
        assert {answer.status_code for answer in await asyncio.gather(*asked)} == {200}


@pytest.mark.parametrize("route", SHED_ROUTES, ids=lambda route: route.path)
async def test_refusals_count_as_requests_of_their_route(route: Any) -> None:
    shop, path = Shop(), route.path.replace("{user_id}", "42").replace("{product_id}", "42")
    counted = growth("gateway_request_seconds_count", method="GET", route=route.path, status="503")
    async with client_of(shop) as client, asyncio.timeout(60):
        asked = [asyncio.create_task(client.get(path)) for _ in range(9)]
        await next(asyncio.as_completed(asked))
        shop.open.set()
        await asyncio.gather(*asked)
    assert counted() == 1


def test_what_is_shed_are_routes() -> None:
    routes = {getattr(route, "path", None) for router in (customers.router, products.router) for route in router.routes}
    assert {route.path for route in SHED_ROUTES} <= routes
