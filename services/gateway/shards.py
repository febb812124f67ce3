"""The gateway's reading hand on Redis: the same commands on every shard in one pipelined round trip."""

from collections.abc import Callable, Sequence
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff

from services.common.settings import RedisSettings
from services.common.tables import Keys, shard_keys

# A redis-py pipeline; its commands are typed for neither client in async use.
Pipeline = Any
_MAX_CONNECTIONS = 32
_TIMEOUT_SECONDS = 2.0


class ShardReader:
    """Asks all shards the same questions. Raises RedisError where Redis is away."""

    def __init__(self, redis: Redis | RedisCluster, shards: int) -> None:
        self._redis = redis
        self.keys: list[Keys] = shard_keys(shards)

    async def ask(self, commands: Callable[[Pipeline, Keys], object]) -> list[list[Any]]:
        """Queue `commands(pipeline, keys)` for each shard; per command, the replies of all shards in order."""
        pipeline: Pipeline = self._redis.pipeline(transaction=False)
        for keys in self.keys:
            commands(pipeline, keys)
        replies = await pipeline.execute()
        commands_each = len(replies) // len(self.keys)
        return [replies[command::commands_each] for command in range(commands_each)]

    async def ask_each(self, commands: Callable[[Pipeline, Keys, int], object]) -> Sequence[Any]:
        """One command a shard that depends on the shard's number; the replies in shard order."""
        pipeline: Pipeline = self._redis.pipeline(transaction=False)
        for shard, keys in enumerate(self.keys):
            commands(pipeline, keys, shard)
        replies: list[Any] = await pipeline.execute()
        return replies

    async def close(self) -> None:
        """Give the connections back."""
        await self._redis.aclose()


def open_shards(settings: RedisSettings) -> ShardReader:
    """A reader by the settings; it connects at the first question. One quick retry hides a dropped connection."""
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
    return ShardReader(redis, settings.shards)
