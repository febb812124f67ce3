"""Copies dead-letter counts into a new generation, where the dead letters themselves have expired from Kafka.

Their topic is not archived. Where its oldest records have expired, counting it again would give too low counts; so the
counts are copied, with the marks (applied offsets) and rows that belong to them.
"""

import logging
from collections.abc import Mapping
from typing import Any

from aiokafka import TopicPartition

from services.aggregator.payload import timestamp_field
from services.common.generations import Generation
from services.common.redis_client import RedisClient
from services.common.tables import Keys

logger = logging.getLogger(__name__)


async def copy_dead_letter_counts(
    redis: RedisClient, live: Generation, fresh: Generation, log_starts: Mapping[TopicPartition, int], topic: str
) -> None:
    """Copy the counts where the topic's log starts after offset 0. Raises RedisError.

    `log_starts`: partition → Kafka's log start offset.
    """
    numbers = [partition.partition for partition in log_starts if partition.topic == topic]
    if all(log_starts[TopicPartition(topic, number)] == 0 for number in numbers):
        return
    logger.warning(
        "%s: oldest records expired; copying dead-letter counts from the live generation", topic, extra={"topic": topic}
    )
    for shard, keys in enumerate(live.keys):
        mine = [number for number in numbers if number % live.shards == shard]
        counts, missing, states = await _read(redis, keys, topic, mine)
        await _write(redis, fresh.keys[shard % fresh.shards], counts, missing, topic)
        for number, state in zip(mine, states, strict=True):
            await _write_state(redis, fresh.keys[number % fresh.shards], f"{topic}/{number}", state)


async def _read(redis: RedisClient, keys: Keys, topic: str, numbers: list[int]) -> tuple[Any, Any, list[Any]]:
    """Counts, missing records, and each partition's (mark, timestamp), rows and rows of files, from one transaction."""
    async with redis.pipeline(transaction=True) as pipe:
        pipe.hgetall(keys("dead_letters"))
        pipe.hgetall(keys("missing"))
        for number in numbers:
            name = f"{topic}/{number}"
            pipe.hmget(keys("marks"), name, timestamp_field(name))
            pipe.hgetall(keys(f"rows:{name}"))
            pipe.smembers(keys(f"file_rows:{name}"))
        counts, missing, *found = await pipe.execute()
    return counts, missing, list(zip(found[::3], found[1::3], found[2::3], strict=True))


async def _write(redis: RedisClient, keys: Keys, counts: Any, missing: Any, topic: str) -> None:
    for reason, count in counts.items():
        await redis.hincrby(keys("dead_letters"), reason, int(count))
    for records, last in missing.items():
        if records.decode().startswith(f"{topic}/"):
            await redis.hset(keys("missing"), records, last)


async def _write_state(redis: RedisClient, keys: Keys, name: str, state: Any) -> None:
    (mark, timestamp), rows, file_rows = state
    if mark is not None:
        await redis.hset(keys("marks"), mapping={name: mark, timestamp_field(name): timestamp})
    if rows:
        await redis.hset(keys(f"rows:{name}"), mapping=rows)
    if file_rows:
        await redis.sadd(keys(f"file_rows:{name}"), *file_rows)
