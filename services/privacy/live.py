"""What Redis and Kafka hold of a customer."""

from collections.abc import AsyncIterator
from typing import Any, cast

from aiokafka import TopicPartition

from services.common.event_rules import EventRules
from services.common.generations import live_generation
from services.common.kafka import make_consumer, partitions_of
from services.common.redis_client import RedisClient
from services.common.settings import KafkaSettings
from services.privacy.found import Finding, as_text, single
from services.privacy.redaction import Redactor

_WAIT_MS = 1000


async def tables_of(redis: RedisClient, user_id: str, shards: int) -> AsyncIterator[Finding]:
    """The live tables' entries of a customer. Raises RedisError."""
    generation = await live_generation(redis, shards, "UTC")
    for keys in generation.keys:
        if found := await redis.hgetall(keys(f"user:{user_id}")):
            yield Finding("live tables", f"user:{user_id}", {_text(name): _text(each) for name, each in found.items()})
        for line in cast("list[bytes]", await redis.zrange(keys(f"purchases:{user_id}"), 0, -1)):
            yield Finding("live tables", f"purchases:{user_id}", _text(line))


async def records_of(settings: KafkaSettings, user_id: str, rules: EventRules) -> AsyncIterator[Finding]:
    """Records of the three topics that name a customer. Raises KafkaError."""
    redactor = Redactor(single(user_id), rules)
    consumer = make_consumer(settings, group_id=None, auto_offset_reset="earliest", enable_auto_commit=False)
    await consumer.start()
    try:
        for topic in (settings.purchases_topic, settings.dead_letters_topic, settings.recommendations_topic):
            async for place, value, timestamp in _records(consumer, topic):
                if redactor.mentions(value, timestamp):
                    yield Finding(f"topic {topic}", place, as_text(value))
    finally:
        await consumer.stop()


async def _records(consumer: Any, topic: str) -> AsyncIterator[tuple[str, bytes | None, int]]:
    """Place, value and broker time of each record that is there now."""
    partitions = await partitions_of(consumer, topic)
    consumer.assign(partitions)
    await consumer.seek_to_beginning(*partitions)
    ends: dict[TopicPartition, int] = await consumer.end_offsets(partitions)
    open_partitions = {each for each in partitions if await consumer.position(each) < ends[each]}
    while open_partitions:
        fetched = await consumer.getmany(*open_partitions, timeout_ms=_WAIT_MS)
        for partition, records in fetched.items():
            for record in records:
                yield f"{topic}/{partition.partition}/{record.offset}", record.value, record.timestamp
        open_partitions = {each for each in open_partitions if await consumer.position(each) < ends[each]}


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
