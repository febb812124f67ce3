"""A transactional sender aborts, then sends again: only what it committed counts, everywhere, and nobody is behind."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from local.lag import Lag, lag_probe
from local.ports import free_port
from local.settings import StackSettings
from services.common.generations import FIRST_GENERATION, LIVE_KEY
from services.common.kafka import make_consumer
from services.common.settings import KafkaSettings, S3Settings
from services.common.tables import shard_keys
from services.gateway.queries.figures import applied_offsets
from services.gateway.queries.figures import lag as gateway_lag
from services.gateway.upstreams.offsets import OffsetPoller
from services.recommender.partition_position import StreamStart
from services.recommender.stream_follower import PurchaseConsumer
from tests.support.aggregator_process import PARTITIONS, AggregatorProcess, until_assigned
from tests.support.engines import TopicFactory, TopicNames
from tests.support.live_tables import hash_of, totals
from tests.support.polling import eventually
from tests.support.producer import archived_lines, readiness, running
from tests.support.reference_features import Model
from tests.support.service_settings import service_variables

FROM_THE_BEGINNING = StreamStart(dict.fromkeys(range(PARTITIONS), 0), 0)


def line(order: int, partition: int) -> bytes:
    return b'{"event_time":"2020-04-24T11:50:39Z","order_id":"%d-%d","product_id":"p","user_id":"u","price":"1.00"}' % (
        order,
        partition,
    )


@dataclass
class Till:
    """A sender of another shop's system, which sends its orders in transactions."""

    kafka: str
    topic: str
    sent: int = 0

    async def orders(self, count: int, *, commit: bool) -> None:
        """One transaction with so many lines in each partition."""
        async with AIOKafkaProducer(
            bootstrap_servers=self.kafka, transactional_id=f"till-{uuid.uuid4().hex}"
        ) as producer:
            await producer.begin_transaction()
            for order in range(count):
                for partition in range(PARTITIONS):
                    await producer.send(self.topic, line(order, partition), partition=partition)
            await (producer.commit_transaction() if commit else producer.abort_transaction())
        self.sent += count * PARTITIONS * commit


@dataclass
class Shop:
    kafka: str
    names: TopicNames
    s3: S3Settings
    variables: dict[str, str]
    folder: Path

    @property
    def settings(self) -> StackSettings:
        return StackSettings(
            kafka_bootstrap=self.kafka,
            redis_url=self.variables["TILLSTREAM_REDIS_URL"],
            purchases_topic=self.names.purchases,
            dead_letters_topic=self.names.dead_letters,
            archive_group=self.variables["TILLSTREAM_ARCHIVE_GROUP"],
        )

    async def ends(self) -> dict[str, int]:
        """The last stable offset of each partition."""
        topic = self.names.purchases
        async with make_consumer(self.settings, group_id=None) as consumer:
            ends = await consumer.end_offsets([TopicPartition(topic, number) for number in range(PARTITIONS)])
        return {f"{partition.topic}/{partition.partition}": end for partition, end in ends.items()}

    async def lag(self) -> Lag:
        async with lag_probe(self.settings) as probe:
            return await probe.ask()

    async def is_settled(self) -> bool:
        """Whether everything that is committed is applied and archived; fails where a moment of rest is never seen."""
        return (await self.lag()).settled


@pytest.fixture
def shop(kafka: str, redis_url: str, topics: TopicFactory, s3: S3Settings, tmp_path: Path) -> Shop:
    names = topics(partitions=PARTITIONS)
    variables = service_variables(kafka, redis_url, names, s3, metrics_port=free_port())
    return Shop(kafka, names, s3, variables, tmp_path)


@asynccontextmanager
async def aggregating(shop: Shop) -> AsyncIterator[AggregatorProcess]:
    aggregator = AggregatorProcess(shop.variables, shop.folder / "aggregator.log")
    aggregator.start()
    try:
        await until_assigned(aggregator, 2 * PARTITIONS)
        yield aggregator
    finally:
        aggregator.stop()


async def assert_counted(shop: Shop, client: redis.Redis, till: Till) -> None:
    """Exactly what was committed is in the tables and in the archive, and every way to ask says so: no lag."""
    await eventually(shop.is_settled, "all is applied and archived")
    assert totals(client, 1, "events") == totals(client, 1, "quantity") == till.sent
    assert totals(client, 1, "revenue") == till.sent * 100
    assert len(archived_lines(shop.s3)) == till.sent
    offsets = OffsetPoller(shop.settings)
    try:
        await offsets.refresh()
        assert offsets.latest
        marks: Mapping[str, str] = hash_of(client, shard_keys(1)[0]("marks"))
        ends = offsets.latest.offsets
        assert gateway_lag(applied_offsets([marks], shop.names.purchases, ends), ends) == 0
        assert {name: int(marks[name]) for name in await shop.ends()} == await shop.ends()
    finally:
        await offsets.close()


def own_lag(port: int) -> object:
    return readiness(port).get("figures", {}).get("lag")


async def test_what_is_aborted_is_counted_nowhere_and_nobody_is_behind(shop: Shop, client: redis.Redis) -> None:
    till = Till(shop.kafka, shop.names.purchases)
    archiver_port = int(shop.variables["TILLSTREAM_METRICS_PORT"])
    state = Model([]).applier()
    settings = KafkaSettings(kafka_bootstrap=shop.kafka, purchases_topic=shop.names.purchases)
    follower = PurchaseConsumer(settings, FROM_THE_BEGINNING, state, "m1")
    await follower.start()
    try:
        async with aggregating(shop) as aggregator:
            with running("services.archiver", [], shop.variables, shop.folder / "archiver.log"):
                await till.orders(3, commit=False)
                await till.orders(3, commit=True)
                await assert_counted(shop, client, till)
                await till.orders(2, commit=False)
                await assert_counted(shop, client, till)
                await eventually(lambda: own_lag(aggregator.port) == 0, "the aggregator says that it is not behind")
                await eventually(lambda: own_lag(archiver_port) == 0, "the archiver says that it is not behind")
                await eventually(lambda: follower.lag == 0, "the recommender is not behind")
                assert state.outcomes.total() == till.sent
    finally:
        await follower.close()
    assert "expired from Kafka before they were archived" not in (shop.folder / "archiver.log").read_text()


async def test_gaps_of_transactions_are_no_lost_records_after_a_restart(shop: Shop, client: redis.Redis) -> None:
    """Everything is restarted at marks behind markers, then Redis is emptied: archive and Kafka fill it again."""
    till = Till(shop.kafka, shop.names.purchases)
    with running("services.archiver", [], shop.variables, shop.folder / "archiver.log"):
        for outcomes in ((True, False), (True, True, False)):
            async with aggregating(shop):
                for commit in outcomes:
                    await till.orders(4, commit=commit)
                await assert_counted(shop, client, till)
        await forget_all(shop)
        client.flushall()
        await till.orders(1, commit=True)  # only its object in the archive says what lay before it
        async with aggregating(shop):
            await assert_counted(shop, client, till)
            with running(
                "services.aggregator.rebuild", ["--grace", "1"], shop.variables, shop.folder / "rebuild.log"
            ) as rebuild:
                assert await asyncio.to_thread(rebuild.wait) == 0, rebuild.output
            live = client.get(LIVE_KEY)
            assert isinstance(live, bytes)
            assert live.decode() != FIRST_GENERATION
            assert totals(client, 1, "events", generation=live.decode()) == till.sent
    assert "missing" not in (shop.folder / "aggregator.log").read_text()
    assert not client.exists(shard_keys(1)[0]("missing"))


async def forget_all(shop: Shop) -> None:
    """Have Kafka drop all purchases, as its retention does: its log begins behind the last marker."""
    admin = AIOKafkaAdminClient(bootstrap_servers=shop.kafka)
    await admin.start()
    try:
        ends = {
            TopicPartition(shop.names.purchases, int(name.rpartition("/")[2])): RecordsToDelete(end)
            for name, end in (await shop.ends()).items()
        }
        await admin.delete_records(ends)
    finally:
        await admin.close()
