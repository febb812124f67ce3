"""Reconciliation: live tables on a real Valkey, their archive and snapshots on a real S3, compared by Spark."""

import gzip
import io
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis
from aiokafka import TopicPartition
from pyspark.sql import SparkSession
from redis.asyncio import Redis

from services.aggregator.erasures import remove_erased
from services.aggregator.settings import AggregatorSettings
from services.aggregator.snapshots import LiveFigures, Snapshots
from services.common import live_snapshot
from services.common.erasure_list import add_erased, read_erased
from services.common.event_rules import DEFAULT_RULES
from services.common.object_store import ObjectStore
from services.common.reconciliation import FOLDER, LATEST, Reconciliation
from services.common.settings import S3Settings
from services.common.tables import shard_keys
from services.common.times import format_time
from services.privacy.sweep import sweep
from spark.job import Job, run_reconcile
from spark.session import spark_session
from spark.settings import JobSettings
from spark.step_log import StepLog
from spark.versions import RunId
from tests.support.applier import TOPIC, FakeLog, applier_of, store_of
from tests.support.live_tables import hash_of
from tests.support.records import NOW, FakeRecord, encode, random_events

ROOT = Path(__file__).resolve().parents[2]
PARTITIONS = 3
Logs = dict[int, list[FakeRecord]]


@pytest.fixture(scope="module")
def spark(s3_engine: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """One session for all tests here: a JVM takes longer to start than each of them."""
    settings = JobSettings(
        **s3_engine.settings(bucket="any").model_dump(),
        spark_dir=tmp_path_factory.mktemp("spark"),
        spark_jars=ROOT / JobSettings().spark_jars,
        spark_driver_memory="1g",
        spark_master="local[2]",
        spark_shuffle_partitions=2,
    )
    with spark_session(settings) as spark:
        yield spark


@dataclass
class Shop:
    """Live tables and an archive of the same records."""

    s3: S3Settings
    store: ObjectStore
    connection: Redis
    client: redis.Redis
    spark: SparkSession
    shards: int = 1

    async def apply(self, logs: Mapping[int, list[FakeRecord]]) -> None:
        log = FakeLog()
        log.timestamps = {offset: NOW + offset for offset in range(1000)}
        applier = applier_of(store_of(self.connection, self.shards), log=log)
        for partition, records in logs.items():
            await applier.apply(TopicPartition(TOPIC, partition), records)

    async def snapshot(self, erased: int = 0) -> str:
        figures = LiveFigures(self.connection, AggregatorSettings(shards=self.shards))
        await figures.release_lease()
        key = await Snapshots(figures, self.store, seconds=60, kept=10, erased=lambda: erased).take_if_due()
        assert key is not None
        return key

    def archive(self, name: str, lines: list[str]) -> None:
        body = gzip.compress("".join(line + "\n" for line in lines).encode())
        self.store.put(f"raw/purchases/{name}.json.gz", body)

    def reconcile(self, version: str = "20260101T000000Z-000001") -> tuple[Reconciliation | None, str]:
        """What the job finds, and what it says."""
        said = io.StringIO()
        job = Job(
            self.spark, self.store, JobSettings(**self.s3.model_dump()), StepLog(said), RunId(version, NOW + 10**7)
        )
        return run_reconcile(job), said.getvalue()

    def change(self, table: str, field: str, packed: str) -> None:
        """Write over a packed value behind the aggregator's back."""
        self.client.hset(shard_keys(self.shards)[0](table), field, packed)

    def table(self, name: str) -> dict[str, str]:
        return hash_of(self.client, shard_keys(self.shards)[0](name))


@pytest.fixture
async def shop(s3: S3Settings, redis_url: str, spark: SparkSession) -> AsyncIterator[Shop]:
    connection = Redis.from_url(redis_url)
    with redis.Redis.from_url(redis_url) as client:
        store = ObjectStore(s3)
        yield Shop(s3, store, connection, client, spark)
        store.close()
    await connection.aclose()


def record(offset: int, event: Mapping[str, Any] | None) -> FakeRecord:
    return FakeRecord(offset, b"{broken" if event is None else encode(dict(event)), timestamp=NOW + offset)


def logs_of(seed: int, count: int) -> Logs:
    """Lines without identity, now and then a refused record, and a line that was sent twice."""
    logs: Logs = {partition: [] for partition in range(PARTITIONS)}
    for number, event in enumerate(random_events(seed, count)):
        log = logs[number % PARTITIONS]
        log.append(record(len(log), None if number % 40 == 9 else event | {"event_id": None}))
    for partition, log in logs.items():
        twice = random_events(seed, 1)[0] | {"event_id": f"uuid-{partition}"}
        log += [record(len(log), twice), record(len(log) + 1, twice)]
    return logs


def envelopes(logs: Mapping[int, list[FakeRecord]]) -> list[str]:
    def value(raw: bytes | None) -> Any:
        text = (raw or b"").decode()
        return text if text.startswith("{broken") else json.loads(text)

    return [
        json.dumps({"partition": p, "offset": r.offset, "timestamp": r.timestamp, "value": value(r.value)})
        for p, log in logs.items()
        for r in log
    ]


def below(logs: Logs, marks: Mapping[int, int]) -> Logs:
    return {partition: log[: marks[partition]] for partition, log in logs.items()}


@pytest.mark.parametrize("shards", [1, 2])
async def test_the_books_agree_as_of_the_newest_snapshot_that_is_archived(shop: Shop, shards: int) -> None:
    shop.shards = shards
    logs = logs_of(1, 300)
    twice = random_events(9, 1)[0] | {"event_id": "in-two-partitions", "price": "12.34", "quantity": 1}
    logs[1].append(record(len(logs[1]), twice))
    # The same line in another partition, at an earlier time: of all records the batch would take that one.
    logs[0].append(FakeRecord(len(logs[0]), encode(twice), timestamp=NOW))
    marks = {0: 60, 1: len(logs[1]), 2: 80}
    await shop.apply(below(logs, marks))
    key = await shop.snapshot()
    await shop.apply(logs)
    await shop.snapshot()
    last = {partition: len(log) for partition, log in logs.items()} | {2: len(logs[2]) - 1}
    shop.archive("2026/09/21/14/all-but-one", envelopes(below(logs, last)))

    found, said = shop.reconcile()

    assert found is not None
    assert (found.status, found.differing, found.snapshot, found.basis) == ("agree", 0, key, "offsets")
    assert found.as_of == format_time(NOW + marks[1] - 1)
    assert (found.drift.revenue, found.drift.quantity, found.drift.events) == ("0.00", 0, 0)
    assert (found.drift.orders, found.drift.buyers) == (0, 0)
    assert found.compared > 100
    assert f"the books agree to the cent up to {found.as_of}" in said
    assert shop.store.get(LATEST) == shop.store.get(f"{FOLDER}{found.version}.json")


async def test_a_line_that_came_by_two_partitions_is_no_difference(shop: Shop) -> None:
    """The stream counted it in partition 0, which it read first; in partition 1 it arrived first."""
    logs = logs_of(8, 90)
    twice = random_events(9, 1)[0] | {"event_id": "in-two-partitions"}
    logs[0].append(record(len(logs[0]), twice))
    logs[1].append(FakeRecord(len(logs[1]), encode(twice), timestamp=NOW - 60_000))
    await shop.apply(logs)
    await shop.snapshot()
    shop.archive("2026/09/21/14/all", envelopes(logs))

    found, said = shop.reconcile()

    assert found is not None
    assert (found.status, found.differing) == ("agree", 0), said
    entry = shop.table("ledger")[f"{TOPIC}/0"].split()
    shop.change("ledger", f"{TOPIC}/0", f"{int(entry[0]) + 1} {entry[1]} {entry[2]}")
    await shop.snapshot()
    found, said = shop.reconcile("20260101T000000Z-000002")
    assert found is not None
    assert [difference.partition for difference in found.differences] == [f"{TOPIC}/0+1"]


async def test_the_books_agree_without_an_erased_customer(shop: Shop) -> None:
    """With a snapshot from before, buyers are not compared; with one from after they are, and the archive is swept."""
    logs = logs_of(3, 90)
    user = next(event["user_id"] for event in random_events(3, 90) if event["user_id"])
    await shop.apply(logs)
    await shop.snapshot()
    shop.archive("2026/09/21/14/all", envelopes(logs))
    add_erased(shop.store, user, NOW)
    erased = read_erased(shop.store)
    assert erased is not None
    assert await remove_erased(shop.connection, erased) > 0

    before, said = shop.reconcile()
    assert before is not None
    assert (before.status, before.drift.buyers, before.drift.orders) == ("agree", None, 0), said

    assert sweep(shop.store, erased, DEFAULT_RULES, NOW)["archive"] == 1
    await shop.snapshot(erased=1)
    after, said = shop.reconcile("20260101T000000Z-000002")
    assert after is not None
    assert (after.status, after.drift.buyers, after.compared) == ("agree", 0, before.compared + 1), said


async def test_a_planted_difference_is_found_with_its_bucket_and_partition(shop: Shop) -> None:
    logs = logs_of(2, 120)
    await shop.apply(logs)
    shop.archive("2026/09/21/14/all", envelopes(logs))
    table = f"sales:hour:{format_time(NOW)[:7]}"
    hour, packed = sorted(shop.table(table).items())[3]
    revenue, quantity, orders = packed.split()
    shop.change(table, hour, f"{int(revenue) + 1} {quantity} {orders}")
    entry = shop.table("ledger")[f"{TOPIC}/2"].split()
    shop.change("ledger", f"{TOPIC}/2", f"{int(entry[0]) + 1} {entry[1]} {entry[2]}")
    await shop.snapshot()

    found, said = shop.reconcile()

    assert found is not None
    assert (found.status, found.differing) == ("differ", 2)
    in_ledger, in_hour = found.differences
    assert (in_ledger.table, in_ledger.figure, in_ledger.partition) == ("partition", "revenue", f"{TOPIC}/2")
    bucket = format_time(int(hour) * 1000)
    assert (in_hour.table, in_hour.figure, in_hour.bucket) == ("hour", "revenue", bucket)
    assert f"hour {bucket}: revenue {in_hour.live} live, {in_hour.batch} in the batch" in said
    assert f"partition {TOPIC}/2: revenue" in said


async def test_a_line_that_the_live_figures_lack_is_found_everywhere(shop: Shop) -> None:
    logs = logs_of(3, 60)
    lost = json.loads(logs[1][5].value or b"")
    await shop.apply({**logs, 1: [r if r.offset != 5 else record(5, None) for r in logs[1]]})
    await shop.snapshot()
    shop.archive("2026/09/21/14/all", envelopes(logs))

    found, _said = shop.reconcile()

    assert found is not None
    assert (found.status, found.drift.events, found.drift.quantity) == ("differ", -1, -lost.get("quantity", 1))
    tables = {difference.table for difference in found.differences}
    assert tables == {"totals", "partition", "month", "day", "hour", "category", "brand"}
    assert {d.partition for d in found.differences if d.partition} == {f"{TOPIC}/1"}


async def test_without_a_snapshot_that_fits_nothing_is_said_of_the_books(shop: Shop) -> None:
    logs = logs_of(4, 60)
    await shop.apply(logs)
    await shop.snapshot()
    shop.store.put(f"{live_snapshot.FOLDER}0000000000001.json.gz", b"damaged")
    shop.archive("2026/09/21/14/some", envelopes(below(logs, {0: 5, 1: 5, 2: 5})))
    found, said = shop.reconcile()
    assert found is None
    assert "not compared: the archive covers no snapshot of the live figures" in said
    assert not list(shop.store.list(FOLDER))


async def test_plain_lines_are_compared_by_hours_that_were_over(shop: Shop) -> None:
    """The archive has no offsets; the event of the last hour is not compared, nor what came after the snapshot."""
    logs = logs_of(5, 90)
    await shop.apply(logs)
    taken = live_snapshot.decode(shop.store.get(await shop.snapshot())).taken_at
    hour = taken // 3_600_000 * 3_600_000
    plain = [(r.value or b"").decode() for log in logs.values() for r in log[:-1]]  # without the repeats
    late = encode(random_events(6, 1)[0] | {"event_id": None}).decode()
    shop.archive(f"{_folder(hour - 3_600_000)}/before", plain)
    shop.archive(f"{_folder(hour + 2 * 3_600_000)}/after", [late])

    found, said = shop.reconcile()

    assert found is not None, said
    assert (found.status, found.basis, found.as_of) == ("agree", "hours", format_time(hour - 3_600_000))
    assert (found.drift.revenue, found.drift.events, found.drift.orders) == ("0.00", None, None)
    assert "by hours" in said


def _folder(hour_ms: int) -> str:
    return format_time(hour_ms)[:13].replace("-", "/").replace("T", "/")
