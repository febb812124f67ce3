"""Live tables that are filled again from the archive and Kafka, on the real engines."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from local.ports import free_port
from services.common.generations import FIRST_GENERATION, LIVE_KEY
from services.common.settings import S3Settings
from services.common.tables import shard_keys
from tests.support.aggregator_process import PARTITIONS, AggregatorProcess, PurchaseFeed, assert_exact
from tests.support.engines import TopicFactory, TopicNames
from tests.support.http import NO_TLS
from tests.support.live_tables import expected, hash_of, held, totals
from tests.support.polling import eventually
from tests.support.producer import Running, archived_lines, read_topic, running
from tests.support.service_settings import service_variables


@dataclass
class Shop:
    """Engines and topics of one test. `variables` is the environment of every service."""

    kafka: str
    names: TopicNames
    s3: S3Settings
    feed: PurchaseFeed
    variables: dict[str, str]
    folder: Path

    @property
    def settled(self) -> bool:
        """Whether all that was sent is archived."""
        return len(archived_lines(self.s3)) == len(self.feed.lines) + self.feed.rejected

    async def until_archived(self) -> None:
        async def archived() -> bool:
            return await asyncio.to_thread(lambda: self.settled)

        await eventually(archived, "all is archived")

    async def forget(self, topic: str, before: Mapping[int, int]) -> None:
        """Have Kafka drop the records of each partition before an offset, as its retention does."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.kafka)
        await admin.start()
        try:
            wanted = {TopicPartition(topic, number): RecordsToDelete(offset) for number, offset in before.items()}
            await admin.delete_records(wanted)
        finally:
            await admin.close()


@pytest.fixture
def shop(kafka: str, redis_url: str, topics: TopicFactory, s3: S3Settings, tmp_path: Path) -> Shop:
    names = topics(partitions=PARTITIONS)
    small = {"aggregator_chunk": 100, "archive_object_bytes": 8000}
    variables = service_variables(kafka, redis_url, names, s3, metrics_port=free_port(), **small)
    return Shop(kafka, names, s3, PurchaseFeed(kafka, names), variables, tmp_path)


@pytest.fixture
def aggregator(shop: Shop) -> Iterator[AggregatorProcess]:
    started = AggregatorProcess(shop.variables, shop.folder / "aggregator.log")
    started.start()
    yield started
    started.stop()


@pytest.fixture
def _archiver(shop: Shop) -> Iterator[None]:
    with running("services.archiver", [], shop.variables, shop.folder / "archiver.log"):
        yield


@pytest.mark.usefixtures("_archiver")
async def test_an_emptied_redis_heals_by_itself_from_archive_and_kafka(
    shop: Shop, aggregator: AggregatorProcess, client: redis.Redis
) -> None:
    """Of one partition Kafka has lost the older half, of the other all. Nothing is restarted, then killed."""
    await shop.feed.send(seed=1, count=2000)
    await assert_exact(client, shop.feed)
    await shop.until_archived()
    ends = await shop.feed.ends()
    purchases = shop.names.purchases
    await shop.forget(purchases, {0: ends[f"{purchases}/0"] // 2, 1: ends[f"{purchases}/1"]})
    client.flushall()

    async def filling() -> bool:
        return 0 < totals(client, 1, "events") < len(shop.feed.lines)

    await eventually(filling, "the new tables fill")
    aggregator.kill()
    await shop.feed.send(seed=2, count=300)
    aggregator.start()
    await assert_exact(client, shop.feed)


@dataclass
class Page:
    """What a page sees: the summary, asked again and again."""

    port: int
    seen: list[dict[str, Any]] = field(default_factory=list)

    async def watch(self) -> None:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}", timeout=60) as http:
            while True:
                answer = await http.get("/v1/stats/summary")
                if answer.status_code == 200:
                    self.seen.append(answer.json())
                await asyncio.sleep(0.02)

    def assert_never_back(self) -> None:
        for figure in ("events", "orders", "buyers", "dead_letters"):
            values = [answer[figure] for answer in self.seen]
            assert values == sorted(values), f"{figure} went back"


@pytest.fixture
async def page(shop: Shop) -> AsyncIterator[Page]:
    """A gateway that is watched while the test runs."""
    page = Page(free_port())
    variables = {**shop.variables, "TILLSTREAM_GATEWAY_PORT": str(page.port), "TILLSTREAM_REFRESH_SECONDS": "0.1"}
    with running("services.gateway", [], variables, shop.folder / "gateway.log"):
        await eventually(lambda: answers(page.port), "the page answers")
        watching = asyncio.create_task(page.watch())
        yield page
        watching.cancel()


async def answers(port: int) -> bool:
    try:
        async with httpx.AsyncClient(verify=NO_TLS, timeout=60) as http:
            return (await http.get(f"http://127.0.0.1:{port}/healthz")).status_code == 200
    except httpx.HTTPError:
        return False


def live(client: redis.Redis) -> str:
    name = client.get(LIVE_KEY)
    return name.decode() if isinstance(name, bytes) else FIRST_GENERATION


async def assert_equal(client: redis.Redis, feed: PurchaseFeed, shards: int) -> None:
    """Wait until the live generation holds everything, then compare with the truth."""

    async def applied() -> bool:
        ends = await feed.ends()
        marks = [hash_of(client, keys("marks")) for keys in shard_keys(shards, live(client))]
        reached = {name: max(int(shard.get(name, 0)) for shard in marks) for name in ends}
        lines = totals(client, shards, "events", generation=live(client))
        return reached == ends and lines >= len(feed.lines)

    await eventually(applied, "all is applied")
    truth = expected(feed.lines)
    assert held(client, truth, shards, live(client)) == truth
    assert totals(client, shards, "revenue", generation=live(client)) == sum(line.revenue for line in feed.lines)
    assert totals(client, shards, "events", generation=live(client)) == len(feed.lines)
    assert dead_letters(client, shards) == feed.rejected


def dead_letters(client: redis.Redis, shards: int) -> int:
    counts = [hash_of(client, keys("dead_letters")) for keys in shard_keys(shards, live(client))]
    return sum(int(count) for shard in counts for count in shard.values())


def generations(client: redis.Redis) -> set[str]:
    """The names of all generations that have tables."""
    return {key.decode().split(":")[1] for key in client.scan_iter(match="tillstream:*:{*") if isinstance(key, bytes)}


def rebuild(shop: Shop, **settings: str) -> AbstractContextManager[Running]:
    variables = shop.variables | {f"TILLSTREAM_{name.upper()}": value for name, value in settings.items()}
    return running("services.aggregator.rebuild", ["--grace", "3"], variables, shop.folder / "rebuild.log")


@pytest.mark.usefixtures("_archiver", "aggregator")
async def test_a_rebuild_changes_no_figure_while_purchases_flow(shop: Shop, client: redis.Redis, page: Page) -> None:
    """The first one is killed half-way; the second one makes two shards of one. The page never goes back."""
    await shop.feed.send(seed=1, count=3000)
    await assert_equal(client, shop.feed, shards=1)
    await shop.until_archived()
    ends = await shop.feed.ends()
    purchases, dead = shop.names.purchases, shop.names.dead_letters
    await shop.forget(purchases, {0: ends[f"{purchases}/0"] // 2, 1: ends[f"{purchases}/1"]})
    await shop.forget(dead, {0: ends.get(f"{dead}/0", 0), 1: ends.get(f"{dead}/1", 0)})
    with rebuild(shop) as killed:

        async def half_way() -> bool:
            return 0 < totals(client, 1, "events", generation="2") < len(shop.feed.lines)

        await eventually(half_way, "half of it is read")
        killed.kill()
    assert live(client) == "1"
    with rebuild(shop, shards="2") as second:
        for seed in range(2, 12):
            await shop.feed.send(seed=seed, count=40)
            await asyncio.sleep(0.3)
        assert await asyncio.to_thread(second.wait) == 0, second.output
    assert live(client) == "2"
    await shop.feed.send(seed=12, count=100)
    await assert_equal(client, shop.feed, shards=2)
    assert generations(client) == {"2"}
    page.assert_never_back()
    await eventually(lambda: shows(page, len(shop.feed.lines)), "the page shows every line")


async def shows(page: Page, events: int) -> bool:
    return bool(page.seen) and page.seen[-1]["events"] == events


async def test_a_rebuild_without_an_aggregator_sends_the_dead_letters_that_were_not_sent_yet(
    shop: Shop, client: redis.Redis
) -> None:
    await shop.feed.send(seed=1, count=500)
    with rebuild(shop) as first:
        assert await asyncio.to_thread(first.wait) == 0, first.output
    await shop.feed.send(seed=2, count=500)
    with rebuild(shop) as second:
        assert await asyncio.to_thread(second.wait) == 0, second.output
    assert generations(client) == {"3"}
    sent = await asyncio.to_thread(read_topic, shop.kafka, shop.names.dead_letters)
    assert len(sent) == shop.feed.rejected
    with rebuild(shop) as third:
        assert await asyncio.to_thread(third.wait) == 0, third.output
    await assert_equal(client, shop.feed, shards=1)
    sent = await asyncio.to_thread(read_topic, shop.kafka, shop.names.dead_letters)
    assert len(sent) == shop.feed.rejected
