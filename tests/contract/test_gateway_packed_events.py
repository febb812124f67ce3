"""POST /v1/events takes gzip, a byte order mark and JSON lines, and no bombs."""

import gzip
import json
from collections.abc import AsyncIterator

import httpx
import pytest

from tests.support.gateway_app import client_of, settings_of

EVENT = {"event_time": "2020-04-24T11:50:39Z", "order_id": "o", "product_id": "p", "price": "1.10"}
LINES = "".join(json.dumps(each) + "\n" for each in (EVENT, EVENT | {"price": "x"})).encode()
LIMIT = 100_000


@pytest.fixture
async def gateway() -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(settings_of(max_body_bytes=LIMIT, produce_timeout_seconds=0.2)) as client:
        yield client


async def post(gateway: httpx.AsyncClient, body: bytes, **headers: str) -> httpx.Response:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return await gateway.post("/v1/events", content=body, headers={"Content-Type": "application/json"} | given)


@pytest.mark.parametrize("content_type", ["application/x-ndjson", "application/jsonl; charset=utf-8"])
@pytest.mark.parametrize("packed", [False, True])
async def test_lines_packed_or_not_get_a_verdict_each(
    gateway: httpx.AsyncClient, content_type: str, packed: bool
) -> None:
    body = b"\xef\xbb\xbf" + LINES
    headers = {"Content-Encoding": "gzip"} if packed else {}
    answer = await post(gateway, gzip.compress(body) if packed else body, **headers | {"Content-Type": content_type})
    # Kafka is away: what was read shows in the verdicts.
    assert answer.status_code == 503
    assert [verdict["status"] for verdict in answer.json()["verdicts"]] == ["unconfirmed", "rejected"]


async def test_a_list_may_be_packed(gateway: httpx.AsyncClient) -> None:
    answer = await post(gateway, gzip.compress(json.dumps([EVENT] * 3).encode()), Content_Encoding="gzip")
    assert len(answer.json()["verdicts"]) == 3


async def test_a_bomb_is_refused(gateway: httpx.AsyncClient) -> None:
    bomb = gzip.compress(b" " * 50_000_000)
    assert len(bomb) < LIMIT
    answer = await post(gateway, bomb, Content_Encoding="gzip")
    assert (answer.status_code, answer.json()["detail"]) == (413, "the body unpacks to more than 100,000 bytes")


async def test_what_is_not_understood_is_said(gateway: httpx.AsyncClient) -> None:
    assert (await post(gateway, b"x", Content_Encoding="gzip")).status_code == 422
    answer = await post(gateway, LINES, Content_Encoding="br")
    assert (answer.status_code, answer.headers["accept-encoding"]) == (415, "gzip")
    answer = await post(gateway, LINES, Content_Type="text/plain")
    assert answer.status_code == 415
    assert "application/x-ndjson" in answer.json()["detail"]
    assert (await post(gateway, LINES)).status_code == 422
