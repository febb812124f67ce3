"""Lag of the aggregator and the archiver, in records."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from local.settings import StackSettings
from services.common.generations import live_generation
from services.common.kafka import Offsets, behind, client_options, make_consumer
from services.common.redis_client import RedisClient, connect

TIMEOUT_S = 10


@dataclass(frozen=True, slots=True)
class Lag:
    """Records in the log so far, and how many of them are not yet applied or archived.

    `records` counts purchases. Applied = in the live tables of every shard, dead letters too; archived = in S3,
    purchases only.
    """

    records: int
    unapplied: int
    unarchived: int

    @property
    def settled(self) -> bool:
        """Whether nothing is outstanding."""
        return not self.unapplied and not self.unarchived

    def __str__(self) -> str:
        return f"{self.records:,} records, {self.unapplied:,} to apply, {self.unarchived:,} to archive"


class LagProbe:
    """Reads end offsets and committed offsets from Kafka, marks (applied offsets) from Redis."""

    def __init__(
        self,
        settings: StackSettings,
        consumer: AIOKafkaConsumer,
        admin: AIOKafkaAdminClient,
        redis: RedisClient,
    ) -> None:
        self._settings = settings
        self._consumer = consumer
        self._admin = admin
        self._redis = redis

    async def ends(self) -> Offsets:
        """End offsets of both topics. Raises TimeoutError, KafkaError."""
        async with asyncio.timeout(TIMEOUT_S):
            purchases = await self._partitions(self._settings.purchases_topic)
            dead_letters = await self._partitions(self._settings.dead_letters_topic)
            ends: Offsets = await self._consumer.end_offsets([*purchases, *dead_letters])
            return ends

    async def lag(self, ends: Offsets) -> Lag:
        """Lag of the records before `ends`. Raises TimeoutError, KafkaError, RedisError."""
        async with asyncio.timeout(TIMEOUT_S):
            begins = await self._consumer.beginning_offsets([*ends])
            purchases = {p: end for p, end in ends.items() if p.topic == self._settings.purchases_topic}
            return Lag(
                records=sum(purchases.values()),
                unapplied=behind(await self._applied([*ends]), begins, ends),
                unarchived=behind(await self._archived(), begins, purchases),
            )

    async def ask(self) -> Lag:
        """Lag now."""
        return await self.lag(await self.ends())

    async def _partitions(self, topic: str) -> list[TopicPartition]:
        (description,) = await self._admin.describe_topics([topic])
        return [TopicPartition(topic, partition["partition"]) for partition in description["partitions"]]

    async def _applied(self, partitions: list[TopicPartition]) -> Offsets:
        fields = [f"{p.topic}/{p.partition}" for p in partitions]
        live = await live_generation(self._redis, self._settings.shards, "UTC")
        shards = [await self._redis.hmget(keys("marks"), fields) for keys in live.keys]
        marks = ([int(mark or 0) for mark in marks] for marks in zip(*shards, strict=True))
        return {p: applied(p, of_shards, self._settings) for p, of_shards in zip(partitions, marks, strict=True)}

    async def _archived(self) -> Offsets:
        committed = await self._admin.list_consumer_group_offsets(self._settings.archive_group)
        return {partition: offset.offset for partition, offset in committed.items()}


def applied(partition: TopicPartition, marks: Sequence[int], settings: StackSettings) -> int:
    """The offset before which every shard has applied a partition. Dead letters are counted in one shard only."""
    if partition.topic == settings.dead_letters_topic:
        return marks[int(partition.partition) % len(marks)]
    return min(marks)


@asynccontextmanager
async def lag_probe(settings: StackSettings) -> AsyncIterator[LagProbe]:
    """A probe with its own clients. `settings` name the engines' addresses."""
    # Without a group and an assignment it fetches nothing: it only asks for offsets.
    consumer = make_consumer(settings, group_id=None)
    admin = AIOKafkaAdminClient(**client_options(settings))
    redis = connect(settings)
    try:
        await consumer.start()
        await admin.start()
        yield LagProbe(settings, consumer, admin, redis)
    finally:
        await admin.close()
        await consumer.stop()
        await redis.aclose()
