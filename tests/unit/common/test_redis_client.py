"""The Redis client is the one that the settings ask for."""

from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster

from services.common.redis_client import connect
from services.common.settings import RedisSettings


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
