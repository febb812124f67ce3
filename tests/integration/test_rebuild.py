"""Live tables that are filled again from the archive and Kafka, on the real engines."""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from local.ports import free_port
from services.common.settings import S3Settings
from tests.conftest import TopicFactory, TopicNames
from tests.feeding import archived_lines, running
from tests.integration.test_aggregator_process import PARTITIONS, Aggregator, Feed, assert_exact, until
from tests.live_tables import totals


@dataclass
class Shop:
    """Engines and topics of one test. `variables` is what every service is told."""

    kafka: str
    names: TopicNames
    s3: S3Settings
    feed: Feed
    variables: dict[str, str]
    folder: Path

    @property
    def settled(self) -> bool:
        """Whether all that was sent is archived."""
        return len(archived_lines(self.s3)) == len(self.feed.lines) + self.feed.refused

    async def until_archived(self) -> None:
        async def archived() -> bool:
            return await asyncio.to_thread(lambda: self.settled)

        await until(archived)

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
    assert s3.s3_endpoint
    assert s3.s3_access_key
    assert s3.s3_secret_key
    names = topics(partitions=PARTITIONS)
    settings = {
        "kafka_bootstrap": kafka,
        "redis_url": redis_url,
        "purchases_topic": names.purchases,
        "dead_letters_topic": names.dead_letters,
        "aggregator_group": names.purchases,
        "aggregator_chunk": "100",
        "aggregator_scratch": str(tmp_path / "scratch"),
        "archive_group": f"{names.purchases}-archive",
        "archive_object_bytes": "8000",
        "archive_object_age_s": "1",
        "metrics_port": str(free_port()),
        "s3_endpoint": s3.s3_endpoint,
        "s3_bucket": s3.s3_bucket,
        "s3_access_key": s3.s3_access_key,
        "s3_secret_key": s3.s3_secret_key.get_secret_value(),
    }
    variables = {f"TILLSTREAM_{name.upper()}": value for name, value in settings.items()}
    return Shop(kafka, names, s3, Feed(kafka, names), variables, tmp_path)


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def aggregator(shop: Shop) -> Iterator[Aggregator]:
    started = Aggregator(shop.variables, shop.folder / "aggregator.log")
    started.start()
    yield started
    started.stop()


@pytest.fixture
def _archiver(shop: Shop) -> Iterator[None]:
    with running("services.archiver", [], shop.variables, shop.folder / "archiver.log"):
        yield


@pytest.mark.usefixtures("_archiver")
async def test_an_emptied_redis_heals_by_itself_from_archive_and_kafka(
    shop: Shop, aggregator: Aggregator, client: redis.Redis
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

    await until(filling)
    aggregator.kill()
    await shop.feed.send(seed=2, count=300)
    aggregator.start()
    await assert_exact(client, shop.feed)
