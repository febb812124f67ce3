"""End offsets of the purchases topic and marks (applied offsets) in Redis while a benchmark runs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, TopicPartition
from redis.asyncio import Redis

from local.settings import StackSettings
from services.common.generations import live_generation
from services.common.kafka import make_consumer, partitions_of

Offsets = dict[TopicPartition, int]


class Log:
    """Asks for offsets, marks and times of the purchases topic."""

    def __init__(self, settings: StackSettings, consumer: AIOKafkaConsumer, redis: Redis) -> None:
        self._settings = settings
        self._consumer = consumer
        self._redis = redis

    async def ends(self) -> Offsets:
        """The next offset of each partition."""
        ends: Offsets = await self._consumer.end_offsets(await self._partitions())
        return ends

    async def marks(self) -> Offsets:
        """The next offset to apply, the lowest of all shards."""
        partitions = await self._partitions()
        fields = [f"{p.topic}/{p.partition}" for p in partitions]
        live = await live_generation(self._redis, self._settings.shards, "UTC")
        shards = [await self._redis.hmget(keys("marks"), fields) for keys in live.keys]
        return {p: min(int(shard[place] or 0) for shard in shards) for place, p in enumerate(partitions)}

    async def first_append_ms(self, since: Offsets) -> int:
        """The broker's time of the first record at or after these offsets, of which there must be one."""
        ends = await self.ends()
        partitions = [partition for partition, offset in since.items() if ends[partition] > offset]
        self._consumer.assign(partitions)
        times = []
        for partition in partitions:
            self._consumer.seek(partition, since[partition])
            record = await self._consumer.getone(partition)
            times.append(int(record.timestamp))
        return min(times)

    async def _partitions(self) -> list[TopicPartition]:
        return await partitions_of(self._consumer, self._settings.purchases_topic)


@asynccontextmanager
async def open_log(settings: StackSettings) -> AsyncIterator[Log]:
    """A log with its own clients."""
    consumer = make_consumer(settings, group_id=None)
    redis = Redis.from_url(settings.redis_url)
    await consumer.start()
    try:
        yield Log(settings, consumer, redis)
    finally:
        await consumer.stop()
        await redis.aclose()
