"""The gateway's reading hand on Redis: the same commands on every shard in one pipelined round trip."""

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff

from services.common.generations import FIRST_GENERATION, Generation, live_generation
from services.common.settings import RedisSettings
from services.common.tables import Keys

logger = logging.getLogger(__name__)

# A redis-py pipeline; its commands are typed for neither client in async use.
Pipeline = Any
_MAX_CONNECTIONS = 32
_TIMEOUT_SECONDS = 2.0
_LEVEL_WITHIN_SECONDS = 10.0


class ShardReader:
    """Asks all shards of one generation the same questions. Raises RedisError where Redis is away.

    Whoever asks twice for one answer holds on to one reader: figures of two generations must not meet.
    """

    def __init__(self, redis: Redis | RedisCluster, generation: Generation) -> None:
        self._redis = redis
        self.generation = generation
        self.keys = generation.keys

    async def query(self, commands: Callable[[Pipeline, Keys], object]) -> list[list[Any]]:
        """Queue `commands(pipeline, keys)` for each shard; per command, the replies of all shards in order."""
        pipeline: Pipeline = self._redis.pipeline(transaction=False)
        for keys in self.keys:
            commands(pipeline, keys)
        replies = await pipeline.execute()
        commands_each = len(replies) // len(self.keys)
        return [replies[command::commands_each] for command in range(commands_each)]

    async def query_atomically(self, commands: Callable[[Pipeline, Keys], object]) -> list[list[Any]]:
        """As `query`, but each shard runs its commands as one transaction.

        Redis does nothing else meanwhile, so queue few commands.
        """
        replies = []
        for keys in self.keys:
            pipeline: Pipeline = self._redis.pipeline(transaction=True)
            commands(pipeline, keys)
            replies.append(await pipeline.execute())
        return [list(of_command) for of_command in zip(*replies, strict=True)]

    async def query_per_shard(self, commands: Callable[[Pipeline, Keys, int], object]) -> Sequence[Any]:
        """One command a shard that depends on the shard's number; the replies in shard order."""
        pipeline: Pipeline = self._redis.pipeline(transaction=False)
        for shard, keys in enumerate(self.keys):
            commands(pipeline, keys, shard)
        replies: list[Any] = await pipeline.execute()
        return replies


class LiveTables:
    """The reader of the generation that is shown. It changes between two answers, never within one.

    A new generation is shown once it has got as far as the one before, so that no figure goes back; where that takes
    longer than a few seconds, it is shown all the same, since nobody writes the other any more.
    """

    def __init__(self, redis: Redis | RedisCluster, shards: int, time_zone: str) -> None:
        self._redis = redis
        self._built_with = (shards, time_zone)
        self._waiting_since: float | None = None
        self.reader = ShardReader(redis, Generation(FIRST_GENERATION, shards, time_zone))

    async def follow(self) -> None:
        """Look at the pointer. Raises RedisError."""
        live = await live_generation(self._redis, *self._built_with)
        if live == self.reader.generation:
            self._waiting_since = None
            return
        following = ShardReader(self._redis, live)
        if await self._is_level(following) or self._has_waited():
            logger.info("showing generation %s: %d shards, %s", live.name, live.shards, live.time_zone)
            self.reader = following
            self._waiting_since = None

    async def _is_level(self, following: ShardReader) -> bool:
        reached = _marks(await _all_marks(following), min)
        shown = _marks(await _all_marks(self.reader), max)
        return all(reached.get(partition, 0) >= mark for partition, mark in shown.items())

    def _has_waited(self) -> bool:
        self._waiting_since = self._waiting_since or time.monotonic()
        return time.monotonic() - self._waiting_since > _LEVEL_WITHIN_SECONDS

    async def close(self) -> None:
        """Give the connections back."""
        await self._redis.aclose()


async def _all_marks(shards: ShardReader) -> list[dict[str, str]]:
    (marks,) = await shards.query(lambda pipe, keys: pipe.hgetall(keys("marks")))
    return marks


def _marks(shards: Sequence[Mapping[str, str]], combine: Callable[[Iterable[int]], int]) -> dict[str, int]:
    """Partition → mark over the shards that have one."""
    found: defaultdict[str, list[int]] = defaultdict(list)
    for shard in shards:
        for partition, mark in shard.items():
            if not partition.startswith("stamp:"):
                found[partition].append(int(mark))
    return {partition: combine(marks) for partition, marks in found.items()}


def open_live_tables(settings: RedisSettings, time_zone: str) -> LiveTables:
    """Live tables by the settings; it connects at the first question. One quick retry hides a dropped connection."""
    options: dict[str, Any] = {
        "decode_responses": True,
        "socket_timeout": _TIMEOUT_SECONDS,
        "socket_connect_timeout": _TIMEOUT_SECONDS,
    }
    redis: Redis | RedisCluster
    if settings.redis_cluster:
        redis = RedisCluster.from_url(settings.redis_url, max_connections=_MAX_CONNECTIONS, **options)
    else:
        pool = BlockingConnectionPool.from_url(
            settings.redis_url,
            max_connections=_MAX_CONNECTIONS,
            timeout=_TIMEOUT_SECONDS,
            retry=Retry(ConstantBackoff(0.05), 1),
            **options,
        )
        redis = Redis.from_pool(pool)
    return LiveTables(redis, settings.shards, time_zone)
