"""Requests are counted by key or address: each has its own minute, and replicas know each other's."""

import math
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisAway
from redis.exceptions import RedisClusterException

from services.gateway.access.rates import RequestRates, SharedRates
from services.gateway.access.roles import Principal, Role
from services.gateway.api.problems import Problem
from services.gateway.settings import GatewaySettings
from tests.support.metrics import gauge, growth

MINUTE = 60
NOW = 1_000 * MINUTE + 15.5


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def scope(address: str) -> dict[str, Any]:
    return {"type": "http", "client": (address, 4242), "headers": []}


def test_what_is_left_of_the_minute_is_waited_for(clock: Clock) -> None:
    rates = RequestRates(3, clock)
    assert [rates.spend("a") for _ in range(5)] == [None, None, None, 45, 45]
    assert rates.spend("b") is None
    clock.now += 45
    assert rates.spend("a") is None


async def test_without_a_limit_nobody_is_refused(clock: Clock) -> None:
    rates = RequestRates(GatewaySettings().requests_per_minute, clock)
    assert [rates.spend("a") for _ in range(1_000)] == [None] * 1_000
    await rates.share(Away(RedisAway()))  # type: ignore[arg-type]


def test_a_key_is_counted_wherever_it_comes_from_and_an_address_without_one(clock: Clock) -> None:
    rates = RequestRates(1, clock)
    webshop, till = Principal("webshop", Role.RECOMMEND), Principal("till", Role.SENDER)
    by_key, by_address = (growth("gateway_rate_limited_total", by=kind) for kind in ("key", "address"))
    rates.admit(scope("192.0.2.1"), webshop)
    rates.admit(scope("192.0.2.1"), till)
    rates.admit(scope("192.0.2.1"), None)
    rates.admit(scope("192.0.2.2"), None)
    for address, principal in (("192.0.2.3", webshop), ("192.0.2.1", None)):
        with pytest.raises(Problem) as refused:
            rates.admit(scope(address), principal)
        assert (refused.value.status_code, refused.value.headers) == (429, {"Retry-After": "45"})
        assert "webshop" not in refused.value.detail
    assert (by_key(), by_address()) == (1, 1)


@pytest.mark.parametrize("default", [3, None])
def test_a_key_may_have_a_limit_of_its_own(clock: Clock, default: int | None) -> None:
    rates = RequestRates(default, clock)
    fast, slow = (Principal(name, Role.RECOMMEND, requests_per_minute=own) for name, own in (("fast", 5), ("slow", 1)))
    for principal, own in ((fast, 5), (slow, 1)):
        for _ in range(own):
            rates.admit(scope("192.0.2.1"), principal)
        with pytest.raises(Problem, match=f"made {own} requests") as refused:
            rates.admit(scope("192.0.2.1"), principal)
        assert refused.value.status_code == 429
    assert [rates.spend("another") for _ in range(4)] == [None, None, None, default and 45]


def test_so_many_owners_are_remembered(clock: Clock) -> None:
    rates = RequestRates(1, clock)
    assert rates.spend("first") is None
    for number in range(10_000):
        rates.spend(str(number))
    assert rates.spend("9999") is not None
    assert rates.spend("first") is None, "the one that was silent for longest is forgotten"


class Away:
    """A Redis that does not answer."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def pipeline(self, **_options: object) -> "Away":
        return self

    def incrby(self, *_arguments: object) -> None: ...

    expire = incrby

    async def execute(self) -> None:
        raise self._error

    async def aclose(self) -> None: ...


@pytest.mark.parametrize("error", [RedisAway(), RedisClusterException("no node")], ids=["server", "cluster"])
async def test_without_redis_a_replica_counts_for_itself(
    clock: Clock, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    rates = RequestRates(2, clock)
    shared = SharedRates(rates, Away(error))  # type: ignore[arg-type]
    assert math.isnan(gauge("gateway_rates_shared") or 0)
    assert rates.spend("a") is None
    for _ in range(3):
        await shared.refresh()
    assert [rates.spend("a") for _ in range(2)] == [None, 45]
    assert len(caplog.records) == 1, "an outage is logged once"
    assert gauge("gateway_rates_shared") == 0
    await shared.close()
