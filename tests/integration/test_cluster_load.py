"""The load generator of the cluster tests, against a real server."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from local.cluster.load import Load, Outcome, open_session

PRODUCTS = [{"product_id": str(number)} for number in range(3)]


class Gateway:
    """Answers as the next of `faults` says; well when none is left."""

    def __init__(self) -> None:
        self.faults: list[str] = []
        self.asked: list[str] = []

    async def recommend(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.match_info["user"])
        match self.faults.pop(0) if self.faults else "":
            case "reset":
                assert request.transport is not None
                request.transport.abort()
                return web.Response()
            case "refuse":
                return web.json_response({"status": 503}, status=503)
            case "short":
                return web.json_response({"strategy": "personal", "items": PRODUCTS[:1]})
        return web.json_response({"strategy": "popular_fallback", "items": PRODUCTS})


@pytest.fixture
async def gateway() -> AsyncIterator[tuple[Gateway, str]]:
    served = Gateway()
    application = web.Application()
    application.router.add_get("/v1/users/{user}/recommendations", served.recommend)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield served, f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def _outcomes(url: str, log: Path, requests: int) -> list[Outcome]:
    async with open_session(url) as session:
        with log.open("a") as file:
            await Load(session, ["a b", "c"], file).run(50, asyncio.Event(), requests / 50)
    return Outcome.read(log)


async def test_good_answers_are_counted_with_their_strategy(gateway: tuple[Gateway, str], tmp_path: Path) -> None:
    served, url = gateway
    outcomes = await _outcomes(url, tmp_path / "log", requests=4)
    assert [(outcome.strategy, outcome.failure, outcome.retried) for outcome in outcomes] == [
        ("popular_fallback", "", False)
    ] * 4
    assert sorted(served.asked) == ["a b", "a b", "c", "c"]


@pytest.mark.parametrize(
    ("faults", "failure", "retried"),
    [
        (["reset"], "", True),
        (["reset"] * 4, "", True),
        (["reset"] * 20, "ServerDisconnectedError: Server disconnected", True),
        (["refuse"], "NoRecommendation: status 503, 0 products", False),
        (["short"], "NoRecommendation: status 200, 1 products", False),
    ],
)
async def test_what_is_no_recommendation_fails(
    gateway: tuple[Gateway, str], tmp_path: Path, faults: list[str], failure: str, retried: bool
) -> None:
    served, url = gateway
    served.faults = list(faults)
    [outcome] = await _outcomes(url, tmp_path / "log", requests=1)
    assert (outcome.failure, outcome.retried) == (failure, retried)


async def test_a_gateway_that_does_not_listen_is_tried_again(tmp_path: Path) -> None:
    [outcome] = await _outcomes("http://127.0.0.1:9", tmp_path / "log", requests=1)
    assert outcome.failure.startswith("ClientConnectorError")
    assert outcome.retried
