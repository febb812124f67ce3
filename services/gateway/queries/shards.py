"""Redis read adapter: the same commands on every shard, pipelined in one round trip.

A mark is an applied offset: the next offset of a partition that a shard has not applied.
"""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff

from services.common.generations import FIRST_GENERATION, Generation, live_generation
from services.common.redis_client import read_files_again, tls_options
from services.common.settings import RedisSettings
from services.common.tables import Keys

logger = logging.getLogger(__name__)

# A redis-py pipeline; its commands are typed for neither client in async use.
Pipeline = Any
_MAX_CONNECTIONS = 32
_TIMEOUT_SECONDS = 2.0
_CATCH_UP_TIMEOUT_SECONDS = 10.0


class ShardReader:
    """Queries all shards of one generation. Raises RedisError while Redis is unavailable.

    A response that needs several queries uses one reader for all: figures of two generations must not mix.
    """

    def __init__(self, redis: Redis | RedisCluster, generation: Generation) -> None:
        self._redis = redis
        self.generation = generation
        self.keys = generation.keys

    async def query(self, commands: Callable[[Pipeline, Keys], object]) -> list[list[Any]]:
        """Queue `commands(pipeline, keys)` for each shard; returns, per command, the replies of all shards in order."""
        pipeline: Pipeline = self._redis.pipeline(transaction=False)
        for keys in self.keys:
            commands(pipeline, keys)
        replies = await pipeline.execute()
        _end_if_cancelled()
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
        """Queue one `commands(pipeline, keys, shard)` per shard; returns the replies in shard order."""
        pipeline: Pipeline = self._redis.pipeline(transaction=False)
        for shard, keys in enumerate(self.keys):
            commands(pipeline, keys, shard)
        replies: list[Any] = await pipeline.execute()
        return replies


def _end_if_cancelled() -> None:
    """redis-py loses a cancellation that comes while it hands back a connection: the next question would follow."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


class LiveTables:
    """The reader of the live generation.

    A new generation is read once its marks have caught up with those of the previous one, so that no figure goes
    back. After a few seconds it is read in any case: nothing writes the previous one any more.
    """

    def __init__(
        self, redis: Redis | RedisCluster, shards: int, time_zone: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._redis = redis
        self._built_with = (shards, time_zone)
        self._clock = clock
        self._waiting_since: float | None = None
        self.reader = ShardReader(redis, Generation(FIRST_GENERATION, shards, time_zone))

    async def refresh_generation(self) -> None:
        """Read the pointer and switch the reader where a new generation is live. Raises RedisError."""
        live = await live_generation(self._redis, *self._built_with)
        if live == self.reader.generation:
            self._waiting_since = None
            return
        candidate = ShardReader(self._redis, live)
        if await self._has_caught_up(candidate) or self._catch_up_timed_out():
            logger.info("reading generation %s: %d shards, %s", live.name, live.shards, live.time_zone)
            self.reader = candidate
            self._waiting_since = None

    async def _has_caught_up(self, candidate: ShardReader) -> bool:
        reached = _marks(await _all_marks(candidate), min)
        current = _marks(await _all_marks(self.reader), max)
        return all(reached.get(partition, 0) >= mark for partition, mark in current.items())

    def _catch_up_timed_out(self) -> bool:
        now = self._clock()
        if self._waiting_since is None:
            self._waiting_since = now
        return now - self._waiting_since > _CATCH_UP_TIMEOUT_SECONDS

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()


async def _all_marks(shards: ShardReader) -> list[dict[str, str]]:
    (marks,) = await shards.query(lambda pipe, keys: pipe.hgetall(keys("marks")))
    return marks


def _marks(shards: Sequence[Mapping[str, str]], combine: Callable[[Iterable[int]], int]) -> dict[str, int]:
    """Partition → mark, combined over the shards that have one."""
    found: defaultdict[str, list[int]] = defaultdict(list)
    for shard in shards:
        for partition, mark in shard.items():
            if ":" not in partition:  # not one of the fields next to a mark; no topic's name has a colon
                found[partition].append(int(mark))
    return {partition: combine(marks) for partition, marks in found.items()}


def open_live_tables(settings: RedisSettings, time_zone: str) -> LiveTables:
    """Live tables of the configured Redis. Connects at the first query; one quick retry hides a dropped connection."""
    options: dict[str, Any] = {
        "decode_responses": True,
        "socket_timeout": _TIMEOUT_SECONDS,
        "socket_connect_timeout": _TIMEOUT_SECONDS,
        **tls_options(settings),
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
    read_files_again(redis)
    return LiveTables(redis, settings.shards, time_zone)
