"""The Redis client of the settings: one server or a cluster."""

from typing import Any

from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster

from services.common.settings import RedisSettings

RedisClient = Redis | RedisCluster


# A server whose machine is gone answers nothing at all; without limits a call would wait for the kernel, many minutes.
_TIMEOUTS = {"socket_connect_timeout": 3.0, "socket_timeout": 10.0}


def connect(settings: RedisSettings, **options: Any) -> RedisClient:
    """A client that connects on first use. `options`: keyword arguments of `Redis.from_url`."""
    kind: type[Redis] | type[RedisCluster] = RedisCluster if settings.redis_cluster else Redis
    client: RedisClient = kind.from_url(settings.redis_url, **{**_TIMEOUTS, **options})
    return client
