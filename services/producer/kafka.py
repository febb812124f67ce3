"""Kafka adapter of the producer: the cluster's topics and offsets, and an idempotent client."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from services.common.kafka import client_options, make_consumer, producer_options, until_reachable
from services.producer.outbox import MAX_BATCH_BYTES
from services.producer.settings import ProducerSettings

logger = logging.getLogger(__name__)

_CLOSE_S = 5.0


class KafkaUnavailable(Exception):
    """Kafka did not answer within the patience of the settings."""


class TopicMissing(Exception):
    """A topic that the producer writes to does not exist."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """What was found: the cluster's id, partitions by topic, and the end offsets of `purchases` by partition."""

    id: str
    partitions: dict[str, int]
    log_ends: dict[int, int]


class Connection(NamedTuple):
    """The cluster as it was found, and a started producer."""

    cluster: Cluster
    producer: AIOKafkaProducer


@asynccontextmanager
async def connected(settings: ProducerSettings, stop: asyncio.Event) -> AsyncIterator[Connection]:
    """The cluster and a started producer, closed afterwards.

    Raises KafkaUnavailable (also where `stop` was set first), TopicMissing.
    """
    connection = await _connect(settings, stop)
    try:
        yield connection
    finally:
        await _close(connection.producer)


async def _start(settings: ProducerSettings) -> AIOKafkaProducer:
    producer = AIOKafkaProducer(max_batch_size=MAX_BATCH_BYTES, **producer_options(settings))
    try:
        await producer.start()
    except BaseException:
        await _close(producer)
        raise
    return producer


async def _close(producer: AIOKafkaProducer) -> None:
    with suppress(KafkaError, TimeoutError):
        await asyncio.wait_for(producer.stop(), _CLOSE_S)


async def _connect(settings: ProducerSettings, stop: asyncio.Event) -> Connection:
    patience_s = settings.kafka_patience_s
    deadline = time.monotonic() + patience_s
    where = f"Kafka at {settings.kafka_bootstrap}"
    reported = False

    def on_wait(error: Exception) -> None:
        nonlocal reported
        if stop.is_set():
            raise KafkaUnavailable(f"{where} did not answer before this run was stopped") from None
        if time.monotonic() > deadline:
            raise KafkaUnavailable(f"{where} did not answer within {patience_s:g} s") from None
        if not reported:
            logger.warning("%s does not answer (%r): trying for %g s", where, error, patience_s)
            reported = True

    async def connect() -> Connection:
        return Connection(await _describe(settings), await _start(settings))

    return await until_reachable(connect, on_wait, min(1.0, patience_s / 10))


async def _describe(settings: ProducerSettings) -> Cluster:
    admin = AIOKafkaAdminClient(**client_options(settings))
    try:
        await admin.start()
        cluster = await admin.describe_cluster()
        # Asking for all topics, because asking for one by name may create it with the broker's defaults.
        found = {topic["topic"]: len(topic["partitions"]) for topic in await admin.describe_topics()}
    finally:
        await admin.close()
    partitions = {name: found.get(name, 0) for name in (settings.purchases_topic, settings.dead_letters_topic)}
    for name, count in partitions.items():
        if not count:
            raise TopicMissing(
                f"topic {name} does not exist at {settings.kafka_bootstrap}, or this user may not see it: create it "
                "(make up does), or grant the right Describe"
            )
    ends = await _log_ends(settings, settings.purchases_topic, partitions[settings.purchases_topic])
    return Cluster(str(cluster.get("cluster_id") or ""), partitions, ends)


async def _log_ends(settings: ProducerSettings, topic: str, partitions: int) -> dict[int, int]:
    consumer: Any = make_consumer(settings)
    try:
        await consumer.start()
        ends = await consumer.end_offsets([TopicPartition(topic, partition) for partition in range(partitions)])
    finally:
        await consumer.stop()
    return {partition.partition: offset for partition, offset in ends.items()}
