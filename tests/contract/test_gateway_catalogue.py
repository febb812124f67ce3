"""The routes that write the catalogue: what they refuse, and that nothing is lost silently while Kafka is away."""

import gzip
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from aiokafka.errors import TopicAuthorizationFailedError

from services.gateway.app import create_app
from tests.support.gateway_app import client_of, settings_of

LINES = b'{"product_id": "a", "price": "1.00"}\n\n{"product_id": "b", "image_url": "javascript:alert(1)"}\n'


@pytest.fixture
async def gateway() -> AsyncIterator[httpx.AsyncClient]:
    settings = settings_of(produce_timeout_seconds=0.2, image_hosts="images.example.com,http://127.0.0.1:8000")
    async with client_of(settings) as client:
        yield client


async def post(gateway: httpx.AsyncClient, body: bytes, **headers: str) -> httpx.Response:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return await gateway.post("/v1/products", content=body, headers={"Content-Type": "application/x-ndjson"} | given)


async def test_while_kafka_is_away_every_write_says_so(gateway: httpx.AsyncClient) -> None:
    for answer in (
        await gateway.put("/v1/products/p", json={"price": "1.00"}),
        await gateway.delete("/v1/products/p"),
        await post(gateway, LINES),
    ):
        assert answer.status_code == 503
        assert "send the same request again" in answer.json()["detail"]


class Refused:
    """A Kafka client that may not write to its topic."""

    async def send(self, topic: str, *_: object, **__: object) -> None:
        raise TopicAuthorizationFailedError(topic)

    async def stop(self) -> None:
        """It ends."""


async def test_a_catalogue_that_may_not_be_written_leaves_the_producer_of_events_alone() -> None:
    app, client = create_app(settings_of(produce_timeout_seconds=0.2)), Refused()
    async with app.router.lifespan_context(app):
        producers = app.state.dependencies.event_producer, app.state.dependencies.product_producer
        for producer in producers:
            producer._producer = client
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as gateway:
            assert (await gateway.put("/v1/products/p", json={"price": "1.00"})).status_code == 503
        assert [producer._producer for producer in producers] == [client, None]


@pytest.mark.parametrize("packed", [False, True])
async def test_each_line_gets_a_verdict(gateway: httpx.AsyncClient, packed: bool) -> None:
    headers = {"Content-Encoding": "gzip"} if packed else {}
    answer = await post(gateway, gzip.compress(LINES) if packed else LINES, **headers)
    verdicts = answer.json()["verdicts"]
    assert [(verdict["status"], verdict["field"]) for verdict in verdicts] == [
        ("unconfirmed", None),
        ("rejected", "image_url"),
    ]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"price": "1e9"}, "price"),
        ({"image_url": "javascript:alert(1)"}, "image_url"),
        ({"product_id": "another"}, "product_id"),
        ({"stock_level": "hidden"}, "stock_level"),
        ({"product_name": "x" * 20_000}, "product"),
        ([], "product"),
    ],
    ids=str,
)
async def test_a_product_that_breaks_the_contract_names_its_field(
    gateway: httpx.AsyncClient, body: Any, field: str
) -> None:
    answer = await gateway.put("/v1/products/p", json=body)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]


async def test_what_holds_no_products_or_too_many_is_refused(gateway: httpx.AsyncClient) -> None:
    for body in (b"", b"\n" * 3_000, b'{"product_id": "a"}\n' * 1_001):
        assert (await post(gateway, body)).status_code == 422
    for body in (b"{}", b"[", json.dumps([]).encode()):
        assert (await post(gateway, body, Content_Type="application/json")).status_code == 422
    assert (await post(gateway, b'{"product_id": 1}')).json()["detail"] == "no product is valid"
    assert (await post(gateway, LINES, Content_Type="text/plain")).status_code == 415


async def test_a_method_that_a_path_does_not_have_names_those_that_it_has(gateway: httpx.AsyncClient) -> None:
    for path, methods in (
        ("/v1/products", "GET, POST"),
        ("/v1/products/p", "DELETE, GET, PUT"),
        ("/v1/events", "POST"),
    ):
        answer = await gateway.patch(path)
        assert (answer.status_code, answer.headers["allow"]) == (405, methods)


async def test_a_page_may_load_images_of_the_hosts_that_are_set_and_of_no_other(gateway: httpx.AsyncClient) -> None:
    policy = (await gateway.get("/healthz")).headers["content-security-policy"]
    assert "img-src 'self' data: https://images.example.com http://127.0.0.1:8000;" in policy


@pytest.mark.parametrize("host", ["*", "https://", "a b", "images.example.com; script-src *", "javascript:x", "h/path"])
def test_a_host_that_would_open_the_policy_is_refused(host: str) -> None:
    with pytest.raises(ValueError, match="is not a host"):
        settings_of(image_hosts=host)
