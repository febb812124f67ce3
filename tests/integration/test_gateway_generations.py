"""The gateway switches to another generation of the tables: whole, not too early, and without showing a line twice."""

from collections.abc import AsyncIterator, Sequence

import msgspec
import pytest
from redis.asyncio import Redis

from services.common.generations import Generation, live_generation, make_live, remember_layout
from services.common.tables import TickerLine
from services.gateway.queries.shards import LiveTables
from services.gateway.stream.ticker import Arrival, TickerPoller

OLD, NEW = Generation("1", 1, "UTC"), Generation("2", 2, "Europe/Berlin")


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    redis = Redis.from_url(redis_url, decode_responses=True)
    yield redis
    await redis.aclose()


@pytest.fixture
def tables(redis: Redis) -> LiveTables:
    return LiveTables(redis, shards=1, time_zone="UTC")


async def mark(redis: Redis, generation: Generation, **marks: int) -> None:
    for keys in generation.keys:
        await redis.hset(keys("marks"), mapping={name: str(mark) for name, mark in marks.items()})


async def sell(redis: Redis, generation: Generation, shard: int, *arrivals: int) -> None:
    """Put lines that arrived at these times into a shard's ticker."""
    for at in arrivals:
        line = TickerLine(at, at, f"order-{at}", None, "p", None, None, None, 100, 1, 100)
        await redis.xadd(generation.keys[shard]("ticker"), {"line": msgspec.json.encode(line).decode()})


async def test_without_a_pointer_the_first_generation_is_live_as_the_settings_say(redis: Redis) -> None:
    assert await live_generation(redis, 3, "UTC") == Generation("1", 3, "UTC")


async def test_a_generation_keeps_what_it_was_built_with(redis: Redis) -> None:
    await remember_layout(redis, OLD)
    assert await live_generation(redis, 3, "Asia/Tokyo") == OLD
    await remember_layout(redis, NEW)
    await make_live(redis, NEW)
    assert await live_generation(redis, 3, "Asia/Tokyo") == NEW


async def test_another_generation_is_read_when_it_has_caught_up(redis: Redis, tables: LiveTables) -> None:
    await mark(redis, OLD, **{"purchases/0": 10, "purchases.dlq/0": 3, "stamp:purchases/0": 1})
    await mark(redis, NEW, **{"purchases/0": 9, "purchases.dlq/0": 3, "stamp:purchases/0": 0})
    await remember_layout(redis, NEW)
    await make_live(redis, NEW)
    reader_before = tables.reader
    await tables.refresh_generation()
    assert tables.reader.generation == OLD
    await mark(redis, NEW, **{"purchases/0": 10})
    await tables.refresh_generation()
    assert tables.reader.generation == NEW
    assert str(tables.reader.generation.zone) == "Europe/Berlin"
    assert reader_before.generation == OLD


async def test_a_generation_that_nobody_writes_is_not_waited_for_long(redis: Redis) -> None:
    now = 0.0
    tables = LiveTables(redis, shards=1, time_zone="UTC", clock=lambda: now)
    await mark(redis, OLD, **{"purchases/0": 10})
    await make_live(redis, NEW)
    await tables.refresh_generation()
    assert tables.reader.generation.name == "1"
    now = 9.9
    await tables.refresh_generation()
    assert tables.reader.generation.name == "1"
    now = 10.1
    await tables.refresh_generation()
    assert tables.reader.generation.name == "2"


@pytest.mark.parametrize("shards", [1, 2])
async def test_the_ticker_announces_only_what_was_not_shown(redis: Redis, tables: LiveTables, shards: int) -> None:
    new = Generation("2", shards, "UTC")
    announced: list[int] = []

    def listen(arrivals: Sequence[Arrival]) -> None:
        announced.extend(arrival.line.arrived_at for arrival in arrivals)

    ticker = TickerPoller(tables)
    ticker.listen(listen)
    await sell(redis, OLD, 0, 1, 2)
    await ticker.refresh()
    await sell(redis, OLD, 0, 3)
    await ticker.refresh()
    seen = ticker.cursor
    await sell(redis, new, 0, 1, 2, 3, 4)
    await remember_layout(redis, new)
    await make_live(redis, new)
    await tables.refresh_generation()
    await ticker.refresh()
    await sell(redis, new, shards - 1, 5)
    await ticker.refresh()
    assert len(ticker.cursor) == shards
    if shards == 1:
        assert announced == [3, 4, 5]
        assert [arrival.line.arrived_at for arrival in ticker.since(seen)] == [4, 5]
    else:  # another number of shards: earlier cursors are invalid
        assert announced == [3, 5]
        assert [arrival.line.arrived_at for arrival in ticker.newest(20)] == [1, 2, 3, 4, 5]
