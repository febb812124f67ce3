"""Requests generated from the OpenAPI document, valid and invalid, to the gateway on real engines.

No response is a 5xx, every error is a problem document, and every response matches the document.
"""

import asyncio
import uuid
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import given, settings
from hypothesis import strategies as st
from schemathesis import Case, CheckFunction, Response
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from local.engines import S3Engine
from local.ports import free_port
from services.common.object_store import ObjectStore
from services.common.settings import KafkaSettings, S3Settings
from services.common.topics import PRODUCTS, PURCHASES
from services.gateway.api.problems import CONTENT_TYPE, ProblemDocument
from services.gateway.api.schemas.figures import StreamSnapshot
from services.gateway.app import create_app
from services.provision.topics import create
from tests.support.gateway_app import settings_of
from tests.support.gateway_tables import SHOP, TableWriter
from tests.support.models import checkerboard, publish
from tests.support.polling import wait_until
from tests.support.producer import readiness, running

DOCUMENT = create_app(settings_of()).openapi()
STREAM, READY = "/v1/stats/stream", "/readyz"
EVENTS = "/v1/events"
ACTIVATE = "/v1/models/{version}/activate"
# Rules between two fields, and those of an event, are told in words: a request may fit the schema and be refused.
RULES_IN_WORDS = {
    "/v1/stats/sales",
    "/v1/stats/top/{board}",
    "/v1/products/{product_id}/sales",
    "/v1/users/{user_id}/recommendations",
    "/v1/recommendations",
    "/v1/products",
    "/v1/products/{product_id}",
    EVENTS,
}
TOKEN = "the-admins-token"
# A tenth of the profile's examples for each of twenty operations, beside the document's own and its border cases.
few = settings(max_examples=settings().max_examples // 10, deadline=None)
PRINTED = st.characters(codec="latin-1", categories=["L", "N", "P"])
schema = schemathesis.openapi.from_dict(DOCUMENT)


@pytest.fixture(scope="module")
def gateway(valkey: str, kafka: str, s3_engine: S3Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The gateway as a process; a small shop in the live tables, a small model at the recommender."""
    folder = tmp_path_factory.mktemp("gateway")
    s3 = s3_engine.settings(bucket="openapi")
    _fill(valkey, s3)
    topic = replace(PURCHASES, name=f"purchases-{uuid.uuid4().hex[:12]}")
    products = replace(PRODUCTS, name=f"products-{uuid.uuid4().hex[:12]}")
    asyncio.run(create(KafkaSettings(kafka_bootstrap=kafka), [topic, products]))
    gateway_port, recommender_port, metrics_port = free_port(), free_port(), free_port()
    recommender = _s3(s3) | {"recommender_port": str(recommender_port), "metrics_port": str(metrics_port)}
    settings_ = _s3(s3) | {
        "gateway_port": str(gateway_port),
        "redis_url": valkey,
        "kafka_bootstrap": kafka,
        "purchases_topic": topic.name,
        "products_topic": products.name,
        "recommender_address": f"127.0.0.1:{recommender_port}",
        "admin_token": TOKEN,
    }
    with (
        running("services.recommender", [], _environment(recommender), folder / "recommender.log"),
        running("services.gateway", [], _environment(settings_), folder / "gateway.log"),
    ):
        url = f"http://127.0.0.1:{gateway_port}"
        for port in (metrics_port, gateway_port):
            wait_until(partial(_is_ready, port), "the service is ready")
        wait_until(partial(_takes_events, url), "the gateway takes events")
        yield url


def _is_ready(port: int) -> bool:
    return bool(readiness(port).get("ready"))


def _takes_events(url: str) -> bool:
    event = {"event_time": "2020-04-24T11:50:39Z", "order_id": "1", "product_id": "2", "price": "1.10"}
    return httpx.post(f"{url}/v1/events", json=event, timeout=60).status_code == 202


def _fill(redis_url: str, s3: S3Settings) -> None:
    store = ObjectStore(s3)
    store.create_bucket()
    publish(store, checkerboard())
    store.close()
    writer = TableWriter(redis_url)
    writer.redis.flushall()
    writer.write(SHOP)
    writer.close()


def _s3(s3: S3Settings) -> dict[str, str]:
    assert s3.s3_endpoint
    assert s3.s3_access_key
    assert s3.s3_secret_key
    return {
        "s3_endpoint": s3.s3_endpoint,
        "s3_bucket": s3.s3_bucket,
        "s3_access_key": s3.s3_access_key,
        "s3_secret_key": s3.s3_secret_key.get_secret_value(),
    }


def _environment(settings_: dict[str, str]) -> dict[str, str]:
    return {f"TILLSTREAM_{name.upper()}": value for name, value in settings_.items()}


def check_problem(response: Response, path: str) -> None:
    """Every refusal is a problem document of its status; only /readyz tells its 503 in its own form."""
    if response.status_code < 400 or path == READY:
        return
    assert response.headers["content-type"] == [CONTENT_TYPE]
    assert ProblemDocument.model_validate_json(response.content).status == response.status_code


@schema.exclude(path=STREAM).parametrize()
@few
def test_every_answer_is_what_the_document_says(case: Case[Any], gateway: str) -> None:
    excluded: list[CheckFunction] = [positive_data_acceptance] if case.operation.path in RULES_IN_WORDS else []
    if case.operation.path == EVENTS or (case.method in ("PUT", "POST") and "/v1/products" in case.operation.path):
        excluded.append(negative_data_rejection)  # of a list, what is valid is taken; an empty text is none
    check_problem(case.call_and_validate(base_url=gateway, excluded_checks=excluded), case.operation.path)


@schema.include(path=ACTIVATE).parametrize()
@few
def test_the_admin_is_answered_so_too(case: Case[Any], gateway: str) -> None:
    case.headers["Authorization"] = f"Bearer {TOKEN}"
    response = case.call_and_validate(base_url=gateway)
    # The document's security scheme makes requests without the token, too.
    bears_token = response.request.headers.get("Authorization") == f"Bearer {TOKEN}"
    assert not (bears_token and response.status_code in (401, 403))
    check_problem(response, ACTIVATE)


@few
@given(st.text(st.characters(codec="utf-8"), max_size=40), st.text(PRINTED, max_size=40))
def test_the_stream_begins_with_a_snapshot_wherever_it_is_resumed(gateway: str, query: str, header: str) -> None:
    given_ = {"params": {"last_event_id": query}, "headers": {"Last-Event-ID": header.encode("latin-1")}}
    with httpx.stream("GET", f"{gateway}{STREAM}", timeout=60, **given_) as answer:  # type: ignore[arg-type]
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        lines = answer.iter_lines()
        assert "event: snapshot" in (line for line in lines)
        StreamSnapshot.model_validate_json(next(lines).removeprefix("data: "))
