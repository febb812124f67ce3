"""Snapshots of the live figures on a real Valkey and S3: consistent at any moment, one a turn, the newest kept."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from aiokafka import TopicPartition
from botocore.exceptions import EndpointConnectionError
from redis.asyncio import Redis

from services.aggregator.settings import AggregatorSettings
from services.aggregator.snapshots import LEASE_KEY, LiveFigures, Snapshots
from services.common import live_snapshot
from services.common.events import Purchase, parse
from services.common.live_snapshot import LiveSnapshot
from services.common.object_store import ObjectStore
from services.common.settings import S3Settings
from services.common.tables import Figures, LedgerEntry, shard_keys
from tests.support.applier import DLQ, TOPIC, applier_of, store_of
from tests.support.live_tables import expected
from tests.support.records import NOW, FakeRecord, encode, random_events

Logs = dict[TopicPartition, list[FakeRecord]]


@pytest.fixture
def store(s3: S3Settings) -> Iterator[ObjectStore]:
    store = ObjectStore(s3)
    yield store
    store.close()


def snapshots_of(connection: Redis, store: ObjectStore, shards: int = 1, **options: Any) -> Snapshots:
    figures = LiveFigures(connection, AggregatorSettings(shards=shards))
    return Snapshots(figures, store, seconds=options.get("seconds", 0.05), kept=options.get("kept", 100))


def logs_of(seed: int, count: int, partitions: int = 3) -> Logs:
    """Events whose verdict depends on no other partition, and now and then an invalid record."""
    logs: Logs = {TopicPartition(TOPIC, n): [] for n in range(partitions)}
    for number, event in enumerate(random_events(seed, count)):
        log = logs[TopicPartition(TOPIC, number % partitions)]
        value = b"{" if number % 50 == 7 else encode(event | {"event_id": None})
        log.append(FakeRecord(len(log), value, timestamp=NOW + number))
    return logs


def lines_below(logs: Logs, marks: dict[int, int]) -> dict[int, list[Purchase]]:
    """The accepted lines below the marks, by partition."""
    verdicts = {
        partition: [parse(record.value, record.timestamp) for record in log[: marks.get(partition.partition, 0)]]
        for partition, log in logs.items()
    }
    return {p.partition: [line for line in lines if isinstance(line, Purchase)] for p, lines in verdicts.items()}


def truth_of(lines: list[Purchase]) -> dict[str, dict[str, Figures]]:
    """Kind of bucket → bucket → figures."""
    tables = expected(lines)

    def merged(prefix: str) -> dict[str, Figures]:
        fields = (fields for table, fields in tables.items() if table.startswith(prefix))
        return {name: figures for found in fields for name, figures in found.items()}

    prefixes = {"months": "sales:month:", "days": "sales:day:", "hours": "sales:hour:"}
    return {name: merged(prefix) for name, prefix in prefixes.items()} | {
        name: tables.get(name, {}) for name in ("categories", "brands")
    }


def without_orders(buckets: dict[str, Figures]) -> dict[str, Figures]:
    left = {name: figures._replace(orders=0) for name, figures in buckets.items()}
    return {name: figures for name, figures in left.items() if figures != Figures()}


def assert_exact(snapshot: LiveSnapshot, logs: Logs) -> None:
    """The snapshot holds what the records below its marks give, and nothing else."""
    by_partition = lines_below(logs, snapshot.marks)
    lines = [line for partition in by_partition.values() for line in partition]
    for kind, buckets in truth_of(lines).items():
        found = getattr(snapshot, kind)
        if snapshot.consistent:
            assert found == buckets, kind
        else:
            assert without_orders(found) == without_orders(buckets), kind
    assert snapshot.ledger == {
        partition: LedgerEntry(sum(line.revenue for line in own), sum(line.quantity for line in own), len(own))
        for partition, own in by_partition.items()
        if own
    }
    assert snapshot.totals.events == len(lines)
    assert snapshot.totals.revenue == sum(line.revenue for line in lines)
    if snapshot.consistent:
        assert snapshot.totals.orders == len({line.order_id for line in lines})
        assert snapshot.totals.buyers == len({line.user_id for line in lines} - {None})
    newest = [
        log[snapshot.marks[p.partition] - 1].timestamp for p, log in logs.items() if p.partition in snapshot.marks
    ]
    assert snapshot.newest == max(newest)


def stored(store: ObjectStore) -> list[LiveSnapshot]:
    return [live_snapshot.decode(store.get(key)) for key, _size in store.list(live_snapshot.FOLDER)]


@pytest.mark.parametrize("shards", [1, 3])
async def test_a_snapshot_is_what_its_marks_say(connection: Redis, store: ObjectStore, shards: int) -> None:
    logs = logs_of(1, 400)
    applier = applier_of(store_of(connection, shards))
    for partition, records in logs.items():
        await applier.apply(partition, records)
    await applier.apply(TopicPartition(DLQ, 0), [FakeRecord(0, b"{")])
    key = await snapshots_of(connection, store, shards).take_if_due()
    assert key is not None
    snapshot = live_snapshot.decode(store.get(key))
    assert snapshot.consistent
    assert snapshot.marks == {p.partition: len(log) for p, log in logs.items()}
    assert (snapshot.generation, snapshot.topic, snapshot.time_zone) == ("1", TOPIC, "UTC")
    assert live_snapshot.snapshot_key(snapshot.taken_at) == key
    assert sum(snapshot.dead_letters.values()) == 1
    assert_exact(snapshot, logs)


@pytest.mark.parametrize("shards", [1, 3])
async def test_snapshots_taken_while_batches_run_are_consistent(
    connection: Redis, store: ObjectStore, shards: int
) -> None:
    logs = logs_of(2, 3000)
    applier = applier_of(store_of(connection, shards), chunk=20)
    snapshots = snapshots_of(connection, store, shards, seconds=0.001)

    for start in range(0, 1000, 100):
        for partition, records in logs.items():
            await asyncio.gather(applier.apply(partition, records[start : start + 100]), snapshots.take_if_due())
    taken = stored(store)
    assert len({tuple(snapshot.marks.items()) for snapshot in taken}) > 5
    for snapshot in taken:
        assert_exact(snapshot, logs)


async def test_shards_that_stand_apart_are_said_to(connection: Redis, store: ObjectStore, redis_url: str) -> None:
    """As after a crash between two shards' scripts."""
    logs = logs_of(3, 300)
    applier = applier_of(store_of(connection, 3))
    for partition, records in logs.items():
        await applier.apply(partition, records)
    with redis.Redis.from_url(redis_url) as client:
        client.hset(shard_keys(3)[1]("marks"), f"{TOPIC}/0", "50")
    key = await snapshots_of(connection, store, 3).take_if_due()
    assert key is not None
    snapshot = live_snapshot.decode(store.get(key))
    assert not snapshot.consistent
    assert snapshot.marks[0] == 100
    assert_exact(snapshot, logs)


async def test_the_live_generation_is_read(connection: Redis, store: ObjectStore) -> None:
    await connection.set("tillstream:live", "2")
    await applier_of(store_of(connection)).apply(TopicPartition(TOPIC, 0), logs_of(4, 10, 1)[TopicPartition(TOPIC, 0)])
    assert await snapshots_of(connection, store).take_if_due() is None


async def test_of_several_aggregators_one_takes_each_turn(redis_url: str, store: ObjectStore) -> None:
    connections = [Redis.from_url(redis_url) for _ in range(3)]
    try:
        logs = logs_of(5, 30)
        applier = applier_of(store_of(connections[0]))
        for partition, records in logs.items():
            await applier.apply(partition, records)
        all_of_them = [snapshots_of(connection, store, seconds=0.5) for connection in connections]
        for turn in (1, 2):
            taken = await asyncio.gather(*(snapshots.take_if_due() for snapshots in all_of_them))
            assert len([key for key in taken if key]) == 1
            assert len(stored(store)) == turn
            await asyncio.sleep(0.6)
    finally:
        for connection in connections:
            await connection.aclose()


async def test_nothing_applied_gives_the_turn_back(connection: Redis, store: ObjectStore) -> None:
    snapshots = snapshots_of(connection, store, seconds=300)
    assert await snapshots.take_if_due() is None
    await applier_of(store_of(connection)).apply(TopicPartition(TOPIC, 0), logs_of(6, 5, 1)[TopicPartition(TOPIC, 0)])
    assert await snapshots.take_if_due() is not None
    assert await snapshots.take_if_due() is None
    assert 290_000 < await connection.pttl(LEASE_KEY) <= 300_000


async def test_the_newest_are_kept(connection: Redis, store: ObjectStore) -> None:
    await applier_of(store_of(connection)).apply(TopicPartition(TOPIC, 0), logs_of(7, 5, 1)[TopicPartition(TOPIC, 0)])
    store.put(f"{live_snapshot.FOLDER}notes.txt", b"not a snapshot")
    snapshots = snapshots_of(connection, store, seconds=0.001, kept=2)
    taken = []
    for _ in range(4):
        taken.append(await snapshots.take_if_due())
        await asyncio.sleep(0.005)
    assert [key for key, _size in store.list(live_snapshot.FOLDER)] == [*taken[-2:], f"{live_snapshot.FOLDER}notes.txt"]


class AwayAtFirst(ObjectStore):
    """Cannot be reached for the first two writes."""

    failures_left = 2

    def put(self, key: str, body: bytes) -> None:
        if self.failures_left:
            self.failures_left -= 1
            raise EndpointConnectionError(endpoint_url="http://s3")
        super().put(key, body)


async def test_a_store_that_is_away_is_tried_again(
    connection: Redis, s3: S3Settings, caplog: pytest.LogCaptureFixture
) -> None:
    await applier_of(store_of(connection)).apply(TopicPartition(TOPIC, 0), logs_of(8, 5, 1)[TopicPartition(TOPIC, 0)])
    store = AwayAtFirst(s3)
    task = asyncio.create_task(snapshots_of(connection, store, seconds=0.02).run())
    try:
        async with asyncio.timeout(120):
            while not stored(store):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        store.close()
    said = [record.getMessage() for record in caplog.records if "snapshot failed, will retry" in record.getMessage()]
    assert len(said) == 2
