"""Bad input gets a problem document that names the field; nothing a client sends is a 500."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from services.gateway.api.problems import ProblemDocument
from tests.support.gateway_app import client_of, settings_of


@pytest.fixture
async def gateway(redis_url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(settings_of(redis_url=redis_url, max_body_bytes=2_000)) as client:
        yield client


def problem(answer: httpx.Response, status: int) -> ProblemDocument:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document = ProblemDocument.model_validate_json(answer.text)
    assert document.status == status
    return document


def fields(document: ProblemDocument) -> list[str]:
    return [error.field for error in document.errors or []]


RECOMMENDATIONS = "/v1/users/42/recommendations"
SALES = "/v1/stats/sales"


@pytest.mark.parametrize(
    ("path", "query", "field"),
    [
        (RECOMMENDATIONS, {"k": "0"}, "k"),
        (RECOMMENDATIONS, {"k": "10000"}, "k"),
        (RECOMMENDATIONS, {"k": "-1"}, "k"),
        (RECOMMENDATIONS, {"k": "three"}, "k"),
        (RECOMMENDATIONS, {"k": "3.5"}, "k"),
        (RECOMMENDATIONS, {"min_price": "NaN"}, "min_price"),
        (RECOMMENDATIONS, {"min_price": "1e9"}, "min_price"),
        (RECOMMENDATIONS, {"max_price": "-3"}, "max_price"),
        (RECOMMENDATIONS, {"max_price": "1.234"}, "max_price"),
        (RECOMMENDATIONS, {"max_price": ""}, "max_price"),
        (RECOMMENDATIONS, {"min_price": "5", "max_price": "4.99"}, "min_price"),
        (RECOMMENDATIONS, {"exclude_purchased": "maybe"}, "exclude_purchased"),
        (RECOMMENDATIONS, {"category": ""}, "category"),
        (RECOMMENDATIONS, {"brand": "x" * 257}, "brand"),
        (f"/v1/users/{'x' * 129}", {}, "user_id"),
        ("/v1/users/a%00b", {}, "user_id"),
        ("/v1/users/%FF", {}, "user_id"),
        ("/v1/products/%0A/sales", {}, "product_id"),
        ("/v1/products/p/similar", {"k": "101"}, "k"),
        ("/v1/users", {"limit": "0"}, "limit"),
        ("/v1/users", {"prefix": "a\x01"}, "prefix"),
        ("/v1/stats/top/products", {"n": "0"}, "n"),
        ("/v1/stats/top/products", {"n": "1001"}, "n"),
        ("/v1/stats/top/colours", {}, "board"),
        (SALES, {"granularity": "year"}, "granularity"),
        (SALES, {"granularity": "hour", "category": "electronics"}, "granularity"),
        ("/v1/products/p/sales", {"granularity": "minute"}, "granularity"),
        (SALES, {"from": "2020-05-01T00:00:00Z", "to": "2020-04-01T00:00:00Z"}, "from"),
        (SALES, {"from": "yesterday"}, "from"),
        (SALES, {"from": "2020-13-01T00:00:00Z"}, "from"),
        (SALES, {"from": "0000-01-01T00:00:00Z"}, "from"),
        (SALES, {"to": "1587729039"}, "to"),
        (SALES, {"to": "2020-04-01"}, "to"),
    ],
)
async def test_the_offending_field_is_named(
    gateway: httpx.AsyncClient, path: str, query: dict[str, str], field: str
) -> None:
    document = problem(await gateway.get(path, params=query), 422)
    assert fields(document) == [field]
    assert document.detail.startswith(f"{field}: ")


async def test_a_plus_lost_in_a_time_is_explained(gateway: httpx.AsyncClient) -> None:
    answer = await gateway.get(f"{SALES}?from=2020-04-01T00:00:00+02:00")
    assert "%2B" in problem(answer, 422).detail


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00%2B14:00", "9999-12-31T23:59:59-14:00", "1970-01-01T00:00:00Z"])
async def test_far_times_are_answered(gateway: httpx.AsyncClient, moment: str) -> None:
    for bound in ("from", "to"):
        answer = await gateway.get(f"{SALES}?granularity=hour&{bound}={moment}")
        assert answer.status_code in (200, 422), answer.text


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"user_ids": [1515915625441993984]}, "user_ids.0"),
        ({"user_ids": ["a", None]}, "user_ids.1"),
        ({"user_ids": "a"}, "user_ids"),
        ({"user_ids": []}, "user_ids"),
        ({"product_ids": [{}]}, "product_ids.0"),
        ({"product_ids": ["x" * 129]}, "product_ids.0"),
        ({"user_ids": ["a"], "k": 0}, "k"),
        ({"user_ids": ["a"], "k": "3"}, "k"),
        ({"user_ids": ["a"], "k": True}, "k"),
        ({"user_ids": ["a"], "min_price": 9.99}, "min_price"),
        ({"user_ids": ["a"], "max_price": "1e2"}, "max_price"),
        ({"user_ids": ["a"], "min_price": "2", "max_price": "1"}, "min_price"),
        ({"user_ids": ["a"], "userids": ["b"]}, "userids"),
        ({}, "body"),
        ({"user_ids": ["a"], "product_ids": ["b"]}, "body"),
        ([], "body"),
    ],
)
async def test_bodies_of_the_wrong_shape(gateway: httpx.AsyncClient, body: Any, field: str) -> None:
    assert fields(problem(await gateway.post("/v1/recommendations", json=body), 422)) == [field]


@pytest.mark.parametrize("body", [rb'{"user_ids": ["\ud800"]}', rb'{"user_ids": ["a"], "brand": "\udfff"}'])
async def test_text_that_is_no_unicode(gateway: httpx.AsyncClient, body: bytes) -> None:
    answer = await gateway.post("/v1/recommendations", content=body, headers={"Content-Type": "application/json"})
    problem(answer, 422)


async def test_more_than_a_thousand_ids(redis_url: str) -> None:
    async with client_of(settings_of(redis_url=redis_url)) as gateway:
        answer = await gateway.post("/v1/recommendations", json={"user_ids": ["a"] * 1_001})
        assert fields(problem(answer, 422)) == ["user_ids"]


async def test_a_body_that_is_not_json(gateway: httpx.AsyncClient) -> None:
    for path in ("/v1/recommendations", "/v1/events"):
        answer = await gateway.post(path, content=b'{"user_ids": [', headers={"Content-Type": "application/json"})
        problem(answer, 422)


async def test_a_body_that_is_too_large(gateway: httpx.AsyncClient) -> None:
    headers = {"Content-Type": "application/json"}
    for path in ("/v1/recommendations", "/v1/events"):
        problem(await gateway.post(path, content=b" " * 2_001, headers=headers), 413)

    async def chunks() -> AsyncIterator[bytes]:
        for _chunk in range(3):
            yield b" " * 1_000

    for path in ("/v1/recommendations", "/v1/events"):
        problem(await gateway.post(path, content=chunks(), headers=headers), 413)


@pytest.mark.parametrize("path", ["/v1/nothing", "/v1/", "/v1/users/a/b/c", "/nothing.js"])
async def test_unknown_paths(gateway: httpx.AsyncClient, path: str) -> None:
    assert path in problem(await gateway.get(path), 404).detail


async def test_wrong_methods(gateway: httpx.AsyncClient) -> None:
    answer = await gateway.delete("/v1/stats/summary")
    problem(answer, 405)
    assert answer.headers["allow"] == "GET"


async def test_errors_carry_the_security_headers_too(gateway: httpx.AsyncClient) -> None:
    for path in ("/v1/nothing", "/v1/stats/summary", "/"):
        headers = (await gateway.get(path)).headers
        assert "default-src 'self'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"


async def test_without_redis_figures_are_a_503_and_health_says_so() -> None:
    async with client_of(settings_of()) as gateway:
        for path in ("/v1/stats/summary", SALES, "/v1/stats/top/brands", "/v1/users", "/v1/users/42"):
            answer = await gateway.get(path)
            problem(answer, 503)
            assert answer.headers["retry-after"]
        assert (await gateway.get("/healthz")).status_code == 200
        ready = await gateway.get("/readyz")
        assert ready.status_code == 503
        assert ready.json()["checks"]["redis"]["ok"] is False


async def test_a_fault_of_the_gateway_is_a_500_problem_without_its_inside(
    gateway: httpx.AsyncClient, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    import redis  # noqa: PLC0415

    with redis.Redis.from_url(redis_url) as client:
        client.hset("tillstream:1:{0}:product:broken", "facts", "secret nonsense")
    document = problem(await gateway.get("/v1/products/broken"), 500)
    assert "secret" not in document.detail
    (line,) = [record for record in caplog.records if record.exc_info]
    assert line.getMessage() == "GET /v1/products/{product_id} failed"
    assert (vars(line)["method"], vars(line)["route"]) == ("GET", "/v1/products/{product_id}")


async def test_ready_never_depends_on_the_recommender(gateway: httpx.AsyncClient) -> None:
    assert (await gateway.get("/readyz")).status_code == 200


async def test_metrics_name_the_route_not_the_path(gateway: httpx.AsyncClient) -> None:
    await gateway.get("/v1/users/somebody")
    text = (await gateway.get("/metrics")).text
    assert 'route="/v1/users/{user_id}",status="404"' in text
    assert "somebody" not in text


async def test_metrics_count_refusals_and_have_no_label_of_the_clients_choice(gateway: httpx.AsyncClient) -> None:
    await gateway.get("/v1/config", headers={"Host": "rebound.example"})
    await gateway.request("BREW", "/v1/config")
    text = (await gateway.get("/metrics")).text
    assert 'method="GET",route="none",status="400"' in text
    assert 'method="other"' in text
    assert "BREW" not in text
