"""A request's trace goes from the gateway to the recommender, over real HTTP layers and real gRPC."""

from collections.abc import AsyncIterator

import httpx
import pytest

from recsys.model import load_model
from services.common import tracing
from services.recommender.server import RecommenderServer
from services.recommender.service import SERVICE_NAME
from services.recommender.serving import Serving
from tests.support.gateway_app import client_of, settings_of
from tests.support.models import MODELS, VERSION, Objects, checkerboard, publish, without_stream
from tests.support.spans import Spans, in_order, recorded

BASKET = {"product_ids": ["i1"], "k": 3}
RECOMMENDATIONS, CALL = "POST /v1/recommendations", f"{SERVICE_NAME}/RecommendForItems"
EDGES = in_order([(None, RECOMMENDATIONS), (RECOMMENDATIONS, CALL), (CALL, CALL)])


@pytest.fixture
async def gateway() -> AsyncIterator[httpx.AsyncClient]:
    """A gateway in front of a recommender with a model; no other engine is there."""
    store = Objects()
    publish(store, checkerboard(VERSION))
    serving = Serving(without_stream(load_model(store, f"{MODELS}/{VERSION}", VERSION)))
    server = RecommenderServer(lambda: serving)
    port = await server.start("127.0.0.1", 0)
    settings = settings_of(recommender_address=f"127.0.0.1:{port}", recommender_batch_deadline_ms=60_000)
    async with client_of(settings) as client:
        yield client
    await server.close(1)


async def ask(gateway: httpx.AsyncClient, headers: dict[str, str] | None = None) -> httpx.Response:
    answer = await gateway.post("/v1/recommendations", json=BASKET, headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.json()["results"][0]["strategy"] != "popular_fallback", "the recommender answered"
    return answer


def assert_edges(spans: Spans) -> None:
    """Request → call → answer. Both ends of the call have its name: the last edge leads from one to the other."""
    assert spans.edges() == EDGES
    assert spans.traces() == 1


async def test_request_call_answer(gateway: httpx.AsyncClient) -> None:
    with recorded() as spans:
        answer = await ask(gateway)
    assert_edges(spans)
    attributes = dict(spans.named(RECOMMENDATIONS).attributes or {})
    assert attributes == {
        "http.request.method": "POST",
        "http.route": "/v1/recommendations",
        "http.response.status_code": 200,
        "tillstream.request_id": answer.headers["x-request-id"],
    }


async def test_a_client_decides_neither_the_trace_nor_whether_it_is_recorded(gateway: httpx.AsyncClient) -> None:
    own = {tracing.HEADER: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
    with recorded() as spans:
        await ask(gateway, own)
        assert_edges(spans)
    with recorded(ratio=0) as spans:
        await ask(gateway, own)
        assert spans.ended == ()


async def test_a_path_with_a_customers_id_is_not_in_the_trace(gateway: httpx.AsyncClient) -> None:
    with recorded() as spans:
        assert (await gateway.get("/v1/users/ann@example.org")).status_code == 503, "no tables"
    (span,) = spans.ended
    assert span.name == "GET /v1/users/{user_id}"
    assert "ann" not in span.to_json()


async def test_probes_are_not_traced(gateway: httpx.AsyncClient) -> None:
    with recorded() as spans:
        for probe in ("/healthz", "/readyz", "/metrics"):
            await gateway.get(probe)
    assert spans.ended == ()


METRICS = {"accept": "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"}
TIMED = (
    ("tillstream_gateway_request_seconds_bucket", 'route="/v1/recommendations"'),
    ("tillstream_gateway_recommender_call_seconds_bucket", 'method="RecommendForItems"'),
    ("tillstream_recommender_request_seconds_bucket", 'method="RecommendForItems"'),
)


async def test_a_bucket_leads_to_the_trace_of_a_request_in_it(gateway: httpx.AsyncClient) -> None:
    with recorded() as spans:
        await ask(gateway)
        answer = await gateway.get("/metrics", headers=METRICS)
        plain = await gateway.get("/metrics")
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")
    (trace_id,) = spans.trace_ids()
    for name, label in TIMED:
        lines = [line for line in answer.text.splitlines() if line.startswith(name) and label in line]
        assert any(f'trace_id="{trace_id}"' in line for line in lines), f"{name} has no exemplar of this trace"
    assert plain.headers["content-type"].startswith("text/plain")
    assert "trace_id" not in plain.text


async def test_without_traces_metrics_are_plain_text(gateway: httpx.AsyncClient) -> None:
    await ask(gateway)
    answer = await gateway.get("/metrics", headers=METRICS)
    assert answer.headers["content-type"].startswith("text/plain")
