"""Mutated messages through Kafka, the aggregator, Redis and the archive: each is counted once, and none is lost."""

import asyncio
import signal
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import redis
from aiokafka import AIOKafkaProducer

from local.engines import KafkaEngine, S3Engine, ValkeyEngine
from local.ports import free_port
from services.common.canary import Canary
from services.common.dead_letters import RecordOrigin, origin_of, reason_of
from services.common.events import Purchase, Reason, Rejected, parse
from services.common.object_store import ObjectStore
from services.common.settings import KafkaSettings, S3Settings
from services.common.tables import shard_keys
from services.common.topics import ALL, DEAD_LETTERS, PURCHASES
from services.provision.topics import create
from spark.records import Row, checked_row
from tests.fuzz.invariants import Broken, outcome_in, outcome_of
from tests.fuzz.mutator import messages
from tests.fuzz.seeds import BROKER_MS
from tests.support.engines import TopicNames, running
from tests.support.live_tables import expected, hash_of, held, totals
from tests.support.polling import wait_until
from tests.support.producer import Running, TopicRecord, archived_lines, read_topic, readiness
from tests.support.producer import running as service

_APPLIED_WITHIN_S = 300


class Stand(NamedTuple):
    """The engines of a run and what is its own in them; `folder` is for logs."""

    kafka: str
    redis_url: str
    s3: S3Settings
    topics: TopicNames
    folder: Path


class Sorted(NamedTuple):
    """What should have become of the records of the topic."""

    counted: list[Purchase]
    repeats: int
    refused: dict[RecordOrigin, tuple[bytes, str]]


def run_through_engines(seed: int, first: int, count: int) -> str | None:
    """Start engines of their own and send messages through them; what is broken, if anything."""
    values = [value for _number, value in messages(seed, first, count)]
    try:
        with tempfile.TemporaryDirectory(prefix="tillstream-fuzz-") as folder, stand_of_its_own(Path(folder)) as stand:
            print(through_engines(stand, values))
    except (Broken, AssertionError) as broken:
        return str(broken)
    return None


def through_engines(stand: Stand, values: Sequence[bytes | None]) -> str:
    """Send the messages, wait until all are applied and archived, compare. A line that says so; raises Broken."""
    with (
        service(
            "services.aggregator", [], aggregator_environment(stand), stand.folder / "aggregator.log"
        ) as aggregator,
        service("services.archiver", [], archiver := _archiver(stand), stand.folder / "archiver.log") as archive,
    ):
        asyncio.run(_send(stand, values))
        records = read_topic(stand.kafka, stand.topics.purchases)
        _require(len(records) == len(values), f"Kafka holds {len(records):,} of {len(values):,} messages")
        fates = _sorted(stand.topics.purchases, records)
        with redis.Redis.from_url(stand.redis_url) as client:
            applied = partial(is_applied, client, stand, len(records), len(fates.refused), aggregator)
            wait_until(applied, "the aggregator applies all", _APPLIED_WITHIN_S)
            _check_tables(client, fates)
        _check_dead_letters(read_topic(stand.kafka, stand.topics.dead_letters), fates)
        port = int(archiver["TILLSTREAM_METRICS_PORT"])
        wait_until(lambda: readiness(port).get("figures", {}).get("lag") == 0, "the archiver fetches all")
        _stop(archive, "archiver")
        _check_archive(archived_lines(stand.s3), records)
        _stop(aggregator, "aggregator")
    return (
        f"{len(values):,} sent = {len(fates.counted):,} counted + {fates.repeats:,} repeats"
        f" + {len(fates.refused):,} dead letters; all figures, dead letters and archived lines are exact"
    )


async def _send(stand: Stand, values: Iterable[bytes | None]) -> None:
    async with AIOKafkaProducer(bootstrap_servers=stand.kafka, enable_idempotence=True) as producer:
        for value in values:
            # A key, since a record needs one where it has no value.
            await producer.send(stand.topics.purchases, value, key=b"fuzz", partition=_partition(value))


def _partition(value: bytes | None) -> int:
    """An order always goes to one partition, so that which of two lines comes first is known beforehand."""
    verdict = parse(value, BROKER_MS)
    return crc32(verdict.order_id.encode() if isinstance(verdict, Purchase) else value or b"") % 2


def _verdict(record: TopicRecord) -> Purchase | Rejected:
    verdict = parse(record.value, record.timestamp)
    assert not isinstance(verdict, Canary), "no message is one"
    return verdict


def _sorted(topic: str, records: Iterable[TopicRecord]) -> Sorted:
    """By the contract: a line counts once, one without an id each time, and no line of an order that has changed."""
    fates = Sorted([], 0, {})
    repeats = 0
    orders: dict[str, _Order] = {}
    for record in records:
        verdict = _verdict(record)
        origin = RecordOrigin(topic, record.partition, record.offset)
        if isinstance(verdict, Rejected):
            fates.refused[origin] = (record.value or b"", verdict.reason.value)
            continue
        order = orders.setdefault(verdict.order_id, _Order())
        if order.has(verdict):
            repeats += 1
        elif verdict.order_digest and order.digest not in (None, verdict.order_digest):
            fates.refused[origin] = (record.value or b"", Reason.ORDER_CHANGED.value)
        else:
            order.add(verdict)
            fates.counted.append(verdict)
    return fates._replace(repeats=repeats)


class _Order:
    """What has counted of an order, in the plainest way."""

    def __init__(self) -> None:
        self.digest: str | None = None
        self._lines: set[object] = set()

    def has(self, line: Purchase) -> bool:
        return not self._lines.isdisjoint(_identities(line))

    def add(self, line: Purchase) -> None:
        self.digest = self.digest or line.order_digest
        self._lines.update(_identities(line))


def _identities(line: Purchase) -> list[object]:
    if line.event_id is None:
        return []
    identity = line.event_id, line.product_id, line.quantity, line.revenue
    return [identity, line.event_id] if line.replay_of else [identity]


def is_applied(client: redis.Redis, stand: Stand, sent: int, refused: int, aggregator: Running) -> bool:
    """Whether Redis's marks stand behind every message and every dead letter."""
    _require(aggregator.process.poll() is None, f"the aggregator has ended: {aggregator.output[-2_000:]}")
    (keys,) = shard_keys(1)
    reached: Counter[str] = Counter()
    for name, mark in hash_of(client, keys("marks")).items():
        if not name.startswith("stamp:"):
            reached[name.rpartition("/")[0]] += int(mark)
    return reached[stand.topics.purchases] >= sent and reached[stand.topics.dead_letters] >= refused


def _check_tables(client: redis.Redis, fates: Sorted) -> None:
    truth = expected(fates.counted)
    _require(totals(client, 1, "events") == len(fates.counted), "the number of events")
    _require(totals(client, 1, "revenue") == sum(line.revenue for line in fates.counted), "the revenue")
    _require(held(client, truth, 1) == truth, "the live tables")
    (keys,) = shard_keys(1)
    letters = {reason: int(count) for reason, count in hash_of(client, keys("dead_letters")).items()}
    _require(letters == Counter(reason for _value, reason in fates.refused.values()), f"the dead letters: {letters}")


def _check_dead_letters(letters: Iterable[TopicRecord], fates: Sorted) -> None:
    """Every refused message lies there once, whole, with its reason and where it came from."""
    found: dict[RecordOrigin, tuple[bytes, str]] = {}
    for letter in letters:
        headers = list(letter.headers.items())
        origin = origin_of(headers)
        assert isinstance(origin, RecordOrigin)
        _require(origin not in found, f"a second dead letter of {origin}")
        found[origin] = (letter.value or b"", reason_of(headers))
    _require(found == fates.refused, "the dead letters are not the refused messages")


def _check_archive(lines: Iterable[bytes], records: Iterable[TopicRecord]) -> None:
    """The batch job finds every record, in its place and with the verdict of the stream."""
    found = sorted((checked_row(line, "no/hour.json.gz", 0) for line in lines), key=lambda row: row[:2])
    in_archive = [(*row[:3], *outcome_in(row), row[-1]) for row in found]
    _require(in_archive == [_row(record) for record in records], "the archive differs from the topic")


def _row(record: TopicRecord) -> Row:
    place = (record.partition, record.offset, record.timestamp)
    return (*place, *outcome_of(_verdict(record)), record.timestamp)


def _stop(running: Running, name: str) -> None:
    running.signal(signal.SIGTERM)
    _require(running.wait() == 0, f"the {name} does not stop cleanly: {running.output[-2_000:]}")


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise Broken(what)


def aggregator_environment(stand: Stand, **settings: str) -> dict[str, str]:
    """What an aggregator of the stand is started with."""
    return _environment(
        stand,
        **settings,
        redis_url=stand.redis_url,
        dead_letters_topic=stand.topics.dead_letters,
        aggregator_group=stand.topics.purchases,
        aggregator_metrics_port=str(free_port()),
    )


def _archiver(stand: Stand) -> dict[str, str]:
    s3 = stand.s3
    assert s3.s3_endpoint
    assert s3.s3_access_key
    assert s3.s3_secret_key
    return _environment(
        stand,
        archive_group=f"{stand.topics.purchases}-archiver",
        metrics_port=str(free_port()),
        s3_endpoint=s3.s3_endpoint,
        s3_bucket=s3.s3_bucket,
        s3_access_key=s3.s3_access_key,
        s3_secret_key=s3.s3_secret_key.get_secret_value(),
    )


def _environment(stand: Stand, **settings: str) -> dict[str, str]:
    every = {"kafka_bootstrap": stand.kafka, "purchases_topic": stand.topics.purchases} | settings
    return {f"TILLSTREAM_{name.upper()}": value for name, value in every.items()}


@contextmanager
def stand_of_its_own(folder: Path) -> Iterator[Stand]:
    """Kafka, Valkey and S3 for this run alone."""
    s3 = S3Engine(folder / "s3", folder / "s3.log", free_port())
    kafka = KafkaEngine(folder / "kafka", folder / "kafka.log", free_port())
    valkey = ValkeyEngine(folder / "valkey", folder / "valkey.log", free_port(), durable=False)
    with ExitStack() as stack:
        for engine in (s3, kafka, valkey):
            stack.enter_context(running(engine))
        settings = s3.settings()
        store = ObjectStore(settings)
        store.create_bucket()
        store.close()
        asyncio.run(
            create(KafkaSettings(kafka_bootstrap=kafka.address), [replace(topic, partitions=2) for topic in ALL])
        )
        names = TopicNames(PURCHASES.name, DEAD_LETTERS.name)
        yield Stand(kafka.address, valkey.address, settings, names, folder)
