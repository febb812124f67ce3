"""The page, the reference and the state of the system."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.common.telemetry import Health, TelemetryServer
from services.gateway.api.schemas.system import AlertsResponse, ConfigResponse, SystemResponse
from tests.support.gateway_app import AWAY, client_of, settings_of


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    folder = tmp_path / "dist"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<title>the page</title>")
    (folder / "favicon.svg").write_text("<svg/>")
    (folder / "assets" / "index-0a1b.js").write_text("let a = 1;\n" * 1_000)
    (tmp_path / "secret.txt").write_text("outside")
    return folder


@pytest.fixture
async def gateway(redis_url: str, dist: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(settings_of(redis_url=redis_url, web_dist=dist, currency="EUR")) as client:
        yield client


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/sales", "/models", "/system", "/customers", "/products"),
        *("/customers/1515915625441993984", "/customers/a.b", "/products/a%2Fb.png", "/customers/%3Ca%3E"),
    ],
)
async def test_every_path_of_the_page_is_its_index(gateway: httpx.AsyncClient, path: str) -> None:
    answer = await gateway.get(path)
    assert (answer.status_code, answer.text) == (200, "<title>the page</title>")
    assert answer.headers["cache-control"] == "no-cache"
    assert (await gateway.head(path)).status_code == 200


async def test_below_v1_the_api_refuses_and_not_the_page(gateway: httpx.AsyncClient) -> None:
    answer = await gateway.get("/v1/recommendations")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert (await gateway.get("/v1/sales")).status_code == 404
    assert (await gateway.head("/v1/stats/summary")).status_code == 405


@pytest.mark.parametrize("path", ["/v1", "/v1/", "/v1/sales", "/v1/customers/a.b", "/missing.js"])
async def test_what_is_no_path_of_the_page_is_a_problem(gateway: httpx.AsyncClient, path: str) -> None:
    answer = await gateway.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


async def test_files_of_the_page(gateway: httpx.AsyncClient) -> None:
    assert (await gateway.get("/favicon.svg")).text == "<svg/>"
    script = await gateway.get("/assets/index-0a1b.js", headers={"Accept-Encoding": "gzip"})
    assert script.headers["content-encoding"] == "gzip"
    assert "immutable" in script.headers["cache-control"]
    assert (await gateway.get("/assets/missing.js")).headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "path", ["/../secret.txt", "/%2e%2e/secret.txt", "/..%2fsecret.txt", "/assets/..%2f..%2fsecret.txt"]
)
async def test_nothing_outside_the_folder_is_served(gateway: httpx.AsyncClient, path: str) -> None:
    answer = await gateway.get(path)
    assert "outside" not in answer.text


@pytest.mark.parametrize("path", ["/%00", "/assets/%00", f"/{'x' * 5_000}", f"/assets/{'x' * 5_000}", "/%FF", "//"])
async def test_names_that_no_file_can_have(gateway: httpx.AsyncClient, path: str) -> None:
    assert (await gateway.get(path)).status_code in (200, 404)


async def test_an_unbuilt_page_says_how_to_build_it(redis_url: str) -> None:
    async with client_of(settings_of(redis_url=redis_url)) as gateway:
        answer = await gateway.get("/")
        assert answer.status_code == 200
        assert "make web" in answer.text
        assert (await gateway.get("/sales")).status_code == 404


async def test_the_page_learns_the_shops_currency(gateway: httpx.AsyncClient) -> None:
    answer = ConfigResponse.model_validate((await gateway.get("/v1/config")).json())
    assert (answer.currency, answer.time_zone) == ("EUR", "UTC")


async def test_the_page_can_ask_what_time_it_is(gateway: httpx.AsyncClient) -> None:
    before = time.time()
    answer = await gateway.get("/v1/clock")
    now = datetime.fromisoformat(answer.json()["now"]).timestamp()
    assert before - 0.001 <= now <= time.time()
    assert answer.headers["cache-control"] == "no-store"


async def test_the_reference_shows_every_route_and_loads_nothing_from_elsewhere(gateway: httpx.AsyncClient) -> None:
    document = (await gateway.get("/openapi.json")).json()
    reference = await gateway.get("/docs")
    assert reference.headers["content-type"].startswith("text/html")
    for path in document["paths"]:
        assert path in reference.text
    assert "<script" not in reference.text
    assert "//" not in reference.text.replace("http://127.0.0.1:8080/", "")
    assert (await gateway.get("/docs/style.css")).headers["content-type"].startswith("text/css")


async def test_the_document_describes_answers_and_problems(gateway: httpx.AsyncClient) -> None:
    document = (await gateway.get("/openapi.json")).json()
    schemas = document["components"]["schemas"]
    assert "HTTPValidationError" not in json.dumps(document)
    for reference in _references(document):
        assert reference.removeprefix("#/components/schemas/") in schemas
    for operations in document["paths"].values():
        for operation in operations.values():
            assert list(operation["responses"]["default"]["content"]) == ["application/problem+json"]
            assert operation["summary"]
    assert schemas["StreamSnapshot"]["properties"].keys() == {"summary", "top", "ticker"}


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        yield from ([node["$ref"]] if "$ref" in node else [])
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            yield from _references(child)


async def test_the_system_shows_each_part(redis_url: str) -> None:
    health = Health("archiver", checks=("kafka", "s3"))
    health.set("kafka", True)
    health.set("s3", False, f"could not connect to {AWAY}")
    health.report("lag", 12)
    health.report("events_per_second", 3)
    impostor = Health("somebody else")
    servers = [TelemetryServer("127.0.0.1", 0, health), TelemetryServer("127.0.0.1", 0, impostor)]
    for server in servers:
        server.start()
    urls = [f"http://127.0.0.1:{server.port}" for server in servers]
    given = {"archiver_telemetry": urls[0], "producer_telemetry": urls[1], "probe_seconds": 0.05}
    async with client_of(settings_of(redis_url=redis_url, **given)) as gateway:
        system = await asked(gateway)
    for server in servers:
        server.close()
    parts = {part.name: part for part in system.parts}
    assert list(parts) == [
        *("gateway", "producer", "archiver", "aggregator", "recommender", "kafka", "redis", "s3"),
    ]
    archiver = parts["archiver"]
    assert (archiver.status, archiver.detail, archiver.lag, archiver.rate) == ("not_ready", "waits for s3", 12, 3)
    assert "not the producer" in parts["producer"].detail
    assert (parts["redis"].status, parts["gateway"].status) == ("ok", "ok")
    assert {parts[name].status for name in ("aggregator", "recommender", "kafka")} == {"unreachable"}
    assert {parts[name].detail for name in ("aggregator", "recommender", "s3")} == {"unreachable"}
    assert system.healthy is False
    assert AWAY.partition(":")[0] not in system.model_dump_json()


async def test_without_engines_neither_answer_tells_an_address_but_the_log_does(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with client_of(settings_of(probe_seconds=0.05)) as gateway:
        answers = [
            (await asked(gateway)).model_dump_json(),
            (await gateway.get("/readyz")).text,
            (await gateway.get("/v1/models")).text,
        ]
    for answer in answers:
        assert AWAY.partition(":")[0] not in answer
        assert "unreachable" in answer
    for part in ("redis", "s3", "aggregator"):
        (line,) = {record.getMessage() for record in caplog.records if f"{part} does not answer" in record.getMessage()}
        assert line


FIRING = {
    "labels": {"alertname": "BooksDiffer", "severity": "page"},
    "annotations": {"summary": "The books differ.", "runbook": "docs/runbooks/alerts.md#booksdiffer"},
    "state": "firing",
    "activeAt": "2026-11-29T18:30:00Z",
}
WATCHDOG = {**FIRING, "labels": {"alertname": "Watchdog", "severity": "none"}}


@pytest.mark.parametrize(
    ("body", "status", "summaries"),
    [
        (json.dumps({"data": {"alerts": [WATCHDOG, FIRING]}}).encode(), "ok", ["The books differ."]),
        (b'{"data": {"alerts": []}}', "not_evaluated", []),
        (b" " * (1024 * 1024 + 1), "unreachable", []),
    ],
    ids=["firing", "without rules", "too large"],
)
async def test_alerts_are_those_of_prometheus(body: bytes, status: str, summaries: list[str]) -> None:
    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        with suppress(ConnectionError):
            await writer.drain()
        writer.close()

    async with prometheus_like(answer) as url, client_of(settings_of(prometheus_url=url)) as gateway:
        alerts = await alerts_asked(gateway)
        assert (alerts.status, [each.summary for each in alerts.firing]) == (status, summaries)


async def test_a_prometheus_that_hangs_keeps_nobody_waiting() -> None:
    asked_for = asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        asked_for.set()
        await reader.read()  # until the gateway gives up
        writer.close()

    given = {"prometheus_link": "http://localhost:9090", "probe_seconds": 60}
    async with prometheus_like(hang) as url, client_of(settings_of(prometheus_url=url, **given)) as gateway:
        await asked_for.wait()
        alerts = (await gateway.get("/v1/system")).json()["alerts"]
        assert (alerts["status"], alerts["prometheus"]) == ("unknown", "http://localhost:9090")
        assert (await alerts_asked(gateway)).status == "unreachable"


@asynccontextmanager
async def prometheus_like(
    answer: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[str]:
    """The address of a server that answers every connection so."""
    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def alerts_asked(gateway: httpx.AsyncClient) -> AlertsResponse:
    """The alerts once Prometheus was asked."""
    while True:
        alerts = SystemResponse.model_validate((await gateway.get("/v1/system")).json()).alerts
        if alerts.as_of is not None:
            return alerts
        await asyncio.sleep(0.02)


async def test_without_a_prometheus_the_system_says_so_and_the_runbook_is_there() -> None:
    async with client_of(settings_of()) as gateway:
        alerts = (await gateway.get("/v1/system")).json()["alerts"]
        assert (alerts["status"], alerts["firing"], alerts["prometheus"]) == ("off", [], None)
        section = await gateway.get("/v1/system/runbook/booksdiffer")
        assert section.headers["content-type"] == "text/plain; charset=utf-8"
        assert section.text.startswith("## BooksDiffer\n")
        assert (await gateway.get("/v1/system/runbook/nothing")).status_code == 404


async def asked(gateway: httpx.AsyncClient) -> SystemResponse:
    """The system's state after the first round of questions."""
    for _attempt in range(1_200):
        answer = SystemResponse.model_validate((await gateway.get("/v1/system")).json())
        if answer.as_of is not None and all(part.status != "unknown" for part in answer.parts):
            return answer
        await asyncio.sleep(0.05)
    raise AssertionError("no round of questions ended")
