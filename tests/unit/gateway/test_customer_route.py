"""The short way to a customer's recommendations takes only what FastAPI's route would answer alike."""

import asyncio
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from fastapi import FastAPI
from redis.exceptions import RedisError

from services.gateway.access.doorkeeper import Doorkeeper
from services.gateway.access.rates import RequestRates
from services.gateway.api import problems
from services.gateway.routes import customers
from services.gateway.routes.customer_route import DEFAULT_K, ROUTE, CustomerRouteMiddleware, usual_request
from services.gateway.upstreams.recommender_client import Filters

USERS = ["42", "1515915625441993984", "a b", "a/b", "café", "%", "+", "日本", "x" * 128]
QUERIES = ["", "k=1", "k=3", "k=100"]
LEFT_TO_FASTAPI = [
    ("42", "k=0"), ("42", "k=101"), ("42", "k=03"), ("42", "k="), ("42", "k=1&k=2"), ("42", "K=1"),
    ("42", "alike=true"), ("42", "k=3&category=a"), ("42", "exclude_purchased=false"), ("42", "k=%33"),
    ("%00", ""), ("%0A", "k=3"), ("%FF", ""), ("x" * 129, ""), ("", ""),
]  # fmt: skip


class Answers:
    """Answers what it was asked; `dependencies` as the gateway has them."""

    def __init__(self) -> None:
        self.doorkeeper = Doorkeeper(None, None)
        self.rates = RequestRates(1_000)
        self.recommendations = self

    async def for_customer(self, user_id: str, k: int, filters: Filters) -> bytes:
        assert filters == Filters()
        return f"{user_id} {k}".encode()


def client(*, short: bool, doorkeeper: Doorkeeper | None = None) -> httpx.AsyncClient:
    app = FastAPI(telemetry={"auto_configure": False, "tracing": False, "metrics": False, "logs": False})
    problems.install(app, customers.router.routes)
    app.include_router(customers.router)
    app.state.dependencies = answers = Answers()
    answers.doorkeeper = doorkeeper or answers.doorkeeper

    async def routed(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            scope["path"] = scope["raw_path"].decode()
        await served(scope, receive, send)

    served: Any = CustomerRouteMiddleware(app, lambda: app.state.dependencies) if short else app
    return httpx.AsyncClient(transport=httpx.ASGITransport(routed), base_url="http://localhost")


def path(user: str, query: str) -> str:
    return f"/v1/users/{user}/recommendations" + (f"?{query}" if query else "")


def asked(user: str, query: str, method: str = "GET") -> tuple[str, int] | None:
    scope = {"type": "http", "method": method, "path": path(user, ""), "query_string": query.encode()}
    return usual_request(scope)


async def test_both_ways_answer_the_usual_requests_alike() -> None:
    asks = [path(quote(user, safe=""), query) for user in USERS for query in QUERIES]
    assert all(asked(quote(user, safe=""), query) for user in USERS for query in QUERIES)
    async with client(short=True) as short, client(short=False) as long:
        for one in asks:
            ours, theirs = await asyncio.gather(short.get(one), long.get(one))
            assert (ours.status_code, ours.content, dict(ours.headers)) == (200, theirs.content, dict(theirs.headers))


@pytest.mark.parametrize(("user", "query"), LEFT_TO_FASTAPI, ids=lambda text: repr(text[:20]))
def test_everything_else_is_left_to_fastapi(user: str, query: str) -> None:
    assert asked(user, query) is None


def test_other_methods_and_paths_are_left_to_fastapi() -> None:
    assert asked("42", "", "POST") is None
    assert usual_request({"type": "websocket"}) is None
    assert usual_request({"type": "http", "method": "GET", "path": "/v1/users/42", "query_string": b""}) is None


async def test_whoever_needs_a_key_is_asked_for_one() -> None:
    answers = Answers()
    answers.doorkeeper = Doorkeeper(None, NoKeys())  # type: ignore[arg-type]
    app = CustomerRouteMiddleware(FastAPI(), lambda: answers)  # type: ignore[arg-type, return-value]
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as closed:
        answer = await closed.get(path("42", ""))
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert answer.json()["status"] == 401


async def test_requests_are_counted_by_who_asks() -> None:
    answers = Answers()
    answers.rates = RequestRates(1)
    app = CustomerRouteMiddleware(FastAPI(), lambda: answers)  # type: ignore[arg-type, return-value]
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as hasty:
        statuses = [(await hasty.get(path("42", ""))).status_code for _ in range(2)]
    assert statuses == [200, 429]


async def test_while_the_sessions_cannot_be_read_the_route_of_fastapi_says_so() -> None:
    async with client(short=True, doorkeeper=Doorkeeper(None, None, NoSessions())) as closed:  # type: ignore[arg-type]
        answer = await closed.get(path("42", ""))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


class NoSessions:
    async def holder(self, scope: Any) -> None:
        raise RedisError("away")


class NoKeys:
    def find(self, key: str) -> None:
        return None


def test_the_route_and_its_default_are_fastapis() -> None:
    route = next(route for route in customers.router.routes if getattr(route, "path", "") == ROUTE.path)
    parameters = {field.name: field.default for field in route.dependant.query_params}  # type: ignore[attr-defined]
    assert parameters["k"] == DEFAULT_K
