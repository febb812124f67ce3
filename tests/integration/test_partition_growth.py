"""`purchases` grows from 4 to 8 partitions while everything runs: every reader notices, and no figure changes."""

import asyncio
import json
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, closing
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import redis

from local.ports import free_port
from services.common import live_snapshot
from services.common.object_store import ObjectStore
from services.common.settings import S3Settings
from services.common.tables import shard_keys
from tests.support.aggregator_process import PurchaseFeed, assert_exact
from tests.support.engines import TopicFactory, TopicNames
from tests.support.live_tables import expected, hash_of, held, totals
from tests.support.models import checkerboard, publish
from tests.support.polling import eventually
from tests.support.producer import Running, archived_lines, readiness, running
from tests.support.service_settings import service_variables

BEFORE, AFTER = 4, 8
DEAD_LETTERS = 4
NOTICED_WITHIN_S = 60.0


class Shop:
    """All services on topics, bucket and Redis of the test's own; two aggregators share the partitions."""

    def __init__(self, variables: dict[str, str], folder: Path, processes: ExitStack) -> None:
        self._variables = variables
        self._folder = folder
        self._processes = processes
        self.aggregators = [self._start("aggregator", "AGGREGATOR_METRICS_PORT", number) for number in (1, 2)]
        self.archiver = self._start("archiver", "METRICS_PORT")
        self.gateway = self._start("gateway", "GATEWAY_PORT")
        self.recommender = self._start("recommender", "METRICS_PORT", RECOMMENDER_PORT=free_port())

    def _start(self, service: str, port_setting: str, number: int = 1, **settings: object) -> int:
        port = free_port()
        own = {f"TILLSTREAM_{name}": str(value) for name, value in {port_setting: port, **settings}.items()}
        log = self._folder / f"{service}{number}.log"
        self._processes.enter_context(running(f"services.{service}", [], self._variables | own, log))
        return port

    def run(self, module: str, *arguments: str) -> Running:
        """Start a command that ends by itself."""
        log = self._folder / f"{module}.log"
        return self._processes.enter_context(running(module, arguments, self._variables, log))

    @property
    def ready(self) -> bool:
        ports = (*self.aggregators, self.archiver, self.gateway, self.recommender)
        return all(readiness(port).get("ready") for port in ports)

    def partitions(self) -> dict[str, int]:
        """How many partitions of purchases each reader reads now."""
        assigned = [readiness(port).get("figures", {}).get("partitions", 0) for port in self.aggregators]
        archived = readiness(self.archiver)["checks"]["kafka"]["detail"]
        seen = next(part for part in _get(self.gateway, "/v1/system")["parts"] if part["name"] == "kafka")["detail"]
        noticed = (self._folder / "recommender1.log").read_text().count("the topic has new partitions")
        return {
            "aggregators": sum(assigned) - DEAD_LETTERS,
            "archiver": int(archived.split()[0]),
            "gateway": int(seen.split()[0]),
            "recommender": AFTER if noticed else BEFORE,
        }

    def caught_up(self, events: int) -> bool:
        summary = _get(self.gateway, "/v1/stats/summary")
        lag = readiness(self.recommender)["figures"]["lag"]
        return (summary["events"], summary["lag"], lag) == (events, 0, 0)


def _get(port: int, path: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
        body: dict[str, Any] = json.load(answer)
    return body


@pytest.fixture
def names(topics: TopicFactory) -> TopicNames:
    return topics(partitions=BEFORE)


@pytest.fixture
def feed(kafka: str, names: TopicNames) -> PurchaseFeed:
    return PurchaseFeed(kafka, names)


@pytest.fixture
def shop(kafka: str, redis_url: str, names: TopicNames, s3: S3Settings, tmp_path: Path) -> Iterator[Shop]:
    with closing(ObjectStore(s3)) as store:
        publish(store, checkerboard())
    quick = {"kafka_metadata_seconds": 2, "aggregator_snapshot_seconds": 1, "aggregator_session_timeout_s": 6}
    variables = service_variables(kafka, redis_url, names, s3, recommendations_share=0, **quick)
    with ExitStack() as processes:
        yield Shop(variables, tmp_path, processes)


@asynccontextmanager
async def load(feed: PurchaseFeed) -> AsyncIterator[None]:
    """Purchases come in until the block is left; each round has a producer that knows the partitions of now."""
    stop = asyncio.Event()

    async def flow() -> None:
        for seed in count(1):
            await feed.send(seed, 100)
            if stop.is_set():
                return
            await asyncio.sleep(0.1)

    flowing = asyncio.create_task(flow())
    yield
    stop.set()
    await flowing


async def thread_says(condition: Callable[[], object], what: str, timeout_s: float = 120) -> None:
    async def asked() -> object:
        return await asyncio.to_thread(condition)

    await eventually(asked, what, timeout_s=timeout_s, pause_s=0.2)


async def test_growth_under_load_is_noticed_by_every_reader_and_changes_no_figure(
    shop: Shop, feed: PurchaseFeed, client: redis.Redis, s3: S3Settings
) -> None:
    await thread_says(lambda: shop.ready, "all services are ready")
    async with load(feed):
        await thread_says(lambda: totals(client, 1, "events") > 300, "some are applied")
        assert set(shop.partitions().values()) == {BEFORE}
        grown = shop.run("services.provision", "grow", "--partitions", str(AFTER))
        assert await asyncio.to_thread(grown.wait) == 0, grown.output
        begun = time.monotonic()
        await thread_says(
            lambda: set(shop.partitions().values()) == {AFTER}, "every reader reads all of them", NOTICED_WITHIN_S
        )
        print(f"noticed by all after {time.monotonic() - begun:.1f} s")
        applied = totals(client, 1, "events")
        await thread_says(lambda: totals(client, 1, "events") > applied + 500, "the new partitions are applied too")
    ends = await feed.ends()
    assert all(ends[f"{feed.topic}/{number}"] > 0 for number in range(AFTER)), "records came by every partition"

    await assert_exact(client, feed)
    await thread_says(lambda: shop.caught_up(len(feed.lines)), "gateway and recommender have caught up")
    everything = len(feed.lines) + feed.rejected
    await thread_says(lambda: len(archived_lines(s3)) == everything, "all is archived")
    places = [(line["partition"], line["offset"]) for line in map(json.loads, archived_lines(s3))]
    assert len(set(places)) == everything
    assert {partition for partition, _offset in places} == set(range(AFTER))
    await thread_says(lambda: newest_snapshot(s3).totals.events == len(feed.lines), "a snapshot holds everything")
    assert newest_snapshot(s3).marks == {number: ends[f"{feed.topic}/{number}"] for number in range(AFTER)}

    rebuilt = shop.run("services.aggregator.rebuild", "--grace", "0")
    assert await asyncio.to_thread(rebuilt.wait) == 0, rebuilt.output
    truth = expected(feed.lines)
    assert held(client, truth, 1, "2") == truth, "a rebuild reads all partitions"
    (keys,) = shard_keys(1, "2")
    assert {name for name in hash_of(client, keys("marks")) if name.startswith(f"{feed.topic}/")} == {
        f"{feed.topic}/{number}" for number in range(AFTER)
    }


def newest_snapshot(s3: S3Settings) -> live_snapshot.LiveSnapshot:
    with closing(ObjectStore(s3)) as store:
        *_, (key, _size) = store.list(live_snapshot.FOLDER)
        return live_snapshot.decode(store.get(key))
