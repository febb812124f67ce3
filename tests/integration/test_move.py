"""Topics move to another cluster with their offsets and times: two brokers, and the services on either."""

import asyncio
import os
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import redis
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from local.engines import KafkaEngine
from local.ports import free_port
from services.common.kafka import make_consumer, partitions_of
from services.common.settings import KafkaSettings, S3Settings
from services.common.topics import DEAD_LETTERS, PRODUCTS, PURCHASES
from services.provision.log_copy import LogRecord
from services.provision.topics import create, topic_admin
from tests.support.aggregator_process import (
    PARTITIONS,
    REPOSITORY,
    AggregatorProcess,
    PurchaseFeed,
    assert_exact,
    marks,
    until_assigned,
)
from tests.support.engines import TopicFactory, TopicNames, running
from tests.support.live_tables import expected, held, totals
from tests.support.polling import eventually
from tests.support.producer import archived_lines
from tests.support.producer import running as service
from tests.support.service_settings import service_variables

Log = tuple[int, list[LogRecord], int]
"""Beginning, committed records, last stable offset."""
Move = Callable[[TopicNames], "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def new_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The bootstrap address of another cluster."""
    folder = tmp_path_factory.mktemp("new-kafka")
    with running(KafkaEngine(folder / "data", folder / "log", free_port())) as engine:
        yield engine.address


@pytest.fixture
def move(kafka: str, new_kafka: str) -> Move:
    """Runs the command; it is given the names of a test's topics."""

    def run(names: TopicNames) -> "subprocess.CompletedProcess[str]":
        variables = {
            "TILLSTREAM_KAFKA_BOOTSTRAP": new_kafka,
            "TILLSTREAM_PURCHASES_TOPIC": names.purchases,
            "TILLSTREAM_DEAD_LETTERS_TOPIC": names.dead_letters,
            "TILLSTREAM_RECOMMENDATIONS_TOPIC": f"{names.purchases}.none",
            "TILLSTREAM_PRODUCTS_TOPIC": f"{names.purchases}.products",
        }
        command = [sys.executable, "-m", "services.provision", "move", "--from", kafka]
        environment = os.environ | variables
        return subprocess.run(
            command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=300, check=False
        )

    return run


@pytest.fixture
def names(topics: TopicFactory) -> TopicNames:
    return topics(partitions=PARTITIONS)


async def logs_of(kafka: str, topic: str) -> list[Log]:
    """All partitions of a topic as a reader of committed records has them."""
    settings = KafkaSettings(kafka_bootstrap=kafka)
    reader = make_consumer(settings, group_id=None, auto_offset_reset="earliest")
    async with asyncio.timeout(120), reader as consumer:
        return [await log_of(consumer, partition) for partition in await partitions_of(consumer, topic)]


async def log_of(consumer: AIOKafkaConsumer, partition: TopicPartition) -> Log:
    begin = (await consumer.beginning_offsets([partition]))[partition]
    end = (await consumer.end_offsets([partition]))[partition]
    records: list[LogRecord] = []
    if begin == end:  # a consumer that is stopped right after it was assigned anew may never end
        return begin, records, end
    consumer.assign([partition])
    consumer.seek(partition, begin)
    while await consumer.position(partition) < end:
        found = (await consumer.getmany(partition, timeout_ms=500)).get(partition, ())
        records += [LogRecord(r.offset, r.timestamp, r.key, r.value, tuple(r.headers)) for r in found]
    return begin, records, end


@asynccontextmanager
async def transaction(kafka: str, *, commit: bool = True) -> AsyncIterator[AIOKafkaProducer]:
    async with AIOKafkaProducer(bootstrap_servers=kafka, transactional_id=f"till-{uuid.uuid4().hex}") as producer:
        await producer.begin_transaction()
        yield producer
        await (producer.commit_transaction() if commit else producer.abort_transaction())


async def send(producer: AIOKafkaProducer, topic: str, count: int, *, partition: int = 0) -> None:
    for number in range(count):
        await producer.send(topic, b"%d" % number, key=b"k", partition=partition, headers=[("h", b"\xff")])
    await producer.flush()


async def forget(kafka: str, topic: str, before: int) -> None:
    async with topic_admin(KafkaSettings(kafka_bootstrap=kafka)) as admin:
        await admin.delete_before(TopicPartition(topic, 0), before)


async def test_a_log_keeps_offsets_and_times_whatever_takes_offsets_in_it(
    kafka: str, new_kafka: str, names: TopicNames, move: Move
) -> None:
    topic = names.purchases
    async with AIOKafkaProducer(bootstrap_servers=kafka) as plain:
        await send(plain, topic, 5_000)
        await send(plain, topic, 1, partition=1)  # else retention may drop the copy's fillers, which are of no time
        async with transaction(kafka) as till:
            await send(till, topic, 3)
        async with transaction(kafka, commit=False) as till:
            await send(till, topic, 2)
        await send(plain, topic, 4)
        await plain.send_and_wait(topic, None, key=b"tombstone", partition=0)
        await plain.send_and_wait(topic, b"x" * 900_000, partition=0)
        await forget(kafka, topic, before=4_321)
        async with transaction(kafka) as till:
            await send(till, topic, 1)
        products = replace(PRODUCTS, name=f"{topic}.products")
        await create(KafkaSettings(kafka_bootstrap=kafka), [products])
        for availability in (b"hidden", b"in_stock"):
            await plain.send_and_wait(products.name, availability, key=b"p")
        first = await asyncio.to_thread(move, names)
        assert first.returncode == 0, first.stderr
        ((_, catalogue, _),) = await logs_of(new_kafka, products.name)
        assert [(record.key, record.value) for record in catalogue] == [(b"p", b"hidden"), (b"p", b"in_stock")]
        copied = await logs_of(new_kafka, topic)
        assert copied == await logs_of(kafka, topic)
        begin, records, end = copied[0]
        assert (begin, end - records[-1].offset) == (4_321, 2), "the copy ends with a marker too"

        await send(plain, topic, 10)
        async with transaction(kafka, commit=False) as till:
            await send(till, topic, 7, partition=1)
        second = await asyncio.to_thread(move, names)
    assert second.returncode == 0, second.stderr
    assert f"{topic}/0: 10 records copied" in second.stdout, "it goes on where it has ended"
    assert await logs_of(new_kafka, topic) == await logs_of(kafka, topic)
    async with topic_admin(KafkaSettings(kafka_bootstrap=new_kafka)) as admin:
        assert (await admin.find([topic]))[topic].config["message.timestamp.type"] == "LogAppendTime"


async def test_a_copy_that_a_mirror_made_or_a_sender_wrote_to_is_refused(
    kafka: str, new_kafka: str, names: TopicNames, move: Move
) -> None:
    topic = names.purchases
    async with AIOKafkaProducer(bootstrap_servers=kafka) as plain:
        await send(plain, topic, 20)
    assert (await asyncio.to_thread(move, names)).returncode == 0
    async with AIOKafkaProducer(bootstrap_servers=new_kafka) as early:
        await send(early, topic, 1)
    longer = await asyncio.to_thread(move, names)
    assert (longer.returncode, "the copy ends at offset 21, the source at 20" in longer.stderr) == (1, True)
    async with AIOKafkaProducer(bootstrap_servers=kafka) as plain:
        await send(plain, topic, 5)
    other = await asyncio.to_thread(move, names)
    assert (other.returncode, "at offset 20 the copy has other records" in other.stderr) == (1, True), other.stderr
    assert f"Delete topic {topic} at {new_kafka}" in other.stderr
    async with topic_admin(KafkaSettings(kafka_bootstrap=new_kafka)) as admin:
        assert (await admin.find([topic]))[topic].config["message.timestamp.type"] == "LogAppendTime"


class Shop:
    """Aggregator and archiver, on either cluster, over one Redis and one bucket."""

    def __init__(self, variables: dict[str, str], folder: Path) -> None:
        self._variables = variables
        self._folder = folder

    @asynccontextmanager
    async def open(self, kafka: str, partitions: int = 2 * PARTITIONS) -> AsyncIterator[None]:
        """The services run until the block is left; each then stops as on SIGKILL."""
        variables = self._variables | {"TILLSTREAM_KAFKA_BOOTSTRAP": kafka}
        aggregator = AggregatorProcess(variables, self._folder / "aggregator.log")
        aggregator.start()
        try:
            with service("services.archiver", [], variables, self._folder / "archiver.log"):
                await until_assigned(aggregator, partitions)
                yield
        finally:
            aggregator.stop()

    def rebuild(self, kafka: str) -> None:
        variables = self._variables | {"TILLSTREAM_KAFKA_BOOTSTRAP": kafka}
        log = self._folder / "rebuild.log"
        with service("services.aggregator.rebuild", ["--grace", "0"], variables, log) as rebuild:
            assert rebuild.wait() == 0, rebuild.output


@pytest.fixture
def shop(kafka: str, redis_url: str, names: TopicNames, s3: S3Settings, tmp_path: Path) -> Shop:
    return Shop(service_variables(kafka, redis_url, names, s3, metrics_port=free_port()), tmp_path)


async def test_a_shop_moves_with_its_history(
    shop: Shop, names: TopicNames, move: Move, kafka: str, new_kafka: str, client: redis.Redis, s3: S3Settings
) -> None:
    """Lines without an id, which would count again if the new cluster numbered them anew; the oldest are only in S3."""
    feed = PurchaseFeed(kafka, names)

    async def archived() -> bool:
        return len(await asyncio.to_thread(archived_lines, s3)) == len(feed.lines) + feed.rejected

    async with shop.open(kafka):
        await feed.send(1, 600)
        await assert_exact(client, feed)
        await eventually(archived, "all is archived")
    await forget(kafka, names.purchases, before=100)
    await feed.send(2, 200)  # the old cluster has them, nobody has read them
    before = marks(client)
    moved = await asyncio.to_thread(move, names)
    assert moved.returncode == 0, moved.stderr

    feed.kafka = new_kafka
    async with shop.open(new_kafka):
        await feed.send(3, 200)
        await assert_exact(client, feed)
        assert all(marks(client)[name] >= mark for name, mark in before.items())
        await eventually(archived, "the chain of the archive goes on")
    await asyncio.to_thread(shop.rebuild, new_kafka)
    truth = expected(feed.lines)
    assert held(client, truth, 1, "2") == truth, "a rebuild reads the archive, then the new cluster"
    assert totals(client, 1, "events", generation="2") == len(feed.lines)


def restore(kafka: str, names: TopicNames, s3: S3Settings) -> "subprocess.CompletedProcess[str]":
    variables = service_variables(kafka, "redis://127.0.0.1:1", names, s3, metrics_port=0)
    topics = {
        "TILLSTREAM_KAFKA_PARTITIONS": "1",  # the archive has more
        "TILLSTREAM_RECOMMENDATIONS_TOPIC": f"{names.purchases}.restored",
        "TILLSTREAM_PRODUCTS_TOPIC": f"{names.purchases}.restored.products",
    }
    command = [sys.executable, "-m", "services.provision", "restore"]
    environment = os.environ | variables | topics
    return subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


async def test_a_shop_is_restored_from_its_bucket_alone(
    shop: Shop, names: TopicNames, kafka: str, new_kafka: str, client: redis.Redis, s3: S3Settings
) -> None:
    """Kafka and Redis are lost. Lines have no id, so a record under another number would count again, or not at all."""
    feed = PurchaseFeed(kafka, names)

    async def archived() -> bool:
        return len(await asyncio.to_thread(archived_lines, s3)) == len(feed.lines) + feed.rejected

    async with shop.open(kafka):
        await feed.send(1, 400)
        await eventually(archived, "all is archived")
    client.flushdb()

    lived = await logs_of(kafka, names.purchases)
    nothing = await asyncio.to_thread(restore, kafka, names, s3)
    assert (nothing.returncode, nothing.stdout.count("nothing to do")) == (0, PARTITIONS), nothing.stderr
    assert await logs_of(kafka, names.purchases) == lived, "a log that is whole stays as it is"

    await create(
        KafkaSettings(kafka_bootstrap=new_kafka), [replace(PURCHASES, name=names.purchases, partitions=PARTITIONS)]
    )
    async with AIOKafkaProducer(bootstrap_servers=new_kafka) as early:
        await send(early, names.purchases, 1)
    refused = await asyncio.to_thread(restore, new_kafka, names, s3)
    assert (refused.returncode, "which nobody has archived" in refused.stderr) == (1, True), refused.stderr
    await forget(new_kafka, names.purchases, before=1)

    for _again in range(2):
        done = await asyncio.to_thread(restore, new_kafka, names, s3)
        assert done.returncode == 0, done.stderr
    await asyncio.to_thread(shop.rebuild, new_kafka)
    truth = expected(feed.lines)
    assert held(client, truth, 1, "2") == truth
    assert totals(client, 1, "events", generation="2") == len(feed.lines)

    async def exact() -> bool:
        truth = expected(feed.lines)
        return held(client, truth, 1, "2") == truth

    feed.kafka = new_kafka
    async with shop.open(new_kafka, PARTITIONS + DEAD_LETTERS.partitions):
        await feed.send(2, 100)
        await eventually(archived, "the archive goes on where it ended")
        await eventually(exact, "new lines count once, and none is missing")
    await feed.send(3, 10)
    refused = await asyncio.to_thread(restore, new_kafka, names, s3)
    assert (refused.returncode, "it has records that are not archived" in refused.stderr) == (1, True), refused.stderr
