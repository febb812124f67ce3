"""The Redis client of the settings: one server or a cluster."""

from typing import Any

from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.exceptions import ResponseError

from services.common.settings import RedisSettings

RedisClient = Redis | RedisCluster


# A server whose machine is gone answers nothing at all; without limits a call would wait for the kernel, many minutes.
_TIMEOUTS = {"socket_connect_timeout": 3.0, "socket_timeout": 10.0}


def connect(settings: RedisSettings, **options: Any) -> RedisClient:
    """A client that connects on first use. `options`: keyword arguments of `Redis.from_url`."""
    kind: type[Redis] | type[RedisCluster] = RedisCluster if settings.redis_cluster else Redis
    client: RedisClient = kind.from_url(settings.redis_url, **{**_TIMEOUTS, **tls_options(settings), **options})
    return client


def tls_options(settings: RedisSettings) -> dict[str, str]:
    """Keyword arguments of `from_url` for TLS; none where the URL asks for none.

    A connection reads the files when it opens first, so renewed ones count as the pool opens others.
    """
    files = settings.redis_tls_files
    given = {"ssl_ca_certs": files.ca, "ssl_certfile": files.cert, "ssl_keyfile": files.key}
    return {name: str(path) for name, path in given.items() if path is not None}


async def reconnect(client: RedisClient) -> None:
    """Close all connections; the next command resolves the address, or a cluster's nodes, again.

    After a failover the old connections lead to a replica, which answers READONLY as long as they are kept.
    """
    if isinstance(client, RedisCluster):
        await client.aclose()
    else:
        await client.connection_pool.disconnect()


def is_of_script(error: ResponseError) -> bool:
    """Whether a script's own command or code failed. Other errors say that the server cannot write now.

    Those begin with a code, within a script too: READONLY, OOM, MISCONF, BUSY, CLUSTERDOWN and so on.
    """
    if type(error) is not ResponseError or "user_script" not in str(error):
        return False
    code = str(error).partition(" ")[0]
    return code == "WRONGTYPE" or not (code.isalpha() and code.isupper())
