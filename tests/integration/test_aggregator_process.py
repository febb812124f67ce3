"""The aggregator as a process, on real Kafka and Valkey: figures stay exact however it ends."""

import asyncio
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions

from services.common.dead_letters import RecordOrigin, origin_of, reason_of
from tests.faults.proxy import Proxy, RedisProxy
from tests.support.aggregator_process import (
    PARTITIONS,
    REPOSITORY,
    AggregatorProcess,
    PurchaseFeed,
    assert_exact,
    marks,
    until_assigned,
)
from tests.support.engines import TopicFactory, TopicNames
from tests.support.polling import eventually
from tests.support.producer import read_topic


@pytest.fixture
def names(topics: TopicFactory) -> TopicNames:
    return topics(partitions=PARTITIONS)


@pytest.fixture
def make(names: TopicNames, kafka: str, redis_url: str, tmp_path: Path) -> Iterator[Callable[..., AggregatorProcess]]:
    """Starts aggregators; more settings by name: `make(AGGREGATOR_CHUNK="10")`."""
    made: list[AggregatorProcess] = []

    def aggregator(**settings: str) -> AggregatorProcess:
        environment = {
            "TILLSTREAM_KAFKA_BOOTSTRAP": kafka,
            "TILLSTREAM_REDIS_URL": redis_url,
            "TILLSTREAM_PURCHASES_TOPIC": names.purchases,
            "TILLSTREAM_DEAD_LETTERS_TOPIC": names.dead_letters,
            "TILLSTREAM_AGGREGATOR_GROUP": names.purchases,
            "TILLSTREAM_AGGREGATOR_CHUNK": "100",
            "TILLSTREAM_AGGREGATOR_SNAPSHOT_SECONDS": "0",  # there is no S3 here
            **{f"TILLSTREAM_{name}": value for name, value in settings.items()},
        }
        made.append(AggregatorProcess(environment, tmp_path / f"aggregator{len(made)}.log"))
        made[-1].start()
        return made[-1]

    yield aggregator
    for one in made:
        one.stop()


async def grow(kafka: str, topic: str, partitions: int) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    await admin.create_partitions({topic: NewPartitions(partitions)})
    await admin.close()


@pytest.fixture
def feed(kafka: str, names: TopicNames) -> PurchaseFeed:
    return PurchaseFeed(kafka, names)


async def test_figures_are_exact_after_kill_9(
    make: Callable[..., AggregatorProcess], feed: PurchaseFeed, client: redis.Redis
) -> None:
    aggregator = make()
    await feed.send(seed=1, count=1500)

    async def some_applied() -> bool:
        return sum(marks(client).values()) > 100

    await eventually(some_applied, "some records applied")
    aggregator.kill()
    await feed.send(seed=2, count=1500)
    aggregator.start()
    await assert_exact(client, feed)


async def test_figures_are_exact_through_rebalances(
    make: Callable[..., AggregatorProcess], feed: PurchaseFeed, client: redis.Redis
) -> None:
    first = make()
    await feed.send(seed=3, count=800)
    second = make()
    await feed.send(seed=4, count=800)
    await until_assigned(first, PARTITIONS)
    await until_assigned(second, PARTITIONS)
    first.send(signal.SIGTERM)
    await feed.send(seed=5, count=800)
    assert first.wait() == 0
    await assert_exact(client, feed)
    second.send(signal.SIGTERM)
    assert second.wait() == 0


async def test_dead_letters_carry_payload_reason_and_origin(
    make: Callable[..., AggregatorProcess], feed: PurchaseFeed, client: redis.Redis, kafka: str, names: TopicNames
) -> None:
    make()
    await feed.send(seed=6, count=100)
    await assert_exact(client, feed)
    consumer = AIOKafkaConsumer(names.dead_letters, bootstrap_servers=kafka, auto_offset_reset="earliest")
    async with consumer:
        dead_letters: list[Any] = []
        while len(dead_letters) < feed.rejected:
            dead_letters.append(await asyncio.wait_for(consumer.getone(), 60))
    for dead_letter in dead_letters:
        origin = origin_of(list(dead_letter.headers))
        assert isinstance(origin, RecordOrigin)
        assert origin.topic == names.purchases
        assert (dead_letter.value, reason_of(list(dead_letter.headers))) == (b"{", "not_json")


async def test_health_tells_what_is_assigned(make: Callable[..., AggregatorProcess]) -> None:
    aggregator = make()
    await until_assigned(aggregator, 2 * PARTITIONS)


async def test_started_while_kafka_is_away_it_waits(
    make: Callable[..., AggregatorProcess], kafka: str, feed: PurchaseFeed, client: redis.Redis
) -> None:
    """Found by the fault suite: an aggregator that crashed while the broker's disk was full."""
    way_to_kafka = Proxy(int(kafka.rpartition(":")[2]))  # not open yet
    aggregator = make(KAFKA_BOOTSTRAP=f"127.0.0.1:{way_to_kafka.port}")
    await feed.send(seed=7, count=100)

    async def waiting() -> bool:
        return "waiting for Kafka" in aggregator.log.read_text()

    await eventually(waiting, "it waits")
    way_to_kafka.start()
    try:
        await assert_exact(client, feed)
    finally:
        way_to_kafka.stop()


async def test_after_a_slow_time_lines_are_counted_as_they_come(
    make: Callable[..., AggregatorProcess], feed: PurchaseFeed, client: redis.Redis, redis_url: str
) -> None:
    """A fetch for the idle topic alone, sent while the busy one's records waited, held up all others for 1.5 s."""
    address = urlsplit(redis_url)
    assert address.port is not None
    way_to_redis = RedisProxy(address.port)
    way_to_redis.start()
    stopped = asyncio.Event()

    async def keep_sending() -> None:
        for seed in itertools.count(100):
            if stopped.is_set():
                return
            await feed.send(seed, 20, invalid=False)
            await asyncio.sleep(0.02)

    async def longest_pause(seconds: float) -> float:
        moved_at, longest, seen = time.monotonic(), 0.0, marks(client)
        end = moved_at + seconds
        while (now := time.monotonic()) < end:
            if (found := marks(client)) != seen:
                moved_at, seen = now, found
            longest = max(longest, now - moved_at)
            await asyncio.sleep(0.01)
        return longest

    sending = asyncio.create_task(keep_sending())
    try:
        aggregator = make(REDIS_URL=f"redis://{address.hostname}:{way_to_redis.port}{address.path}")
        await until_assigned(aggregator, 2 * PARTITIONS)
        pauses: list[float] = []
        while len(pauses) < 5 and min(pauses, default=1.5) >= 0.7:  # a busy machine pauses now and then, too
            way_to_redis.delay_s = 0.3
            await asyncio.sleep(1)
            way_to_redis.delay_s = 0.02
            await longest_pause(2)  # what was left undone
            pauses.append(await longest_pause(4))
        assert min(pauses) < 0.7
        stopped.set()
        await sending
        await assert_exact(client, feed)
    finally:
        sending.cancel()
        way_to_redis.stop()


async def test_started_again_under_its_name_it_has_its_partitions_at_once_and_notices_new_ones(
    make: Callable[..., AggregatorProcess], kafka: str, names: TopicNames
) -> None:
    aggregator = make(AGGREGATOR_INSTANCE="one", AGGREGATOR_SESSION_TIMEOUT_S="90", KAFKA_METADATA_SECONDS="1")
    await until_assigned(aggregator, 2 * PARTITIONS)
    aggregator.kill()
    await grow(kafka, names.purchases, PARTITIONS + 1)
    aggregator.start()
    await until_assigned(aggregator, 2 * PARTITIONS + 1)  # gives up before the session ends
    await grow(kafka, names.purchases, PARTITIONS + 2)
    await until_assigned(aggregator, 2 * PARTITIONS + 2)


async def test_too_many_refused_records_end_it_where_that_is_asked_for(
    make: Callable[..., AggregatorProcess], client: redis.Redis, kafka: str, names: TopicNames
) -> None:
    async with AIOKafkaProducer(bootstrap_servers=kafka) as producer:
        for _ in range(30):
            await producer.send_and_wait(names.purchases, b"{", partition=1)
    aggregator = make(DEAD_LETTERS_MAX_CONSECUTIVE="20", DEAD_LETTERS_HALT="true")
    assert await asyncio.to_thread(aggregator.wait) == 1
    expected = f"{names.purchases}/1: 20 consecutive records are invalid (not_json); stopped before them"
    assert expected in aggregator.log.read_text()
    assert marks(client) == {}
    assert await asyncio.to_thread(read_topic, kafka, names.dead_letters) == []


def test_a_bad_setting_is_one_clear_line(tmp_path: Path) -> None:
    environment = {**os.environ, "TILLSTREAM_TIME_ZONE": "Mars/Olympus"}
    command = [sys.executable, "-m", "services.aggregator"]
    answer = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    assert answer.returncode == 2
    (line,) = answer.stderr.splitlines()
    assert line.startswith("aggregator: TILLSTREAM_TIME_ZONE: 'Mars/Olympus' is not an IANA time zone")
