"""Dead letters whose records Kafka no longer holds: what was counted of them goes over into a fresh generation.

Their topic is not archived. Where it has lost its beginning, counting it again would tell of fewer dead letters than
there were; so the counts, and the marks and rows that belong to them, are taken as they are.
"""

import logging
from collections.abc import Mapping
from typing import Any

from aiokafka import TopicPartition

from services.aggregator.payload import stamp_field
from services.common.generations import Generation
from services.common.redis_client import RedisClient
from services.common.tables import Keys

logger = logging.getLogger(__name__)


async def carry_dead_letters(
    redis: RedisClient, live: Generation, fresh: Generation, begins: Mapping[TopicPartition, int], topic: str
) -> None:
    """Copy them where the topic's log begins after 0. `begins`: partition → Kafka's first offset. Raises RedisError."""
    numbers = [partition.partition for partition in begins if partition.topic == topic]
    if all(begins[TopicPartition(topic, number)] == 0 for number in numbers):
        return
    logger.warning("%s has lost its beginning: what was counted of it is taken over from the live tables", topic)
    for shard, keys in enumerate(live.keys):
        mine = [number for number in numbers if number % live.shards == shard]
        counts, missing, states = await _read(redis, keys, topic, mine)
        await _write(redis, fresh.keys[shard % fresh.shards], counts, missing, topic)
        for number, state in zip(mine, states, strict=True):
            await _write_state(redis, fresh.keys[number % fresh.shards], f"{topic}/{number}", state)


async def _read(redis: RedisClient, keys: Keys, topic: str, numbers: list[int]) -> tuple[Any, Any, list[Any]]:
    """Counts, missing records, and each partition's (mark, stamp) and rows. They belong together: one transaction."""
    async with redis.pipeline(transaction=True) as pipe:
        pipe.hgetall(keys("dead_letters"))
        pipe.hgetall(keys("missing"))
        for number in numbers:
            name = f"{topic}/{number}"
            pipe.hmget(keys("marks"), name, stamp_field(name))
            pipe.hgetall(keys(f"rows:{name}"))
        counts, missing, *found = await pipe.execute()
    return counts, missing, list(zip(found[::2], found[1::2], strict=True))


async def _write(redis: RedisClient, keys: Keys, counts: Any, missing: Any, topic: str) -> None:
    for reason, count in counts.items():
        await redis.hincrby(keys("dead_letters"), reason, int(count))
    for records, last in missing.items():
        if records.decode().startswith(f"{topic}/"):
            await redis.hset(keys("missing"), records, last)


async def _write_state(redis: RedisClient, keys: Keys, name: str, state: Any) -> None:
    (mark, stamp), rows = state
    if mark is not None:
        await redis.hset(keys("marks"), mapping={name: mark, stamp_field(name): stamp})
    if rows:
        await redis.hset(keys(f"rows:{name}"), mapping=rows)
