"""The peers of the benchmark keep the figures that the live tables have: otherwise their costs cannot be compared."""

from typing import Any

import redis
from aiokafka import TopicPartition
from redis.asyncio import Redis

from bench.peers.quix.sums import add_up
from bench.peers.tables import PEER_TABLES, Tables, differences, own_tables, peer_tables
from tests.support.applier import TOPIC, applier_of, store_of
from tests.support.records import NOW, FakeRecord, encode


def event(number: int, **others: Any) -> dict[str, Any]:
    """A line as our producer sends it."""
    return {
        "event_id": f"line-{number}",
        "event_time": f"2020-{number % 3 + 4:02d}-0{number % 9 + 1} 11:50:39 UTC",
        "order_id": f"order-{number // 2}",
        "product_id": f"product-{number % 5}",
        "price": f"{number}.0{number % 10}",
        **others,
    }


def events() -> list[dict[str, Any]]:
    """Lines with and without customer, category, quantity and amount."""
    plain = [event(number, user_id=f"customer-{number % 4}") for number in range(20)]
    nested = [event(number, category_code="electronics.audio.headphone") for number in range(20, 40)]
    return [*plain, *nested, event(40, quantity="3"), event(41, quantity="-1", amount="-0.50"), event(42, amount=".5")]


def write_as_a_peer(client: redis.Redis, lines: list[dict[str, Any]], partition: int | None = None) -> None:
    for (table, field), amount in add_up(lines).items():
        client.hincrby(table if partition is None else f"{table}:{partition}", field, amount)


async def our_tables(client: redis.Redis, connection: Redis, lines: list[dict[str, Any]]) -> Tables:
    """The live tables of these lines."""
    records = [FakeRecord(offset, encode(line), timestamp=NOW) for offset, line in enumerate(lines)]
    await applier_of(store_of(connection)).apply(TopicPartition(TOPIC, 0), records)
    return own_tables(client, shards=1)


async def test_a_peer_keeps_our_sums(client: redis.Redis, connection: Redis) -> None:
    lines = events()
    ours = await our_tables(client, connection, lines)
    assert {table for table, _ in ours} == set(PEER_TABLES)
    write_as_a_peer(client, lines)
    assert differences(ours, peer_tables(client)) == []


async def test_partitions_of_a_peer_add_up(client: redis.Redis, connection: Redis) -> None:
    lines = events()
    ours = await our_tables(client, connection, lines)
    write_as_a_peer(client, lines[::2], partition=0)
    write_as_a_peer(client, lines[1::2], partition=1)
    assert differences(ours, peer_tables(client)) == []


async def test_a_line_that_a_peer_lacks_is_seen(client: redis.Redis, connection: Redis) -> None:
    lines = events()
    ours = await our_tables(client, connection, lines)
    write_as_a_peer(client, lines[:-1])
    different = differences(ours, peer_tables(client))
    assert [line.split(":")[0] for line in different] == [
        "category unknown",
        "day 2020-04-07",
        "month 2020-04",
        "product product-2",
    ]
