"""Records that have expired from Kafka come from the archive; another log and missing records are errors."""

import random
from collections.abc import Mapping
from dataclasses import replace

import pytest
import redis
from aiokafka import TopicPartition
from redis.asyncio import Redis

from services.aggregator.archive_reader import ArchiveUnavailable, OffsetRange, PartitionBatches
from services.aggregator.partition_state import RebuildNeeded
from services.common.dead_letters import FileOrigin, dead_letter_headers
from services.common.events import Reason, Rejected
from services.common.tables import shard_keys
from tests.support.applied_figures import assert_equal, counted, partitions_of
from tests.support.applier import DLQ, TOPIC, Crash, FakeArchive, FakeLog, applier_of, store_of
from tests.support.live_tables import hash_of, totals
from tests.support.records import NOW, FakeRecord, random_events


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
    assert_equal(client, counted(records), shards=1)


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
    assert_equal(client, counted(records), shards)


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
    assert_equal(client, counted(records), shards=3)


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
    assert_equal(client, counted(records), shards=1)


async def test_a_log_that_ends_before_the_mark_is_another_topic(connection: Redis) -> None:
    ((partition, records),) = partitions_of(random_events(8, 60), 8, count=1).items()
    await applier_of(store_of(connection)).apply(partition, records[:10])
    with pytest.raises(RebuildNeeded, match="another topic"):
        await applier_of(store_of(connection), log=FakeLog(end=3)).apply(partition, records[:1])


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
    assert_equal(client, counted(records), shards=1)


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
    assert_equal(client, counted(records[:14]), shards=1)
    archive.records = records[:40]  # restored
    assert await applier_of(store_of(connection), log=log, archive=archive).realign([partition]) == {partition: 40}
    assert_equal(client, counted(records[:40]), shards=1)


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
    assert_equal(client, counted(records), shards=1)


async def test_missing_records_may_be_accepted_and_are_remembered(connection: Redis, client: redis.Redis) -> None:
    events = random_events(9, 60)
    ((partition, records),) = partitions_of(events, 9, count=1).items()
    log, archive = FakeLog(earliest=40, end=len(records)), FakeArchive([*records[5:19], *records[26:30]])
    applier = applier_of(store_of(connection), log=log, archive=archive, accept_missing_history=True)
    assert await applier.realign([partition]) == {partition: 40}
    assert await applier.apply(partition, records[40:]) is None
    there = [*archive.records, *records[40:]]
    assert_equal(client, counted(there), shards=1)
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
