"""Which names the gateway answers for: a page whose name was pointed at this machine must read and post nothing."""

from collections.abc import AsyncIterator

import httpx
import pytest

from services.gateway.api.hosts import host_name
from services.gateway.settings import GatewaySettings
from tests.support.gateway_app import client_of, settings_of

FOREIGN = {"Host": "rebound.example:8080"}


@pytest.fixture
async def gateway() -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(settings_of()) as client:
        yield client


@pytest.mark.parametrize("path", ["/", "/docs", "/openapi.json", "/v1/config", "/v1/users/42", "/v1/system"])
async def test_a_foreign_name_is_a_problem_that_names_the_setting(gateway: httpx.AsyncClient, path: str) -> None:
    answer = await gateway.get(path, headers=FOREIGN)
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
    assert "TILLSTREAM_GATEWAY_HOSTS" in answer.json()["title"]
    assert "rebound.example" in answer.json()["detail"]


async def test_a_foreign_page_posts_no_sales(gateway: httpx.AsyncClient) -> None:
    assert (await gateway.post("/v1/events", headers=FOREIGN, json={})).status_code == 400


@pytest.mark.parametrize(
    "host", ["", "localhost.rebound.example", "127.0.0.1.rebound.example", "[::1].rebound.example"]
)
async def test_names_that_only_look_like_the_own_ones(gateway: httpx.AsyncClient, host: str) -> None:
    assert (await gateway.get("/v1/config", headers={"Host": host})).status_code == 400


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8080", "127.0.0.1:8080", "[::1]:8080", "[::1]"])
async def test_loopback_names_are_answered_on_every_port(gateway: httpx.AsyncClient, host: str) -> None:
    assert (await gateway.get("/v1/config", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize(("path", "status"), [("/healthz", 200), ("/readyz", 503), ("/metrics", 200)])
async def test_probes_may_ask_by_any_address(gateway: httpx.AsyncClient, path: str, status: int) -> None:
    assert (await gateway.get(path, headers={"Host": "10.1.2.3:8080"})).status_code == status


async def test_the_setting_names_the_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILLSTREAM_GATEWAY_HOSTS", "Shop.example, localhost")
    hosts = GatewaySettings().gateway_hosts
    async with client_of(settings_of(gateway_hosts=hosts)) as gateway:
        assert (await gateway.get("/v1/config", headers={"Host": "shop.example"})).status_code == 200
        assert (await gateway.get("/v1/config", headers={"Host": "127.0.0.1"})).status_code == 400


async def test_a_star_allows_every_name() -> None:
    async with client_of(settings_of(gateway_hosts="*")) as gateway:
        assert (await gateway.get("/v1/config", headers=FOREIGN)).status_code == 200


def test_a_host_without_a_name_has_none() -> None:
    assert host_name(":8080") is None
