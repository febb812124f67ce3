"""Redis under the aggregator: a primary that becomes a replica, and a server that may evict keys."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis
from aiokafka import TopicPartition
from redis.asyncio import Redis

from local.engines.valkey import ValkeyEngine
from local.ports import LOOPBACK, free_port
from services.aggregator.eviction import CHECK, EvictingRedis, EvictionGuard
from services.aggregator.redis_load import RedisLoad
from services.common.telemetry import Health
from tests.faults.proxy import Proxy
from tests.support.applied_figures import assert_equal, counted
from tests.support.applier import TOPIC, applier_of, store_of
from tests.support.engines import running
from tests.support.metrics import gauge, growth
from tests.support.polling import eventually
from tests.support.records import NOW, FakeRecord, encode, random_events


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[redis.Redis, redis.Redis]]:
    """Two servers; the second one is a replica of the first."""
    with ExitStack() as stack:
        clients = []
        for name in ("first", "second"):
            (tmp_path / name).mkdir()
            engine = ValkeyEngine(tmp_path / name, tmp_path / f"{name}.log", free_port(), durable=False)
            stack.enter_context(running(engine))
            clients.append(stack.enter_context(redis.Redis.from_url(engine.address)))
        first, second = clients
        second.replicaof(LOOPBACK, str(port_of(first)))
        yield first, second


def port_of(client: redis.Redis) -> int:
    return int(client.connection_pool.connection_kwargs["port"])


async def test_a_failover_leaves_no_connection_to_the_old_primary(pair: tuple[redis.Redis, redis.Redis]) -> None:
    """It is a replica by then and answers READONLY. The address leads to the new primary, but only for who asks."""
    first, second = pair
    proxy = Proxy(port_of(first))
    proxy.start()
    connection = Redis.from_url(f"redis://{LOOPBACK}:{proxy.port}/0")
    try:
        records = [FakeRecord(n, encode(event), timestamp=NOW) for n, event in enumerate(random_events(9, 60))]
        applier = applier_of(store_of(connection))
        await applier.apply(TopicPartition(TOPIC, 0), records[:30])

        async def replicated() -> bool:
            return bool(second.dbsize() == first.dbsize() and second.info("replication")["master_link_status"] == "up")

        await eventually(replicated, "the replica has everything")
        second.replicaof("NO", "ONE")
        first.replicaof(LOOPBACK, str(port_of(second)))
        proxy.lead_to(port_of(second))
        async with asyncio.timeout(60):
            assert await applier.apply(TopicPartition(TOPIC, 0), records[30:]) is None
        assert_equal(second, counted(records), shards=1)
    finally:
        await connection.aclose()
        proxy.stop()


@pytest.fixture
def evicting(client: redis.Redis) -> Iterator[None]:
    client.config_set("maxmemory-policy", "allkeys-lru")
    yield
    client.config_set("maxmemory-policy", "noeviction")


@pytest.mark.usefixtures("evicting")
async def test_a_server_that_may_evict_keys_is_refused_at_the_start(connection: Redis) -> None:
    with pytest.raises(EvictingRedis, match=r"maxmemory-policy allkeys-lru.*CONFIG SET maxmemory-policy noeviction"):
        await EvictionGuard(connection, Health("test")).require_none()


async def test_a_server_that_evicts_nothing_is_accepted_and_one_that_is_away_is_looked_at_later(
    connection: Redis,
) -> None:
    await EvictionGuard(connection, Health("test")).require_none()
    away = Redis.from_url(f"redis://{LOOPBACK}:{free_port()}/0")
    await EvictionGuard(away, Health("test")).require_none()
    await away.aclose()


async def test_a_policy_that_changes_while_running_is_shown_and_ends(
    connection: Redis, client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    health = Health("test", checks=(CHECK,))
    watching = asyncio.create_task(EvictionGuard(connection, health, every_s=0.02).watch())

    async def ready(wanted: bool) -> None:
        async def is_so() -> bool:
            return health.ready is wanted

        await eventually(is_so, f"ready is {wanted}")

    try:
        await ready(True)
        with caplog.at_level(logging.ERROR):
            client.config_set("maxmemory-policy", "allkeys-lru")
            await ready(False)
        assert "allkeys-lru" in str(health.describe())
        assert "make rebuild" in caplog.text
        client.config_set("maxmemory-policy", "noeviction")
        await ready(True)
    finally:
        client.config_set("maxmemory-policy", "noeviction")
        watching.cancel()


async def test_the_load_is_what_the_server_says(connection: Redis) -> None:
    load = RedisLoad(connection)
    await load.look()
    calls, seconds = (growth(f"redis_script_{count}_total", node="redis") for count in ("calls", "seconds"))
    applier = applier_of(store_of(connection))
    await applier.apply(TopicPartition(TOPIC, 0), [FakeRecord(0, encode(random_events(3, 1)[0]), timestamp=NOW)])
    await load.look()
    assert calls() > 0
    assert 0 < seconds() < 1
    assert (gauge("redis_memory_used_bytes", node="redis") or 0) > 100_000
    assert 0 < (gauge("redis_script_p99_seconds", node="redis") or 0) < 1
