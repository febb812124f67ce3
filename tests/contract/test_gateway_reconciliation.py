"""The reconciliation as each client sees it: read from what the batch job wrote to S3."""

import asyncio
import math
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime

import httpx
import msgspec
import pytest

from services.common.object_store import ObjectStore
from services.common.reconciliation import LATEST, Drift, FigureDifference, Reconciliation
from services.common.settings import S3Settings
from services.gateway.api.schemas.reconciliation import ReconciliationResponse
from tests.support.gateway_app import client_of, settings_of
from tests.support.polling import eventually

AGREED = Reconciliation(
    version="20261122T143500Z-0a1b2c",
    status="agree",
    basis="offsets",
    as_of="2026-11-22T14:32:10Z",
    checked_at="2026-11-22T14:35:00Z",
    snapshot="reports/live/1795357930000.json.gz",
    compared=120,
    differing=0,
    drift=Drift("0.00", 0, 0, 0, 0),
)
DIFFERED = msgspec.structs.replace(
    AGREED,
    status="differ",
    differing=2,
    drift=Drift("-12.50", -1, -1, 0, 0),
    differences=(
        FigureDifference("partition", "revenue", "100.00", "112.50", partition="purchases/2"),
        FigureDifference("hour", "revenue", "10.00", "22.50", bucket="2026-11-22T13:00:00Z"),
    ),
)


@pytest.fixture
def store(s3: S3Settings) -> Iterator[ObjectStore]:
    store = ObjectStore(s3)
    yield store
    store.close()


@pytest.fixture
async def gateway(s3: S3Settings) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(settings_of(**s3.model_dump(), reconciliation_seconds=0.05)) as client:
        yield client


async def answered(gateway: httpx.AsyncClient, **expected: object) -> ReconciliationResponse:
    """The answer, once it has these values."""
    answers: list[ReconciliationResponse] = []

    async def has_them() -> bool:
        response = await gateway.get("/v1/stats/reconciliation")
        assert response.status_code == 200, response.text
        answers.append(ReconciliationResponse.model_validate(response.json()))
        return all(getattr(answers[-1], name) == value for name, value in expected.items())

    await eventually(has_them, f"the answer has {expected}", pause_s=0.05)
    return answers[-1]


async def metrics(gateway: httpx.AsyncClient) -> dict[str, float]:
    lines = (await gateway.get("/metrics")).text.splitlines()
    named = (line.rpartition(" ") for line in lines if line.startswith("tillstream_reconciliation_"))
    return {name.removeprefix("tillstream_reconciliation_"): float(value) for name, _space, value in named}


async def test_before_the_first_comparison(gateway: httpx.AsyncClient) -> None:
    answer = await answered(gateway, message="the batch job has not compared the books yet")
    assert (answer.status, answer.drift, answer.as_of) == ("none", None, None)
    assert all(math.isnan(value) for value in (await metrics(gateway)).values())


async def test_books_that_agree(gateway: httpx.AsyncClient, store: ObjectStore) -> None:
    store.put(LATEST, msgspec.json.encode(AGREED))
    answer = await answered(gateway, status="agree")
    assert answer.message == "the books agree to the cent up to 2026-11-22T14:32:10Z"
    assert (answer.as_of, answer.version, answer.compared) == (AGREED.as_of, AGREED.version, 120)
    told = await metrics(gateway)
    age = datetime.now(UTC) - datetime(2026, 11, 22, 14, 35, tzinfo=UTC)
    assert told.pop("age_seconds") == pytest.approx(age.total_seconds(), abs=5)
    assert told == {"drift_cents": 0, "drift_events": 0, "differences": 0}


async def test_books_that_differ_name_bucket_and_partition(gateway: httpx.AsyncClient, store: ObjectStore) -> None:
    store.put(LATEST, msgspec.json.encode(DIFFERED))
    answer = await answered(gateway, status="differ")
    assert answer.message == "the books do not agree: 2 figures differ, -12.50 in revenue, as of 2026-11-22T14:32:10Z"
    assert [(entry.partition, entry.bucket, entry.live, entry.batch) for entry in answer.differences] == [
        ("purchases/2", None, "100.00", "112.50"),
        (None, "2026-11-22T13:00:00Z", "10.00", "22.50"),
    ]
    told = await metrics(gateway)
    assert (told["drift_cents"], told["drift_events"], told["differences"]) == (-1250, -1, 2)


async def test_figures_that_cannot_be_compared_are_unknown(gateway: httpx.AsyncClient, store: ObjectStore) -> None:
    by_hours = msgspec.structs.replace(AGREED, basis="hours", drift=Drift("0.00", 0, None, None, None))
    store.put(LATEST, msgspec.json.encode(by_hours))
    answer = await answered(gateway, basis="hours")
    assert answer.drift is not None
    assert (answer.drift.events, answer.drift.orders) == (None, None)
    assert math.isnan((await metrics(gateway))["drift_events"])


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b'{"status": "agree"}',
        msgspec.json.encode(msgspec.structs.replace(AGREED, checked_at="soon")),
        msgspec.json.encode(msgspec.structs.replace(AGREED, drift=Drift("NaN", 0, 0, 0, 0))),
    ],
)
async def test_damage_is_told_and_keeps_what_was_known(
    body: bytes, gateway: httpx.AsyncClient, store: ObjectStore
) -> None:
    store.put(LATEST, body)
    await answered(
        gateway, status="none", message="the comparison is damaged; the next run of the batch job replaces it"
    )
    store.put(LATEST, msgspec.json.encode(AGREED))
    await answered(gateway, status="agree")
    store.put(LATEST, body)
    await asyncio.sleep(0.3)
    await answered(gateway, status="agree")


async def test_a_store_that_is_away_is_no_error() -> None:
    async with client_of(settings_of()) as gateway:
        response = await gateway.get("/v1/stats/reconciliation")
    assert (response.status_code, response.json()["status"]) == (200, "none")
