"""The Redis client of the settings: one server or a cluster."""

import logging
from collections.abc import Callable, Mapping
from typing import Any

from redis.asyncio import Redis, SSLConnection
from redis.asyncio.cluster import RedisCluster
from redis.exceptions import RedisClusterException, RedisError, ResponseError

from services.common.settings import RedisSettings

logger = logging.getLogger(__name__)

RedisClient = Redis | RedisCluster
REDIS_ERRORS = (RedisError, RedisClusterException, OSError)
"""What a call raises while Redis is away. That no node of a cluster answers is no RedisError in redis-py."""

# A server whose machine is gone answers nothing at all; without limits a call would wait for the kernel, many minutes.
_TIMEOUTS = {"socket_connect_timeout": 3.0, "socket_timeout": 10.0}


def connect(settings: RedisSettings, **options: Any) -> RedisClient:
    """A client that connects on first use. `options`: keyword arguments of `Redis.from_url`."""
    kind: type[Redis] | type[RedisCluster] = RedisCluster if settings.redis_cluster else Redis
    client: RedisClient = kind.from_url(settings.redis_url, **{**_TIMEOUTS, **tls_options(settings), **options})
    read_files_again(client)
    if isinstance(client, RedisCluster):
        _mend_transactions(client)
    return client


def _mend_transactions(client: RedisCluster) -> None:
    """Let replies within a transaction be parsed: redis-py 8.1 hands a cluster's parsers an argument that none has."""

    def without_keys(parse: Callable[..., Any]) -> Callable[..., Any]:
        return lambda reply, keys=None, **options: parse(reply, **options)

    client.response_callbacks = {command: without_keys(parse) for command, parse in client.response_callbacks.items()}


class _RenewedConnection(SSLConnection):
    """Reads its TLS files each time it opens. redis-py's own reads them once, and its pools open an object again."""

    def _connection_arguments(self) -> Mapping[str, Any]:
        before, self.ssl_context.context = self.ssl_context.context, None
        try:
            return super()._connection_arguments()
        except OSError as error:
            if before is None:
                raise
            logger.error("the TLS files of Redis cannot be used, and the former ones stay: %s", error)
            self.ssl_context.context = before
            return super()._connection_arguments()


def read_files_again(client: RedisClient) -> None:
    """Let the connections of a client that has not connected yet read renewed TLS files when they open again."""
    if isinstance(client, Redis):
        if client.connection_pool.connection_class is SSLConnection:
            client.connection_pool.connection_class = _RenewedConnection
        return
    # Nodes that the cluster names are made with the client's options.
    for options in (client.connection_kwargs, client.nodes_manager.connection_kwargs):
        if options["connection_class"] is SSLConnection:
            options["connection_class"] = _RenewedConnection
    for node in client.startup_nodes:
        if node.connection_class is SSLConnection:
            node.connection_class = _RenewedConnection


def tls_options(settings: RedisSettings) -> dict[str, str]:
    """Keyword arguments of `from_url` for TLS; none where the URL asks for none."""
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
