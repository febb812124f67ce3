"""The live tables on a real Valkey: exact through repeats, shards at different marks, zombies and old snapshots."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import redis
from aiokafka import TopicPartition
from redis.asyncio import Redis

from services.aggregator.archive_reader import ArchiveUnavailable, OffsetRange, PartitionBatches
from services.aggregator.fold import ShardDelta
from services.aggregator.live_generation import LiveGeneration
from services.aggregator.partition_state import RebuildNeeded
from services.aggregator.payload import BatchEffects, OffsetAdvance
from services.aggregator.store import OffsetConflict, ShardState, TableStore
from services.aggregator.sweep import sweep
from services.common.dead_letters import FileOrigin, dead_letter_headers
from services.common.dlq_limits import TooManyInvalidRecords
from services.common.events import Purchase, Reason, Rejected, parse
from services.common.generations import FIRST_GENERATION, Generation, make_live, remember_layout
from services.common.settings import DeadLetterLimits
from services.common.tables import MINUTES_KEPT_SECONDS, PURCHASES_KEPT, shard_keys
from services.common.times import format_time
from tests.support.applier import (
    DLQ,
    TOPIC,
    Crash,
    CrashingStore,
    FakeArchive,
    FakeLog,
    MemorySink,
    applier_of,
    store_of,
)
from tests.support.live_tables import expected, hash_of, held, minutes, scores, stamp, totals
from tests.support.records import NEWEST, NOW, FakeRecord, encode, random_events


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
async def connection(redis_url: str) -> AsyncIterator[Redis]:
    connection = Redis.from_url(redis_url)
    yield connection
    await connection.aclose()


def partitions_of(events: list[dict[str, Any]], seed: int, count: int = 3) -> dict[TopicPartition, list[FakeRecord]]:
    """Events spread by source: a source's rows stay in one partition, in order; opaque ids may go anywhere."""
    dice = random.Random(seed)
    logs: dict[TopicPartition, list[FakeRecord]] = {TopicPartition(TOPIC, n): [] for n in range(count)}
    for event in events:
        numbered = (event["event_id"] or "").startswith("file.csv:")
        log = logs[TopicPartition(TOPIC, 0 if numbered else dice.randrange(count))]
        log.append(FakeRecord(len(log), encode(event), timestamp=NOW))
        if numbered and dice.random() < 0.2:  # the sender repeats itself
            log.append(FakeRecord(len(log), encode(event), timestamp=NOW))
    return logs


def counted(events: list[dict[str, Any]], order_of_arrival: list[FakeRecord]) -> list[Purchase]:
    """Each line once: of equal event ids the first that arrived."""
    seen: set[str] = set()
    lines = []
    for record in order_of_arrival:
        purchase = parse(record.value, NOW)
        assert isinstance(purchase, Purchase)
        if purchase.event_id is None or purchase.event_id not in seen:
            lines.append(purchase)
        if purchase.event_id is not None:
            seen.add(purchase.event_id)
    return lines


def assert_equal(client: redis.Redis, lines: list[Purchase], shards: int | Generation) -> None:
    built = Generation(FIRST_GENERATION, shards, "UTC") if isinstance(shards, int) else shards
    truth = expected(lines)
    assert held(client, truth, built.shards, built.name) == truth
    assert totals(client, built.shards, generation=built.name, name="revenue") == sum(line.revenue for line in lines)
    assert totals(client, built.shards, generation=built.name, name="quantity") == sum(line.quantity for line in lines)
    assert totals(client, built.shards, generation=built.name, name="events") == len(lines)
    assert totals(client, built.shards, generation=built.name, name="orders") == len({line.order_id for line in lines})
    assert totals(client, built.shards, generation=built.name, name="buyers") == len(
        {line.user_id for line in lines} - {None}
    )
    spend = Counter[str]()
    sold = Counter[str]()
    for line in lines:
        sold[line.product_id] += line.revenue
        if line.user_id is not None:
            spend[line.user_id] += line.revenue
    assert ranking(client, built, "spenders") == dict(spend)
    assert ranking(client, built, "products") == dict(sold)


def ranking(client: redis.Redis, built: Generation, table: str) -> dict[str, int]:
    return {member: -score for keys in built.keys for member, score in scores(client, keys(table)).items()}


@pytest.mark.parametrize("shards", [1, 3])
async def test_figures_equal_the_truth(connection: Redis, client: redis.Redis, shards: int) -> None:
    events = random_events(seed=1, count=600)
    applier = applier_of(store_of(connection, shards))
    arrival: list[FakeRecord] = []
    for partition, records in partitions_of(events, seed=2).items():
        assert await applier.apply(partition, records) is None
        arrival += records
    assert_equal(client, counted(events, arrival), shards)


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("seed", range(8))
async def test_exact_through_crashes_at_any_script_call(
    connection: Redis, client: redis.Redis, shards: int, seed: int
) -> None:
    """Each incarnation dies at a random call, possibly between two shards; reading starts from a wrong hint."""
    dice = random.Random(seed)
    events = random_events(seed, count=300)
    # One partition: where several race for an opaque id, the winner depends on who crashed when.
    (partition, records), *_ = partitions_of(events, seed, count=1).items()
    position = 0
    for calls in [*(dice.randrange(6) for _ in range(12)), float("inf")]:
        store = store_of(connection, shards)
        store.calls = calls
        applier = applier_of(store, chunk=20)
        while position < len(records):
            batch = records[position : position + dice.randrange(1, 90)]
            try:
                back_to = await applier.apply(partition, batch)
            except Crash:
                position = dice.randrange(len(records))  # Kafka's committed offset is only a hint
                break
            position = batch[-1].offset + 1 if back_to is None else back_to
    assert_equal(client, counted(events, records), shards)


async def test_a_zombie_changes_nothing(connection: Redis, client: redis.Redis) -> None:
    events = random_events(seed=5, count=200)
    ((partition, records),) = partitions_of(events, seed=5, count=1).items()
    zombie = applier_of(store_of(connection))
    await zombie.apply(partition, records[:50])
    successor = applier_of(store_of(connection))
    await successor.apply(partition, records)
    back_to = await zombie.apply(partition, records[50:100])
    assert back_to == len(records)
    assert_equal(client, counted(events, records), shards=1)


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
    assert_equal(client, counted(events, records), shards=1)


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
    assert_equal(client, counted(events, records), shards=1)


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


async def test_records_that_left_the_log_under_a_running_reader_are_no_gap(
    connection: Redis, client: redis.Redis
) -> None:
    events = random_events(8, 60)
    ((partition, records),) = partitions_of(events, 8, count=1).items()
    log, archive = FakeLog(end=len(records)), FakeArchive()
    applier = applier_of(store_of(connection), log=log, archive=archive)
    await applier.apply(partition, records[:10])
    log.earliest = 30
    assert await applier.apply(partition, records[30:]) == 30
    with pytest.raises(RebuildNeeded, match="records 10 to 29 come next"):
        await applier.realign([partition])
    archive.records = records[:40]
    assert await applier.realign([partition]) == {partition: 30}
    assert await applier.apply(partition, records[30:]) is None
    assert_equal(client, counted(events, records), shards=1)


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
    store = Away(connection, shard_keys(1), event_ids_kept=1000)
    applier = applier_of(store)
    waiting = asyncio.create_task(applier.apply(partition, records[20:]))
    await asyncio.sleep(0.05)
    realigning = asyncio.create_task(applier.realign([partition], lambda: True))
    await asyncio.sleep(0.05)
    store.away = False
    assert await waiting == 10, "and the consumer ignores it: the batch is no longer current"
    assert await realigning == {partition: 10}


async def test_a_log_with_another_record_before_the_mark_is_another_topic(connection: Redis) -> None:
    ((partition, records),) = partitions_of(random_events(8, 60), 8, count=1).items()
    await applier_of(store_of(connection)).apply(partition, records[:10])
    log = FakeLog()
    log.timestamps[9] = NOW + 1
    with pytest.raises(RebuildNeeded, match="another topic"):
        await applier_of(store_of(connection), log=log).apply(partition, records[10:])
    log.holes.add(9)  # compacted away: nothing to compare
    assert await applier_of(store_of(connection), log=log).apply(partition, records[10:]) is None


@pytest.mark.parametrize("shards", [1, 3])
async def test_what_the_log_no_longer_holds_comes_from_the_archive(
    connection: Redis, client: redis.Redis, shards: int
) -> None:
    """It is read by `realign`; a batch of the log that comes before has to wait. No record is applied twice."""
    events = random_events(seed=9, count=300)
    ((partition, records),) = partitions_of(events, 9, count=1).items()
    log, archive = FakeLog(earliest=200, end=len(records)), FakeArchive(records[:230])
    applier = applier_of(store_of(connection, shards), log=log, archive=archive)
    assert await applier.apply(partition, records[200:]) == 200
    assert totals(client, shards, "events") == 0
    assert await applier.realign([partition]) == {partition: 200}
    assert await applier.apply(partition, records[200:]) is None
    assert await applier.realign([partition]) == {}
    assert archive.reads == 1
    assert_equal(client, counted(events, records), shards)


@pytest.mark.parametrize("seed", range(4))
async def test_reading_the_archive_is_exact_through_crashes(connection: Redis, client: redis.Redis, seed: int) -> None:
    """Each incarnation dies at a random call; shards stand at different marks, above and below what the log holds."""
    dice = random.Random(seed)
    events = random_events(seed, count=300)
    ((partition, records),) = partitions_of(events, seed, count=1).items()
    log, archive = FakeLog(earliest=200, end=len(records)), FakeArchive(records[:210])
    for calls in [*(dice.randrange(9) for _ in range(20)), float("inf")]:
        store = store_of(connection, shards=3)
        store.calls = calls
        applier = applier_of(store, log=log, archive=archive, chunk=20)
        try:
            begin = (await applier.realign([partition]))[partition]
            assert await applier.apply(partition, records[begin:]) is None
        except Crash:
            continue
    assert_equal(client, counted(events, records), shards=3)


async def test_an_emptied_redis_is_filled_from_the_archive(connection: Redis, client: redis.Redis) -> None:
    events = random_events(seed=6, count=200)
    ((partition, records),) = partitions_of(events, seed=6, count=1).items()
    log = FakeLog(end=len(records))
    applier = applier_of(store_of(connection), log=log, archive=FakeArchive(records[:150]))
    await applier.apply(partition, records)
    client.flushall()
    log.earliest = 120
    assert await applier.realign([partition]) == {partition: 120}
    await applier.apply(partition, records[120:])
    assert_equal(client, counted(events, records), shards=1)


async def test_a_log_that_ends_before_the_mark_is_another_topic(connection: Redis) -> None:
    ((partition, records),) = partitions_of(random_events(8, 60), 8, count=1).items()
    await applier_of(store_of(connection)).apply(partition, records[:10])
    with pytest.raises(RebuildNeeded, match="another topic"):
        await applier_of(store_of(connection), log=FakeLog(end=3)).apply(partition, records[:1])


async def test_writing_goes_over_to_the_generation_that_is_live(connection: Redis, client: redis.Redis) -> None:
    """With its own shards and marks. A batch for the old tables, deleted by then, does not create them again."""
    events = random_events(8, 120)
    ((partition, records),) = partitions_of(events, 8, count=1).items()
    tables = LiveGeneration(connection, shards=1, time_zone="UTC")
    applier = applier_of(store_of(connection), live=tables.current)
    await applier.apply(partition, records[:60])
    rebuilt = Generation("2", 3, "UTC")
    await applier_of(TableStore(connection, rebuilt.keys, 1000)).apply(partition, records[:40])
    await remember_layout(connection, rebuilt)
    await make_live(connection, rebuilt)
    assert await sweep(connection, keep="2") > 20
    assert await applier.apply(partition, records[60:]) == 40
    assert await applier.apply(partition, records[40:]) is None
    assert_equal(client, counted(events, records), rebuilt)
    left = {str(key).split("}:")[1].strip("'") for key in client.scan_iter(match="tillstream:1:*")}
    assert left <= {"claims", "claims:log"}  # of the batch that was refused; the next rebuild removes them


async def test_an_archive_that_is_away_is_waited_for(connection: Redis, client: redis.Redis) -> None:
    class Away(FakeArchive):
        async def read(self, ranges: Mapping[TopicPartition, OffsetRange]) -> PartitionBatches:
            async for found in super().read(ranges):
                yield found
                if self.reads < 3:
                    raise ArchiveUnavailable("S3 is gone")

    events = random_events(9, 60)
    ((partition, records),) = partitions_of(events, 9, count=1).items()
    archive = Away(records[:40])
    applier = applier_of(store_of(connection), log=FakeLog(earliest=40, end=60), archive=archive)
    assert await applier.realign([partition]) == {partition: 40}
    assert archive.reads == 3
    await applier.apply(partition, records[40:])
    assert_equal(client, counted(events, records), shards=1)


async def test_an_archive_of_another_topic_is_refused(connection: Redis) -> None:
    """The record before the mark has another broker time than the one that was applied there."""
    ((partition, records),) = partitions_of(random_events(9, 60), 9, count=1).items()
    await applier_of(store_of(connection)).apply(partition, records[:10])
    other = [replace(record, timestamp=NOW + 1) for record in records]
    applier = applier_of(store_of(connection), log=FakeLog(earliest=30, end=60), archive=FakeArchive(other))
    with pytest.raises(RebuildNeeded, match="another topic"):
        await applier.realign([partition])


async def test_records_in_neither_kafka_nor_the_archive_are_named(connection: Redis) -> None:
    ((partition, records),) = partitions_of(random_events(9, 60), 9, count=1).items()
    log = FakeLog(earliest=40, end=len(records))
    with pytest.raises(RebuildNeeded, match=r"records 0 to 4 come next.*ACCEPT_MISSING_HISTORY"):
        await applier_of(store_of(connection), log=log, archive=FakeArchive(records[5:40])).realign([partition])
    with pytest.raises(RebuildNeeded, match="records 20 to 39 come next"):
        await applier_of(store_of(connection), log=log, archive=FakeArchive(records[:20])).realign([partition])


async def test_a_hole_within_the_archive_is_never_passed_in_silence(connection: Redis, client: redis.Redis) -> None:
    """An object of the chain is gone: what comes before it is applied, and nothing after it."""
    events = random_events(9, 60)
    ((partition, records),) = partitions_of(events, 9, count=1).items()
    log, archive = FakeLog(earliest=40, end=len(records)), FakeArchive([*records[:14], *records[21:40]])
    with pytest.raises(RebuildNeeded, match=r"records 14 to 20 come next.*ACCEPT_MISSING_HISTORY"):
        await applier_of(store_of(connection), log=log, archive=archive).realign([partition])
    assert_equal(client, counted(events, records[:14]), shards=1)
    archive.records = records[:40]  # restored
    assert await applier_of(store_of(connection), log=log, archive=archive).realign([partition]) == {partition: 40}
    assert_equal(client, counted(events, records[:40]), shards=1)


async def test_records_may_still_be_on_their_way_to_the_archive(connection: Redis, client: redis.Redis) -> None:
    events = random_events(9, 60)
    ((partition, records),) = partitions_of(events, 9, count=1).items()
    archive = FakeArchive(records[:20])
    log = FakeLog(earliest=40, end=len(records))
    applier = applier_of(store_of(connection), log=log, archive=archive, missing_timeout_s=60.0)
    assert await applier.realign([partition]) == {partition: 20}
    archive.records = records[:40]
    assert await applier.realign([partition]) == {partition: 40}
    await applier.apply(partition, records[40:])
    assert_equal(client, counted(events, records), shards=1)


async def test_missing_records_may_be_accepted_and_are_remembered(connection: Redis, client: redis.Redis) -> None:
    events = random_events(9, 60)
    ((partition, records),) = partitions_of(events, 9, count=1).items()
    log, archive = FakeLog(earliest=40, end=len(records)), FakeArchive([*records[5:19], *records[26:30]])
    applier = applier_of(store_of(connection), log=log, archive=archive, accept_missing_history=True)
    assert await applier.realign([partition]) == {partition: 40}
    assert await applier.apply(partition, records[40:]) is None
    there = [*archive.records, *records[40:]]
    assert_equal(client, counted(events, there), shards=1)
    (keys,) = shard_keys(1)
    assert hash_of(client, keys("missing")) == {f"{TOPIC}/0/0": "4", f"{TOPIC}/0/19": "25", f"{TOPIC}/0/30": "39"}


async def test_dead_letters_that_are_gone_do_not_stop_the_figures(connection: Redis, client: redis.Redis) -> None:
    """Their topic is not archived: counting goes on with what there is, and the tables say so."""
    headers = dead_letter_headers(FileOrigin("file.csv", 70), Rejected(Reason.BAD_TIME, ""), "test")
    partition = TopicPartition(DLQ, 0)
    applier = applier_of(store_of(connection), log=FakeLog(earliest=7))
    assert await applier.realign([partition]) == {partition: 7}
    await applier.apply(partition, [FakeRecord(7, headers=headers)])
    (keys,) = shard_keys(1)
    assert hash_of(client, keys("dead_letters")) == {"bad_time": "1"}
    assert hash_of(client, keys("missing")) == {f"{DLQ}/0/0": "6"}


async def test_minutes_are_kept_from_the_floor_on(connection: Redis, client: redis.Redis) -> None:
    """Old ones first, so that they are taken, and then expire as the newest event rises."""
    times = [NEWEST - day * 86_400_000 for day in (30, 20, 8, 7, 6, 1, 0, 9, 0)]
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


async def test_refused_records_go_to_the_dead_letters_and_the_rest_counts(
    connection: Redis, client: redis.Redis
) -> None:
    good = encode(random_events(3, 1)[0])
    records = [FakeRecord(0, b"{"), FakeRecord(1, good, timestamp=NOW), FakeRecord(2, None), FakeRecord(3, b"[]")]
    sink = MemorySink()
    await applier_of(store_of(connection), sink).apply(TopicPartition(TOPIC, 0), records)
    assert sink.offsets == [0, 2, 3]
    assert totals(client, 1, "events") == 1


async def test_too_many_refused_stop_before_their_mark_moves_where_that_is_asked_for(
    connection: Redis, client: redis.Redis
) -> None:
    good = encode(random_events(3, 1)[0] | {"event_id": None})
    records = [FakeRecord(n, good if n < 60 else b"{", timestamp=NOW) for n in range(90)]
    sink, partition = MemorySink(), TopicPartition(TOPIC, 0)
    caps = DeadLetterLimits(dead_letters_max_consecutive=20, dead_letters_halt=True)
    with pytest.raises(TooManyInvalidRecords, match=r"purchases/0: 20 consecutive records are invalid \(not_json\)"):
        await applier_of(store_of(connection), sink, caps=caps).apply(partition, records)
    assert await store_of(connection).marks(f"{TOPIC}/0") == [50]
    assert sink.offsets == []
    await applier_of(store_of(connection), sink).apply(partition, records[50:])
    assert sink.offsets == list(range(60, 90))
    assert totals(client, 1, "events") == 60


async def test_dead_letters_are_counted_once_an_origin(connection: Redis, client: redis.Redis) -> None:
    def dead_letter(offset: int, row: int) -> FakeRecord:
        headers = dead_letter_headers(FileOrigin("f.csv", row), Rejected(Reason.BAD_TIME, ""), "producer")
        return FakeRecord(offset, b"", headers=headers)

    partition = TopicPartition(DLQ, 2)
    await applier_of(store_of(connection, 2)).apply(
        partition, [dead_letter(0, 5), dead_letter(1, 5), dead_letter(2, 6)]
    )
    await applier_of(store_of(connection, 2)).apply(
        partition, [dead_letter(0, 5), dead_letter(3, 6), dead_letter(4, 7)]
    )
    counts = [client.hgetall(keys("dead_letters")) for keys in shard_keys(2)]
    assert sum(int(count) for shard in counts for count in shard.values()) == 3


async def test_an_opaque_id_counts_once_across_partitions_and_restarts(connection: Redis, client: redis.Redis) -> None:
    event = random_events(4, 1)[0] | {"event_id": "3f1c"}
    for partition in range(3):
        applier = applier_of(store_of(connection, 2))
        await applier.apply(TopicPartition(TOPIC, partition), [FakeRecord(0, encode(event), timestamp=NOW)])
    assert totals(client, 2, "events") == 1


async def test_figures_that_would_not_be_exact_are_refused_before_anything_is_written(
    connection: Redis, client: redis.Redis
) -> None:
    store = store_of(connection)
    await store.apply(
        0, OffsetAdvance("t/0", 0, 1), ShardDelta(revenue=2**53 - 1, events=1), BatchEffects({}, 0, [], NOW)
    )
    before = {key: client.dump(key) for key in client.scan_iter()}
    with pytest.raises(redis.ResponseError, match="2\\^53"):
        await store.apply(
            0, OffsetAdvance("t/0", 1, 2), ShardDelta(revenue=100, events=1), BatchEffects({}, 0, [], NOW)
        )
    assert {key: client.dump(key) for key in client.scan_iter()} == before


async def test_claims_are_bounded(connection: Redis, client: redis.Redis) -> None:
    store = TableStore(connection, shard_keys(1), event_ids_kept=10)
    await store.claim({f"id-{n}": f"t/0/{n}" for n in range(25)})
    (keys,) = shard_keys(1)
    assert client.hlen(keys("claims")) == client.llen(keys("claims:log")) == 10
    assert await store.claim({"id-24": "t/9/9", "id-0": "t/9/9"}) == {"id-24": "t/0/24", "id-0": "t/9/9"}


REPLAY = {"event_id": "kz.csv:7:replay", "replay_of": "kz.csv:7"}


def record_of(offset: int, **changes: Any) -> FakeRecord:
    return FakeRecord(offset, encode(random_events(4, 1)[0] | changes), timestamp=NOW)


async def forget_newest_claims(store: TableStore) -> None:
    """Claim so many other ids that no shard's bounded set knows one of those before."""
    await store.claim({f"other-{n}": f"t/0/{n}" for n in range(5000)})


@pytest.mark.parametrize("shards", [1, 3])
async def test_a_replayed_dead_letter_counts_once_for_ever(connection: Redis, client: redis.Redis, shards: int) -> None:
    store = store_of(connection, shards)
    for partition in range(3):
        await applier_of(store).apply(TopicPartition(TOPIC, partition), [record_of(0, **REPLAY)])
        await forget_newest_claims(store)
    assert totals(client, shards, "events") == 1


async def test_a_replay_that_was_claimed_but_not_applied_counts_after_the_crash(
    connection: Redis, client: redis.Redis
) -> None:
    store = store_of(connection)
    store.calls = 0
    with pytest.raises(Crash):
        await applier_of(store).apply(TopicPartition(TOPIC, 0), [record_of(0, **REPLAY)])
    await applier_of(store_of(connection)).apply(TopicPartition(TOPIC, 0), [record_of(0, **REPLAY)])
    assert totals(client, 1, "events") == 1


async def test_a_replay_of_what_its_sender_has_put_right_already_counts_nothing(
    connection: Redis, client: redis.Redis
) -> None:
    """Nor does a second replay, after the sender's own record has left the newest claims."""
    store, sent = store_of(connection), {"event_id": "uuid-1"}
    replay = sent | {"replay_of": "purchases/0/3"}
    await applier_of(store).apply(TopicPartition(TOPIC, 0), [record_of(0, **sent), record_of(1, **replay)])
    await forget_newest_claims(store)
    await applier_of(store).apply(TopicPartition(TOPIC, 0), [record_of(2, **replay)])
    assert totals(client, 1, "events") == 1


async def test_what_was_replayed_counts_nothing_when_its_sender_sends_it_later(
    connection: Redis, client: redis.Redis
) -> None:
    store, sent = store_of(connection), {"event_id": "uuid-1"}
    replay = sent | {"replay_of": "purchases/0/3"}
    await applier_of(store).apply(TopicPartition(TOPIC, 0), [record_of(0, **replay)])
    await forget_newest_claims(store)
    await applier_of(store).apply(TopicPartition(TOPIC, 0), [record_of(1, **sent)])
    assert totals(client, 1, "events") == 1


async def test_a_replay_under_the_id_of_its_row_is_no_repeat_of_later_rows(
    connection: Redis, client: redis.Redis
) -> None:
    later, replay = {"event_id": "kz.csv:9"}, {"event_id": "kz.csv:7", "replay_of": "kz.csv:7"}
    records = [record_of(0, **later), record_of(1, **replay), record_of(2, **replay), record_of(3, event_id="kz.csv:8")]
    await applier_of(store_of(connection)).apply(TopicPartition(TOPIC, 0), records)
    assert totals(client, 1, "events") == 2


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
    touched = {key.decode() for key in client.scan_iter()} - {
        key for keys in shard_keys(1) for key in (keys("claims"), keys("claims:log"))
    }
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
    change = BatchEffects({"s": 1}, 0, [], NOW)
    with pytest.raises(OffsetConflict):
        await store.apply(0, OffsetAdvance("t/0", 7, 9), ShardDelta(revenue=5, events=1), change)
    assert client.dbsize() == 0
    await store.apply(0, OffsetAdvance("t/0", 0, 9), ShardDelta(), change)
    assert await store.load("t/0") == [ShardState(9, {"s": 1}, NOW)]
