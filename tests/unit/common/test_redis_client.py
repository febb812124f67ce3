"""The Redis client is the one that the settings ask for."""

from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis, SSLConnection
from redis.asyncio.cluster import ClusterNode, RedisCluster

from services.common.redis_client import connect
from services.common.settings import RedisSettings
from services.gateway.queries.shards import open_live_tables
from tests.support.certificates import Authority


async def test_one_server() -> None:
    client = connect(RedisSettings(redis_url="redis://shop:7000/3"), socket_timeout=2.5)
    assert isinstance(client, Redis)
    options = client.connection_pool.connection_kwargs
    assert (options["host"], options["port"], options["db"]) == ("shop", 7000, 3)
    assert options["socket_timeout"] == 2.5
    await client.aclose()


async def test_a_cluster() -> None:
    client = connect(RedisSettings(redis_url="redis://shop:7000", redis_cluster=True))
    assert isinstance(client, RedisCluster)
    await client.aclose()


def tls_settings(folder: Path, **given: Any) -> tuple[RedisSettings, Path]:
    """Settings with a client's certificate, and the file of it."""
    files = Authority(folder).issue("client")
    assert files.cert is not None
    paths: dict[str, Any] = {"redis_ca_file": files.ca, "redis_cert_file": files.cert, "redis_key_file": files.key}
    return RedisSettings(redis_url="rediss://shop:7000", **paths, **given), files.cert


def connection_of(client: Any) -> Any:
    """One of its pool, not opened."""
    return client.connection_pool.make_connection()


async def test_a_connection_that_opens_again_reads_its_files_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings, cert = tls_settings(tmp_path)
    client = connect(settings)
    connection = connection_of(client)
    first, second = (connection._connection_arguments()["ssl"] for _ in range(2))
    assert second is not first
    cert.write_text("half a certificate")
    assert connection._connection_arguments()["ssl"] is second
    assert "TLS files of Redis" in caplog.text
    await client.aclose()


async def test_without_former_files_a_broken_one_is_an_error(tmp_path: Path) -> None:
    settings, cert = tls_settings(tmp_path)
    client = connect(settings)
    cert.write_text("half a certificate")
    with pytest.raises(OSError, match="PEM"):
        connection_of(client)._connection_arguments()
    await client.aclose()


async def test_so_do_those_of_a_cluster_and_of_the_gateway(tmp_path: Path) -> None:
    settings, _cert = tls_settings(tmp_path)
    one = connect(settings)
    assert isinstance(one, Redis)
    renewed = one.connection_pool.connection_class
    assert renewed is not SSLConnection
    tables = open_live_tables(settings, "UTC")
    assert isinstance(tables._redis, Redis)
    assert tables._redis.connection_pool.connection_class is renewed
    cluster = connect(settings.model_copy(update={"redis_cluster": True}))
    assert isinstance(cluster, RedisCluster)
    named = ClusterNode("127.0.0.1", 7001, **cluster.nodes_manager.connection_kwargs)
    assert [node.connection_class for node in (*cluster.startup_nodes, named)] == [renewed] * 2
    for client in (one, tables._redis, cluster):
        await client.aclose()
