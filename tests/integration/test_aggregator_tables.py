"""The live tables on a real Valkey: exact through repeats, shards at different marks, zombies and old snapshots."""

import asyncio
import random
from collections import Counter
from datetime import UTC, datetime
from typing import Any, cast

import pytest
import redis
from aiokafka import TopicPartition
from redis.asyncio import Redis

from services.aggregator.budgets import NameLimits
from services.aggregator.fold import ShardDelta
from services.aggregator.groups import shard_of
from services.aggregator.live_generation import LiveGeneration
from services.aggregator.payload import BatchEffects, OffsetAdvance
from services.aggregator.store import BatchRefused, OffsetConflict, ShardState, TableStore
from services.aggregator.sweep import sweep
from services.common.categories import OTHER
from services.common.event_clock import watermark_of
from services.common.generations import Generation, built_key, make_live, remember_layout
from services.common.tables import MINUTES_KEPT_SECONDS, PURCHASES_KEPT, shard_keys
from services.common.times import format_time
from tests.support.applied_figures import assert_equal, counted, partitions_of, ranking
from tests.support.applier import TOPIC, Crash, CrashingStore, FakeLog, MemorySink, applier_of, store_of
from tests.support.live_tables import held, minutes, scores, stamp, totals
from tests.support.records import NEWEST, NOW, FakeRecord, encode, random_events


@pytest.mark.parametrize("shards", [1, 3])
async def test_figures_equal_the_truth(connection: Redis, client: redis.Redis, shards: int) -> None:
    events = random_events(seed=1, count=600)
    applier = applier_of(store_of(connection, shards))
    arrival: list[FakeRecord] = []
    for partition, records in partitions_of(events, seed=2).items():
        assert await applier.apply(partition, records) is None
        arrival += records
    assert_equal(client, counted(arrival), shards)


@pytest.mark.parametrize("ahead", [False, True])
@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("seed", range(6))
async def test_exact_through_crashes_at_any_script_call(
    connection: Redis, client: redis.Redis, seed: int, shards: int, ahead: bool
) -> None:
    """Each incarnation dies at a random call, possibly between two shards; reading starts from a wrong hint.

    With `ahead` the last calls of a batch are in flight while the next one, of another partition, is prepared.
    """
    dice = random.Random(seed)
    logs = partitions_of(random_events(seed, count=300), seed)
    ends = {partition: len(records) for partition, records in logs.items()}
    position = dict.fromkeys(logs, 0)
    for calls in [*(dice.randrange(9) for _ in range(20)), float("inf")]:
        store = store_of(connection, shards)
        store.calls = calls
        applier = applier_of(store, chunk=20)
        try:
            while position != ends or (position := position | await applier.realign([*logs])) != ends:
                partition = dice.choice([each for each, end in ends.items() if position[each] < end])
                batch = logs[partition][position[partition] :][: dice.randrange(1, 90)]
                back_to = await applier.apply(partition, batch, ahead=ahead)
                position[partition] = batch[-1].offset + 1 if back_to is None else back_to
                if not dice.randrange(4):
                    position |= await applier.realign([*logs])
        except Crash:
            position = {each: dice.randrange(end) for each, end in ends.items()}  # committed offsets are hints
    assert_equal(client, counted(record for records in logs.values() for record in records), shards)


async def test_calls_that_fail_in_flight_are_made_again(connection: Redis, client: redis.Redis) -> None:
    """Another aggregator has applied the batch that is in flight; then the one behind it finds another mark."""
    logs = partitions_of(random_events(5, 200), 5, count=2)
    (one, first), (two, second) = logs.items()
    applier = applier_of(store_of(connection))
    await applier.apply(one, first[:20])
    await applier_of(store_of(connection)).apply(one, first[:60])
    assert await applier.apply(one, first[20:40], ahead=True) is None
    assert await applier.apply(two, second[:50], ahead=True) is None
    assert await applier.realign([one, two]) == {one: 60}
    await applier_of(store_of(connection)).apply(two, second[:70])
    await applier.apply(one, first[60:80], ahead=True)
    assert await applier.apply(two, second[50:60], ahead=True) is None
    assert await applier.apply(one, first[80:], ahead=True) == 80, "what was prepared behind it is dropped"
    assert await applier.realign([one, two]) == {two: 70}
    await applier.apply(one, first[80:], ahead=True)
    await applier.apply(two, second[70:])
    assert_equal(client, counted([*first, *second]), shards=1)


async def test_a_zombie_changes_nothing(connection: Redis, client: redis.Redis) -> None:
    events = random_events(seed=5, count=200)
    ((partition, records),) = partitions_of(events, seed=5, count=1).items()
    zombie = applier_of(store_of(connection))
    await zombie.apply(partition, records[:50])
    successor = applier_of(store_of(connection))
    await successor.apply(partition, records)
    back_to = await zombie.apply(partition, records[50:100])
    assert back_to == len(records)
    assert_equal(client, counted(records), shards=1)


async def test_an_older_snapshot_is_healed_by_reading_again(connection: Redis, client: redis.Redis) -> None:
    events = random_events(seed=6, count=200)
    ((partition, records),) = partitions_of(events, seed=6, count=1).items()
    applier = applier_of(store_of(connection))
    await applier.apply(partition, records[:60])
    snapshot = {key: client.dump(key) for key in client.scan_iter()}
    await applier.apply(partition, records[60:])
    client.flushall()
    for key, value in snapshot.items():
        assert value is not None
        client.restore(key, 0, value)
    moved = await applier.realign([partition])
    assert moved == {partition: 60}
    assert await applier.realign([partition]) == {}
    await applier.apply(partition, records[60:])
    assert_equal(client, counted(records), shards=1)


async def test_a_batch_that_was_under_way_when_redis_went_back_is_no_gap_in_the_log(
    connection: Redis, client: redis.Redis
) -> None:
    """It waits for the lock while the marks are read again; what lies between must not be skipped."""
    events = random_events(seed=6, count=200)
    ((partition, records),) = partitions_of(events, seed=6, count=1).items()
    applier = applier_of(store_of(connection))
    await applier.apply(partition, records[:60])
    snapshot = {key: client.dump(key) for key in client.scan_iter()}
    await applier.apply(partition, records[60:100])
    client.flushall()
    for key, value in snapshot.items():
        assert value is not None
        client.restore(key, 0, value)
    moved, back_to = await asyncio.gather(applier.realign([partition]), applier.apply(partition, records[100:]))
    assert (moved, back_to) == ({partition: 60}, 60)
    await applier.apply(partition, records[60:])
    assert_equal(client, counted(records), shards=1)


async def test_reading_goes_back_over_a_gap_and_accepts_one_in_the_log(connection: Redis) -> None:
    ((partition, records),) = partitions_of(random_events(7, 60), 7, count=1).items()
    log = FakeLog()
    applier = applier_of(store_of(connection), log=log)
    assert await applier.apply(partition, records[10:]) == 0  # the hint was ahead of the mark
    assert await applier.apply(partition, records[15:]) == 0  # reading has not gone back yet
    assert await applier.apply(partition, records[:10]) is None
    assert await applier.apply(partition, records[20:]) == 10  # the consumer was repositioned by somebody else
    log.holes = set(range(10, 20))
    assert await applier.apply(partition, records[20:]) is None
    assert await store_of(connection).marks(f"{TOPIC}/0") == [records[-1].offset + 1]


async def test_a_batch_from_before_a_rebalance_that_waited_for_redis_leaves_no_partition_behind(
    connection: Redis,
) -> None:
    """Positions were set to committed offsets meanwhile, past the marks of a Redis that came back older: seed 41079."""

    class Away(CrashingStore):
        away = True

        async def load(self, partition: str) -> list[ShardState]:
            if self.away:
                raise redis.ConnectionError("away")
            return await super().load(partition)

    ((partition, records),) = partitions_of(random_events(8, 60), 8, count=1).items()
    await applier_of(store_of(connection)).apply(partition, records[:10])
    store = Away(connection, shard_keys(1))
    applier = applier_of(store)
    waiting = asyncio.create_task(applier.apply(partition, records[20:]))
    await asyncio.sleep(0.05)
    realigning = asyncio.create_task(applier.realign([partition], lambda: True))
    await asyncio.sleep(0.05)
    store.away = False
    assert await waiting == 10, "and the consumer ignores it: the batch is no longer current"
    assert await realigning == {partition: 10}


async def test_writing_goes_over_to_the_generation_that_is_live(connection: Redis, client: redis.Redis) -> None:
    """With its own shards and marks. A batch for the old tables, deleted by then, does not create them again."""
    events = random_events(8, 120)
    ((partition, records),) = partitions_of(events, 8, count=1).items()
    tables = LiveGeneration(connection, shards=1, time_zone="UTC")
    applier = applier_of(store_of(connection), live=tables.current)
    await applier.apply(partition, records[:60])
    rebuilt = Generation("2", 3, "UTC")
    await applier_of(TableStore(connection, rebuilt.keys)).apply(partition, records[:40])
    await remember_layout(connection, rebuilt)
    await make_live(connection, rebuilt)
    assert await sweep(connection, keep="2") > 20
    assert await applier.apply(partition, records[60:]) == 40
    assert await applier.apply(partition, records[40:]) is None
    assert_equal(client, counted(records), rebuilt)
    assert not list(client.scan_iter(match="tillstream:1:*"))


@pytest.mark.parametrize("shards", [1, 3])
async def test_names_over_budget_are_counted_under_other(connection: Redis, client: redis.Redis, shards: int) -> None:
    """Names that were there before stay by name; figures under `other` are exact, and a restart changes nothing."""
    events = [
        event | {"brand": f"b{n % 50}", "category_code": f"c{n % 40}", "product_id": f"p{n % 60}", "event_id": f"e{n}"}
        for n, event in enumerate(random_events(5, 600))
    ]
    records = [FakeRecord(n, encode(event), timestamp=NOW) for n, event in enumerate(events)]
    limits = NameLimits(brands=10, categories=5, products=7)
    for start in range(0, 600, 200):
        applier = applier_of(store_of(connection, shards), chunk=30, names=limits)
        await applier.apply(TopicPartition(TOPIC, 0), records[start : start + 200])
    lines = counted(records)
    revenue = sum(line.revenue for line in lines)
    for table, most in (("brands", 10), ("categories", 5)):
        (held_names,) = held(client, [table], shards).values()
        assert OTHER in held_names
        assert len({name for name, figures in held_names.items() if figures.quantity}) <= most + 1
        assert sum(figures.revenue for figures in held_names.values()) == revenue
    products = ranking(client, Generation("1", shards, "UTC"), "products")
    assert (sum(products.values()), OTHER in products) == (revenue, True)
    assert len(products) <= shards * (7 + 1)
    by_name = [line for line in lines if line.brand == "b0"]
    assert held(client, ["brands"], shards)["brands"]["b0"].revenue == sum(line.revenue for line in by_name)
    assert totals(client, shards, "events") == len(lines)


async def test_tables_of_an_older_version_stay_as_they_are_until_a_rebuild(
    connection: Redis, client: redis.Redis
) -> None:
    """They recognised repeats by another rule. The aggregator waits, and writes the new generation once it is live."""
    records = partitions_of(random_events(8, 60), 8, count=1)[TopicPartition(TOPIC, 0)]
    (keys,) = shard_keys(1)
    client.hset(built_key("1"), mapping={"shards": 1, "time_zone": "UTC"})
    client.hset(keys("marks"), f"{TOPIC}/0", 40)
    before = {key: client.dump(key) for key in client.scan_iter()}
    tables = LiveGeneration(connection, shards=1, time_zone="UTC")
    applier = applier_of(store_of(connection), live=tables.current)
    waiting = asyncio.create_task(applier.apply(TopicPartition(TOPIC, 0), records[40:]))
    await asyncio.sleep(0.5)
    assert not waiting.done()
    assert {key: client.dump(key) for key in client.scan_iter()} == before
    rebuilt = Generation("2", 1, "UTC")
    await remember_layout(connection, rebuilt)
    await applier_of(TableStore(connection, rebuilt.keys)).apply(TopicPartition(TOPIC, 0), records[:50])
    await make_live(connection, rebuilt)
    assert await waiting is None
    assert_equal(client, counted(records), rebuilt)


async def test_minutes_are_kept_from_the_floor_on(connection: Redis, client: redis.Redis) -> None:
    """Old ones first, so that they are taken, and then expire as the newest event rises."""
    times = [NEWEST - day * 86_400_000 for day in (30, 20, 8, 7, 6, 1, *[0] * 20, 9, 0)]
    events = [{"event_time": format_time(at), "order_id": "o", "product_id": "p", "price": "1.00"} for at in times]
    records = [FakeRecord(offset, encode(event), timestamp=NOW) for offset, event in enumerate(events)]
    await applier_of(store_of(connection), chunk=1).apply(TopicPartition(TOPIC, 0), records)
    floor = NEWEST // 60_000 * 60 - MINUTES_KEPT_SECONDS
    assert totals(client, 1, "minute_floor") == floor
    kept = Counter(at // 60_000 * 60 for at in times if at // 60_000 * 60 >= floor)
    assert {minute: figures.quantity for minute, figures in minutes(client, 1).items()} == dict(kept)
    assert totals(client, 1, "quantity") == len(times)
    days = {key.decode().rpartition(":")[2] for key in client.scan_iter(match="*sales:minute:*")}
    assert min(days) >= format_time(floor * 1000)[:10]


async def test_one_event_of_another_year_moves_no_floor_and_no_present(connection: Redis, client: redis.Redis) -> None:
    """Nineteen of them, each in a batch of its own, before and after a restart; the twentieth is a new present."""
    year_ago = NEWEST - 365 * 86_400_000
    times = [*(year_ago + minute * 60_000 for minute in range(40)), *[NEWEST] * 20]
    events = [{"event_time": format_time(at), "order_id": "o", "product_id": "p", "price": "1.00"} for at in times]
    records = [FakeRecord(offset, encode(event), timestamp=NOW) for offset, event in enumerate(events)]
    partition = TopicPartition(TOPIC, 0)
    (keys,) = shard_keys(1)

    def present() -> int:
        found = cast(list[tuple[bytes, float]], client.zrange(keys("newest_events"), 0, -1, withscores=True))
        return watermark_of(int(at) for _, at in found)

    for start, end in ((0, 40), (40, 50), (50, 59)):
        applier = applier_of(store_of(connection), chunk=3)
        await applier.apply(partition, records[start:end])
        floor = times[39] // 60_000 * 60 - MINUTES_KEPT_SECONDS
        assert totals(client, 1, "minute_floor") == floor
        assert present() == times[39]
    assert len([minute for minute in minutes(client, 1) if minute < NEWEST // 1000 - 86_400]) == 40
    await applier_of(store_of(connection)).apply(partition, records[59:])
    assert totals(client, 1, "minute_floor") == NEWEST // 60_000 * 60 - MINUTES_KEPT_SECONDS
    assert present() == NEWEST
    assert client.zcard(keys("newest_events")) == 20


async def test_a_figure_that_would_not_be_exact_is_refused_before_anything_is_written(
    connection: Redis, client: redis.Redis
) -> None:
    store = store_of(connection)
    await store.apply(0, OffsetAdvance("t/0", 0, 1), ShardDelta(revenue=2**53 - 1, events=1), BatchEffects(NOW))
    before = {key: client.dump(key) for key in client.scan_iter()}
    with pytest.raises(BatchRefused, match="revenue would exceed 2\\^53"):
        await store.apply(0, OffsetAdvance("t/0", 1, 2), ShardDelta(revenue=100, events=1), BatchEffects(NOW))
    assert {key: client.dump(key) for key in client.scan_iter()} == before


@pytest.mark.parametrize("places", [*([place] for place in range(0, 60, 7)), [0, 1, 2, 3, 30, 31, 58, 59]])
async def test_records_that_cannot_be_applied_are_dead_letters_and_the_others_count(
    connection: Redis, client: redis.Redis, places: list[int]
) -> None:
    """In each part of a batch, and next to each other: a product whose table is damaged, in Redis itself."""
    records = [FakeRecord(n, encode(event), timestamp=NOW) for n, event in enumerate(random_events(9, 60))]
    for place in places:
        poison = random_events(10, 1)[0] | {"product_id": "damaged", "event_id": f"poison {place}"}
        records[place] = FakeRecord(place, encode(poison), timestamp=NOW)
    (keys,) = shard_keys(1)
    client.set(keys("product:damaged"), "no hash")
    sink = MemorySink()
    applier = applier_of(store_of(connection), sink, chunk=25)
    assert await applier.apply(TopicPartition(TOPIC, 0), records) is None
    assert (sink.offsets, {*sink.reasons}) == (places, {"cannot_apply"})
    client.delete(keys("product:damaged"))
    assert_equal(client, counted(record for record in records if record.offset not in places), shards=1)


@pytest.mark.parametrize("full", range(3))
async def test_a_line_that_one_shard_refuses_counts_in_none(connection: Redis, client: redis.Redis, full: int) -> None:
    """Whichever shard has the product whose sum is full: nothing of the line stays in another shard."""
    product = next(name for name in map(str, range(99)) if shard_of(name, 3) == full)
    events = [event | {"product_id": product, "quantity": 1} for event in random_events(9, 4)]
    records = [FakeRecord(n, encode(event), timestamp=NOW) for n, event in enumerate(events)]
    partition, key = TopicPartition(TOPIC, 0), shard_keys(3)[full](f"product:{product}")
    await applier_of(store_of(connection, 3)).apply(partition, records[:1])
    client.hset(key, "total", f"{2**52} 1 1")
    await applier_of(store_of(connection, 3)).apply(partition, records[1:2])  # the sum passes half of what is exact
    client.hset(key, "total", f"{2**53 - 1} 1 1")
    before = _figures(client)
    sink = MemorySink()
    await applier_of(store_of(connection, 3), sink).apply(partition, records[2:])
    assert (sink.offsets, {*sink.reasons}) == ([2, 3], {"cannot_apply"})
    assert _figures(client) == before


async def test_a_sum_between_both_limits_stops_nothing_that_adds_nothing(
    connection: Redis, client: redis.Redis
) -> None:
    """Two partitions may both pass the check, and leave a sum that no further sale passes. Repeats and returns do."""
    event = random_events(9, 1)[0] | {"quantity": 1, "price": "2.00"}
    back = event | {"quantity": -1, "event_id": "back"}
    records = [FakeRecord(n, encode(each), timestamp=NOW) for n, each in enumerate([event, event, back, event])]
    partition, home = TopicPartition(TOPIC, 0), shard_keys(3)[0]("totals")
    await applier_of(store_of(connection, 3)).apply(partition, records[:1])
    client.hset(home, mapping={"revenue": 2**53 - 2**46, "near_limit": 1})
    sink = MemorySink()
    applier = applier_of(store_of(connection, 3), sink)
    assert await applier.apply(partition, records[1:]) is None
    assert (applier.next_offset(partition), sink.rejected) == (4, [])
    assert client.hget(home, "revenue") == b"%d" % (2**53 - 2**46 - 200)


def _figures(client: redis.Redis) -> dict[bytes, bytes | None]:
    """Every key but those that say how far the log is applied."""
    keys = cast(list[bytes], list(client.scan_iter()))
    return {key: client.dump(key) for key in keys if not key.endswith((b":marks", b"/0"))}


@pytest.mark.parametrize(("shards", "count"), [(1, 400), (3, 40)])
async def test_a_long_run_of_records_that_cannot_be_applied_stops_nothing(
    connection: Redis, client: redis.Redis, shards: int, count: int
) -> None:
    """As where a sum has reached what the tables can hold; more of them than Python's calls may be deep."""
    poison = random_events(10, 1)[0] | {"product_id": "damaged"}
    records = [FakeRecord(n, encode(poison | {"event_id": f"poison {n}"}), timestamp=NOW) for n in range(count)]
    records.append(FakeRecord(count, encode(random_events(9, 1)[0]), timestamp=NOW))
    client.set(shard_keys(shards)[shard_of("damaged", shards)]("product:damaged"), "no hash")
    sink = MemorySink()
    applier = applier_of(store_of(connection, shards), sink)
    assert await applier.apply(TopicPartition(TOPIC, 0), records) is None
    assert sink.offsets == list(range(count))
    assert applier.next_offset(TopicPartition(TOPIC, 0)) == len(records)


async def test_tables_that_cannot_be_written_at_all_blame_no_record(connection: Redis, client: redis.Redis) -> None:
    """The aggregator waits, and goes on once they can be written again."""
    records = [FakeRecord(n, encode(event), timestamp=NOW) for n, event in enumerate(random_events(9, 30))]
    (keys,) = shard_keys(1)
    client.set(keys("totals"), "no hash")
    sink = MemorySink()
    waiting = asyncio.create_task(applier_of(store_of(connection), sink).apply(TopicPartition(TOPIC, 0), records))
    await asyncio.sleep(1)
    assert not waiting.done()
    assert sink.rejected == []
    client.delete(keys("totals"))
    assert await waiting is None
    assert_equal(client, counted(records), shards=1)


async def test_a_customer_s_history_is_the_newest_by_event_time(connection: Redis, client: redis.Redis) -> None:
    event = random_events(4, 1)[0] | {"event_id": None, "user_id": "u"}
    dice = random.Random(1)
    times = [NEWEST - dice.randrange(10**8) * 1000 for _ in range(PURCHASES_KEPT + 30)]
    records = [
        FakeRecord(offset, encode(event | {"event_time": format_time(at)}), timestamp=NOW)
        for offset, at in enumerate(times)
    ]
    await applier_of(store_of(connection)).apply(TopicPartition(TOPIC, 0), records)
    (keys,) = shard_keys(1)
    assert list(scores(client, keys("purchases:u")).values()) == sorted(times)[-PURCHASES_KEPT:]
    assert client.hget(keys("user:u"), "first_seen") == str(min(times)).encode()
    assert client.hget(keys("user:u"), "last_seen") == str(max(times)).encode()


async def test_every_key_that_the_script_touches_is_declared(
    connection: Redis, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cluster refuses a script that touches a key it did not declare; a single server does not notice."""
    declared: set[str] = set()
    store = store_of(connection)
    script = store._apply

    async def recording(keys: list[str], args: list[bytes]) -> Any:
        declared.update(keys)
        return await script(keys=keys, args=args)

    monkeypatch.setattr(store, "_apply", recording)
    for partition, records in partitions_of(random_events(2, 300), 2).items():
        await applier_of(store).apply(partition, records)
    touched = {key.decode() for key in client.scan_iter()}
    assert touched <= declared
    assert len({key[key.index("{") : key.index("}")] for key in declared}) == 1


async def test_a_month_holds_what_its_days_hold(connection: Redis, client: redis.Redis) -> None:
    """Bucket names are UTC seconds of the local start; the reader relies on it."""
    event = {"event_time": "2020-04-24 11:50:39 UTC", "order_id": "o", "product_id": "p", "price": "162.01"}
    await applier_of(store_of(connection)).apply(
        TopicPartition(TOPIC, 0), [FakeRecord(0, encode(event), timestamp=NOW)]
    )
    (keys,) = shard_keys(1)
    april = stamp(datetime(2020, 4, 1, tzinfo=UTC))
    assert client.hgetall(keys("sales:month:all")) == {april.encode(): b"16201 1 1"}


async def test_the_script_refuses_an_unexpected_mark_without_effect(connection: Redis, client: redis.Redis) -> None:
    store = store_of(connection)
    change = BatchEffects(NOW, {"s": 1})
    with pytest.raises(OffsetConflict):
        await store.apply(0, OffsetAdvance("t/0", 7, 9), ShardDelta(revenue=5, events=1), change)
    assert client.dbsize() == 0
    await store.apply(0, OffsetAdvance("t/0", 0, 9), ShardDelta(), change)
    assert await store.load("t/0") == [ShardState(9, 9, {"s": 1}, NOW)]
