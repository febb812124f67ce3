"""Models over REST: manifests in S3, and the pointer moved by a conditional write."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import httpx
import pytest

from services.common.object_store import ObjectStore
from services.common.settings import S3Settings
from services.gateway.api.problems import Problem
from services.gateway.api.schemas.models import ModelEntry, ModelList, Pointer
from services.gateway.app import create_app
from services.gateway.dependencies import Dependencies
from services.gateway.upstreams import model_registry
from services.gateway.upstreams.model_registry import ModelListings, Registry
from tests.support.gateway_app import FakeRecommender, client_of, serving, settings_of

TOKEN = "a-token"
ADMIN = {"Authorization": f"Bearer {TOKEN}"}
OLD, NEW = "20261101T000000Z-aaaaaa", "20261102T000000Z-bbbbbb"
POINTER = "models/als/current.json"


@pytest.fixture
def store(s3: S3Settings) -> Iterator[ObjectStore]:
    store = ObjectStore(s3)
    yield store
    store.close()


@pytest.fixture(autouse=True)
def read_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """A listing is kept for two seconds; here each request sees what is stored now."""
    monkeypatch.setattr(model_registry, "_LISTING_SECONDS", 0.0)


@pytest.fixture
async def gateway(redis_url: str, s3: S3Settings) -> AsyncIterator[httpx.AsyncClient]:
    given = {**s3.model_dump(), "redis_url": redis_url, "admin_token": TOKEN}
    async with client_of(settings_of(**given)) as client:
        yield client


def publish(store: ObjectStore, version: str, **manifest: Any) -> None:
    store.put(f"models/als/{version}/user_factors/part-0.parquet", b"factors")
    store.put(f"models/als/{version}/manifest.json", json.dumps({"version": version, **manifest}).encode())


def point_to(store: ObjectStore, version: str, note: str = "") -> None:
    pointer = {"version": version, "activated_at": "2026-11-01T00:00:00Z", "activated_by": "job", "note": note}
    store.put(POINTER, json.dumps(pointer).encode())


async def listed(gateway: httpx.AsyncClient) -> ModelList:
    answer = await gateway.get("/v1/models")
    assert answer.status_code == 200, answer.text
    return ModelList.model_validate(answer.json())


async def test_no_models_yet(gateway: httpx.AsyncClient) -> None:
    answer = await listed(gateway)
    assert (answer.current, answer.models, answer.serving) == (None, [], None)


async def test_models_newest_first_with_what_their_manifests_say(
    gateway: httpx.AsyncClient, store: ObjectStore
) -> None:
    publish(store, OLD, rank=64, users=10, items=20, metrics={"hr@3": 0.03}, training={"from": "a", "to": "b"})
    gate = {"version": NEW, "verdict": "published", "reason": "it is better", "recipes": []}
    composition = {"factors": 0.5, "trends": [{"half_life_h": 6.0, "weight": 1.0}]}
    publish(store, NEW, created_at="2026-11-02T00:00:00Z", format_version=2, gate=gate, composition=composition)
    store.put("models/als/20261103T000000Z-cccccc/user_factors/part-0.parquet", b"not published yet")
    point_to(store, OLD)
    answer = await listed(gateway)
    assert [(model.version, model.live) for model in answer.models] == [(NEW, False), (OLD, True)]
    assert answer.models[1].metrics == {"hr@3": 0.03}
    assert (answer.models[1].rank, answer.models[1].gate, answer.models[1].composition) == (64, None, None)
    newest = answer.models[0]
    assert (newest.format_version, newest.gate, newest.composition) == (2, gate, composition)
    assert answer.current is not None
    assert (answer.current.version, answer.current.activated_by) == (OLD, "job")


async def test_the_variants_of_the_pointer(gateway: httpx.AsyncClient, store: ObjectStore) -> None:
    trial = {"name": "trial", "version": NEW, "weight": 0.25}
    store.put(POINTER, json.dumps({"version": OLD, "variants": [trial]}).encode())
    current = (await listed(gateway)).current
    assert current is not None
    assert [variant.model_dump() for variant in current.variants] == [trial]


async def test_what_the_newest_run_decided_is_shown_also_where_it_published_nothing(
    gateway: httpx.AsyncClient, store: ObjectStore
) -> None:
    assert (await listed(gateway)).gate is None
    gate = {"version": NEW, "verdict": "refused", "reason": "it is worse than popularity"}
    store.put("reports/gate/latest.json", json.dumps(gate).encode())
    assert (await listed(gateway)).gate == gate
    store.put("reports/gate/latest.json", b"[")
    assert (await listed(gateway)).gate is None


async def test_a_version_that_the_gate_refused_needs_a_note(gateway: httpx.AsyncClient, store: ObjectStore) -> None:
    publish(store, OLD, gate={"verdict": "refused", "reason": "it is worse."})
    answer = await gateway.post(f"/v1/models/{OLD}/activate", headers=ADMIN)
    assert (answer.status_code, "it is worse." in answer.json()["detail"]) == (422, True)
    answer = await gateway.post(f"/v1/models/{OLD}/activate", headers=ADMIN, json={"note": "I know better"})
    assert answer.status_code == 200


async def test_how_the_served_model_puts_a_score_together(redis_url: str, s3: S3Settings) -> None:
    async with (
        serving(FakeRecommender()) as address,
        client_of(settings_of(**s3.model_dump(), redis_url=redis_url, recommender_address=address)) as gateway,
    ):
        async with asyncio.timeout(120):
            while (answer := await listed(gateway)).serving is None:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert (answer.composition, answer.state_age_ms) == ("factors 1", 12)


async def test_activate_moves_the_pointer(gateway: httpx.AsyncClient, store: ObjectStore) -> None:
    publish(store, OLD)
    publish(store, NEW)
    point_to(store, NEW)
    answer = await gateway.post(f"/v1/models/{OLD}/activate", headers=ADMIN, json={"note": "cables everywhere"})
    assert answer.status_code == 200, answer.text
    pointer = Pointer.model_validate(answer.json())
    assert json.loads(store.get(POINTER)) == pointer.model_dump()
    assert (pointer.version, pointer.activated_by, pointer.note) == (OLD, "admin", "cables everywhere")
    assert pointer.previous == NEW, "what to roll back to"
    assert [model.live for model in (await listed(gateway)).models] == [False, True]


async def test_the_first_activation_creates_the_pointer(gateway: httpx.AsyncClient, store: ObjectStore) -> None:
    publish(store, OLD)
    assert (await gateway.post(f"/v1/models/{OLD}/activate", headers=ADMIN)).status_code == 200
    assert json.loads(store.get(POINTER))["version"] == OLD


async def test_activating_the_live_one_changes_nothing(gateway: httpx.AsyncClient, store: ObjectStore) -> None:
    publish(store, OLD)
    point_to(store, OLD)
    before = store.get(POINTER)
    assert (await gateway.post(f"/v1/models/{OLD}/activate", headers=ADMIN)).json()["activated_by"] == "job"
    assert store.get(POINTER) == before


@pytest.mark.parametrize(
    ("version", "status"), [("20200101T000000Z-ffffff", 404), ("..", 404), ("a%2Fb", 422), ("a b", 422)]
)
async def test_versions_that_are_not_there(gateway: httpx.AsyncClient, version: str, status: int) -> None:
    answer = await gateway.post(f"/v1/models/{version}/activate", headers=ADMIN)
    assert answer.status_code == status


async def test_two_activations_at_once_one_learns_of_the_other(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version in (OLD, NEW):
        publish(store, version)
    registry, get, notes = Registry(store), store.get_with_etag, count()

    def overtaken(key: str) -> tuple[bytes, str]:
        found = get(key)
        point_to(store, NEW, f"overtaken {next(notes)} times")
        return found

    point_to(store, "something-else")
    monkeypatch.setattr(store, "get_with_etag", overtaken)
    with pytest.raises(Problem) as lost:
        registry.activate(OLD, "")
    assert lost.value.status_code == 409
    assert json.loads(store.get(POINTER))["version"] == NEW


@pytest.mark.parametrize("authorization", [None, "Bearer", "Bearer wrong", f"Basic {TOKEN}", "Bearer ä", TOKEN])
async def test_only_the_bearer_of_the_token(gateway: httpx.AsyncClient, authorization: str | None) -> None:
    headers = {} if authorization is None else {b"Authorization": authorization.encode()}
    answer = await gateway.post(f"/v1/models/{OLD}/activate", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_without_a_token_in_the_settings_admin_routes_are_off(redis_url: str) -> None:
    async with client_of(settings_of(redis_url=redis_url)) as gateway:
        answer = await gateway.post(f"/v1/models/{OLD}/activate", headers=ADMIN)
        assert answer.status_code == 403
        assert "TILLSTREAM_ADMIN_TOKEN" in answer.json()["detail"]


async def test_a_manifest_that_cannot_be_read_hides_no_other(gateway: httpx.AsyncClient, store: ObjectStore) -> None:
    publish(store, NEW, rank=32)
    store.put(f"models/als/{OLD}/manifest.json", b"{")
    assert [(model.version, model.rank) for model in (await listed(gateway)).models] == [(NEW, 32), (OLD, None)]


async def test_a_pointer_that_cannot_be_read_can_be_replaced(gateway: httpx.AsyncClient, store: ObjectStore) -> None:
    publish(store, OLD)
    store.put(POINTER, b"nonsense")
    assert (await listed(gateway)).current is None
    assert (await gateway.post(f"/v1/models/{OLD}/activate", headers=ADMIN)).status_code == 200


async def test_s3_away(redis_url: str) -> None:
    async with client_of(settings_of(redis_url=redis_url)) as gateway:
        answer = await gateway.get("/v1/models")
        assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")


async def test_a_listing_is_read_once_for_all_and_again_after_a_change(store: ObjectStore) -> None:
    publish(store, OLD)
    calls = 0

    class Counted(Registry):
        def models(self) -> list[ModelEntry]:
            nonlocal calls
            calls += 1
            return super().models()

    with ThreadPoolExecutor(1) as threads:
        listings = ModelListings(Counted(store), threads)
        found = await asyncio.gather(*(listings.read() for _reader in range(20)))
        assert {entry.version for listing in found for entry in listing.models} == {OLD}
        assert calls == 1
        publish(store, NEW)
        listings.forget()
        assert [entry.version for entry in (await listings.read()).models] == [NEW, OLD]


async def test_a_rollback_does_not_wait_for_readers_of_a_store_that_hangs(
    redis_url: str, s3: S3Settings, store: ObjectStore
) -> None:
    publish(store, OLD)
    settings = settings_of(**{**s3.model_dump(), "redis_url": redis_url, "admin_token": TOKEN})
    app, store_answers = create_app(settings), threading.Event()
    async with app.router.lifespan_context(app):
        dependencies: Dependencies = app.state.dependencies
        for _thread in range(20):  # more than there are
            dependencies.model_listings.threads.submit(store_answers.wait, 60)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as gateway:
            answer = await gateway.post(f"/v1/models/{OLD}/activate", headers=ADMIN)
        store_answers.set()
    assert answer.status_code == 200, answer.text
    assert answer.json()["version"] == OLD
