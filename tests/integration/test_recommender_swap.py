"""Models change under load on a real server and a real S3: no failed, no mixed answer."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from grpc import aio

from proto.tillstream.recommender.v1 import recommender_pb2 as pb
from proto.tillstream.recommender.v1 import recommender_pb2_grpc
from services.common.object_store import ObjectStore
from services.common.settings import S3Settings
from services.recommender.model_loader import ModelLoader
from services.recommender.server import RecommenderServer
from services.recommender.serving import Serving
from tests.support.models import (
    MODELS,
    ModelSpec,
    checkerboard,
    model_files,
    point_at,
    publish,
    without_stream,
    write_model,
)

VERSIONS = [f"20200501T00000{number}Z-00000{number}" for number in range(6)]
USERS = [f"u{number:02d}" for number in range(8)]


def branded(version: str) -> ModelSpec:
    """A model whose every product carries the model's version as its name."""
    spec = checkerboard(version)
    return replace(spec, catalogue={id_: replace(item, name=version) for id_, item in spec.catalogue.items()})


@pytest.fixture
def store(s3: S3Settings) -> Iterator[ObjectStore]:
    store = ObjectStore(s3)
    yield store
    store.close()


@asynccontextmanager
async def recommender(store: ObjectStore) -> AsyncIterator[tuple[str, ModelLoader]]:
    """Server and loader as the service wires them, on a free port."""

    def show(_serving: Serving) -> None:
        asyncio.run_coroutine_threadsafe(server.show_health(), loop)

    loop = asyncio.get_running_loop()
    loader = ModelLoader(store, poll_s=0.05, on_change=show, attach_state=without_stream)
    server = RecommenderServer(lambda: loader.serving)
    port = await server.start("127.0.0.1", 0)
    loader.start()
    try:
        yield f"127.0.0.1:{port}", loader
    finally:
        loader.close()
        await server.close(1)


async def until_serving(loader: ModelLoader, version: str) -> None:
    async with asyncio.timeout(120):
        while not loader.serving.main or loader.serving.main.model.version != version:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def versions_in(answer: pb.RecommendResponse) -> set[str]:
    """Every version that took part in an answer."""
    return {answer.model_version, *(item.product_name for item in answer.items)}


async def ask_until(address: str, stop: asyncio.Event, seen: list[set[str]], took: list[float]) -> None:
    """Single requests and batches in turn; any error ends the test."""
    async with aio.insecure_channel(address) as channel:
        stub = recommender_pb2_grpc.RecommenderStub(channel)
        while not stop.is_set():
            for user in USERS:
                started = time.perf_counter()
                single = await stub.Recommend(pb.RecommendRequest(user_id=user), timeout=60)
                took.append(time.perf_counter() - started)
                assert len(single.items) == 3
                seen.append(versions_in(single))
            batch = await stub.RecommendBatch(pb.RecommendBatchRequest(user_ids=USERS * 10), timeout=60)
            seen.append({batch.model_version}.union(*(versions_in(result) for result in batch.results)))


async def test_swaps_under_load_fail_and_mix_no_answer(store: ObjectStore) -> None:
    seen: list[set[str]] = []
    took: list[float] = []
    stop = asyncio.Event()
    publish(store, branded(VERSIONS[0]))
    async with recommender(store) as (address, loader), asyncio.TaskGroup() as clients:
        await until_serving(loader, VERSIONS[0])
        for _ in range(8):
            clients.create_task(ask_until(address, stop, seen, took))
        for version in VERSIONS[1:]:
            await asyncio.to_thread(publish, store, branded(version))
            await until_serving(loader, version)
            await asyncio.sleep(0.2)
        stop.set()
    assert {len(versions) for versions in seen} == {1}, "an answer mixed two models"
    assert set().union(*seen) == set(VERSIONS), "not every model answered"
    took.sort()
    print(f"{len(took)} requests, p50 {took[len(took) // 2] * 1e3:.1f} ms, max {took[-1] * 1e3:.1f} ms")


async def test_a_broken_model_leaves_the_old_one_answering_and_a_good_one_heals(store: ObjectStore) -> None:
    good, broken, better = VERSIONS[:3]
    publish(store, branded(good))
    async with recommender(store) as (address, loader), aio.insecure_channel(address) as channel:
        stub = recommender_pb2_grpc.RecommenderStub(channel)
        await until_serving(loader, good)
        write_model(store, branded(broken))
        damaged = next(path for path in model_files(branded(broken)) if path.startswith("item_factors/"))
        store.put(f"{MODELS}/{broken}/{damaged}", b"")
        point_at(store, broken)
        async with asyncio.timeout(120):
            while not (model := await stub.GetModel(pb.GetModelRequest())).refused_version:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert (model.model_version, model.refused_version) == (good, broken)
        assert f"{damaged} has 0 bytes" in model.refused_reason
        assert (await stub.Recommend(pb.RecommendRequest(user_id="u00"))).model_version == good
        publish(store, branded(better))
        await until_serving(loader, better)
        assert (await stub.GetModel(pb.GetModelRequest())).refused_version == ""


async def test_without_a_bucket_the_loader_goes_on_trying(s3: S3Settings) -> None:
    store = ObjectStore(s3.model_copy(update={"s3_bucket": f"{s3.s3_bucket}-later"}))
    async with recommender(store) as (_, loader):
        await asyncio.sleep(0.2)
        assert loader.serving == Serving()
        await asyncio.to_thread(store.create_bucket)
        await asyncio.to_thread(publish, store, branded(VERSIONS[0]))
        await until_serving(loader, VERSIONS[0])
    store.close()
