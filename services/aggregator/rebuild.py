"""`python -m services.aggregator.rebuild`: rebuilds the live tables from archive and Kafka, then switches to them."""

import argparse
import asyncio
import gc
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from redis.asyncio.lock import Lock
from redis.exceptions import LockError, RedisClusterException, RedisError
from tqdm import tqdm

from services.aggregator.applier import make_applier
from services.aggregator.applier_parts import ApplierPorts
from services.aggregator.archive_reader import ArchiveReader, UnusableObject
from services.aggregator.dead_letter_output import DeadLetterOutput, DeadLetterSink
from services.aggregator.dlq_counts import copy_dead_letter_counts
from services.aggregator.erasures import remove_erased
from services.aggregator.eviction import EvictingRedis, EvictionGuard
from services.aggregator.kafka import KafkaDeadLetters, KafkaLogRange
from services.aggregator.partition_state import RebuildNeeded
from services.aggregator.rebuild_reader import ProgressReader, RebuildReader
from services.aggregator.settings import AggregatorSettings
from services.aggregator.store import TableStore
from services.aggregator.sweep import sweep
from services.aggregator.validation import RejectedRecord
from services.common.dlq_limits import InvalidRateAlarm
from services.common.entrypoint import refuse, run_service
from services.common.erasure_list import BadErasureList, read_erased
from services.common.generations import Generation, live_generation, make_live, remember_layout
from services.common.kafka import client_options, describe_topics, is_missing, make_consumer, producer_options
from services.common.object_store import ObjectStore
from services.common.redis_client import REDIS_ERRORS, RedisClient, connect
from services.common.telemetry import Health

DESCRIPTION = """\
Rebuilds all live tables from the archive in S3 and from Kafka, as a new generation next to the live one, and switches
to it once it has caught up. Nothing has to be stopped: purchases keep flowing, the page never shows partial figures,
and aggregators and gateways switch by themselves within seconds.

When to run it:
  - after a change of TILLSTREAM_TIME_ZONE or TILLSTREAM_SHARDS: the tables keep the old values until then
  - when the reconciliation finds differences, or the aggregator reports that the tables cannot be continued
"""
EPILOG = """\
It is configured by the same TILLSTREAM_* variables as the aggregator: TILLSTREAM_KAFKA_BOOTSTRAP, TILLSTREAM_REDIS_URL,
TILLSTREAM_S3_ENDPOINT, TILLSTREAM_SHARDS, TILLSTREAM_TIME_ZONE and so on. Redis needs room for a second set of tables.

examples:
  make rebuild                                     on one machine, with the engines of `make up`
  python -m services.aggregator.rebuild            on a cluster, as a Job
  TILLSTREAM_SHARDS=4 python -m services.aggregator.rebuild

Killed at any point, it leaves the live tables as they are. Run it again: it starts over.

Exit status: 0 done, 1 failed, 2 wrong settings or another rebuild is running.
"""
LOCK_KEY = "tillstream:rebuild"
GRACE_S = 30.0

_LOCK_S = 15.0
_LOCK_RENEWED_EVERY_S = 5.0

Offsets = Mapping[TopicPartition, int]


class RebuildRunning(Exception):
    """Another rebuild holds the lock."""


class SkipAlreadySentDeadLetters:
    """Drops dead letters of records below the live tables' marks: those were sent when the live tables were built.

    `sent_before`: partition → the lowest mark (applied offset) of the live tables when the rebuild began.
    """

    def __init__(self, sink: DeadLetterSink, sent_before: Offsets) -> None:
        self._sink = sink
        self._sent_before = sent_before

    async def send(self, topic: str, partition: int, rejected: Sequence[RejectedRecord]) -> None:
        """See DeadLetterSink."""
        mark = self._sent_before.get(TopicPartition(topic, partition), 0)
        if new := [each for each in rejected if each.record.offset >= mark]:
            await self._sink.send(topic, partition, new)


@dataclass(frozen=True, slots=True)
class Engines:
    """The clients of a rebuild; opened and closed by `engines`."""

    redis: RedisClient
    admin: AIOKafkaAdminClient
    consumer: AIOKafkaConsumer
    log_client: AIOKafkaConsumer
    producer: AIOKafkaProducer
    objects: ObjectStore


@asynccontextmanager
async def engines(settings: AggregatorSettings) -> AsyncIterator[Engines]:
    """Connected clients. Raises KafkaError."""
    async with AsyncExitStack() as stack:
        redis = connect(settings)
        stack.push_async_callback(redis.aclose)
        consumer = make_consumer(settings, group_id=None, auto_offset_reset="earliest")
        log_client = make_consumer(settings, group_id=None)
        producer = AIOKafkaProducer(**producer_options(settings))
        admin = AIOKafkaAdminClient(**client_options(settings))
        await admin.start()
        stack.push_async_callback(admin.close)
        for client in (consumer, log_client, producer):
            await client.start()
            stack.push_async_callback(client.stop)
        objects = ObjectStore(settings)
        stack.callback(objects.close)
        yield Engines(redis, admin, consumer, log_client, producer, objects)


class Rebuild:
    """Fills the next generation, makes it live and removes the previous one."""

    def __init__(self, settings: AggregatorSettings, engines: Engines, grace_s: float) -> None:
        self._settings = settings
        self._engines = engines
        self._grace_s = grace_s

    async def run(self) -> None:
        """Rebuild. Raises EvictingRedis, RebuildRunning, RebuildNeeded, UnusableObject, KafkaError, RedisError."""
        await EvictionGuard(self._engines.redis, Health("rebuild")).require_none()
        lock = Lock(self._engines.redis, LOCK_KEY, timeout=_LOCK_S, blocking_timeout=_LOCK_S + 5)
        if await lock.locked():
            say("waiting for the lock: a rebuild that was killed may still hold it")
        if not await lock.acquire():
            raise RebuildRunning("another rebuild is running; try again when it is done, or 15 s after it was killed")
        work = asyncio.create_task(self._replace())
        keeping = asyncio.create_task(_keep_lock(lock))
        try:
            await asyncio.wait([work, keeping], return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                await keeping
            await work
        finally:
            for task in (work, keeping):
                task.cancel()
            await asyncio.gather(work, keeping, return_exceptions=True)
            with suppress(LockError, *REDIS_ERRORS):
                await lock.release()

    async def _replace(self) -> None:
        redis, settings = self._engines.redis, self._settings
        live = await live_generation(redis, settings.shards, settings.time_zone)
        await sweep(redis, keep=live.name)
        fresh = Generation(_next_name(live.name), settings.shards, settings.time_zone)
        say(f"generation {live.name} is live; filling {fresh.name}: {fresh.shards} shards, {fresh.time_zone}")
        await remember_layout(redis, fresh)
        try:
            await self._fill(live, fresh)
        except (RebuildNeeded, UnusableObject):
            await sweep(redis, keep=live.name)
            raise
        await make_live(redis, fresh)
        if (erased := await asyncio.to_thread(read_erased, self._engines.objects)) is not None:
            await remove_erased(redis, erased)  # who was erased meanwhile
        say(f"generation {fresh.name} is live; {live.name} is removed in {self._grace_s:g} s, when nobody reads it")
        await asyncio.sleep(self._grace_s)
        removed = await sweep(redis, keep=fresh.name)
        say(f"done: {removed:,} old keys removed")

    async def _fill(self, live: Generation, fresh: Generation) -> None:
        """Bring the new tables to the end of both topics."""
        engines, settings = self._engines, self._settings
        partitions = await self._partitions()
        await copy_dead_letter_counts(
            engines.redis,
            live,
            fresh,
            await engines.consumer.beginning_offsets(partitions),
            settings.dead_letters_topic,
        )
        sent_before = await self._marks(live, partitions)
        ends = await engines.consumer.end_offsets(partitions)
        bar: tqdm[Any] = tqdm(total=sum(ends.values()), unit=" records", unit_scale=True, mininterval=1.0)
        with bar:
            sink = KafkaDeadLetters(engines.producer, settings.dead_letters_topic)
            ports = ApplierPorts(
                DeadLetterOutput(SkipAlreadySentDeadLetters(sink, sent_before), _silent_alarm(settings)),
                KafkaLogRange(engines.log_client),
                ProgressReader(ArchiveReader(engines.objects), bar),
            )
            applier = make_applier(settings, engines.redis, fresh, ports, Health("rebuild"))
            await applier.use_erased(await asyncio.to_thread(read_erased, engines.objects))
            await RebuildReader(engines.consumer, applier, partitions, bar).run()

    async def _partitions(self) -> list[TopicPartition]:
        """All partitions of both topics. Raises RebuildNeeded where there is none."""
        topics = [self._settings.purchases_topic, self._settings.dead_letters_topic]
        described = await describe_topics(self._engines.admin, topics)
        found = [TopicPartition(each["topic"], one["partition"]) for each in described for one in each["partitions"]]
        if missing := [each["topic"] for each in described if is_missing(each)]:
            raise RebuildNeeded(f"Kafka at {self._settings.kafka_bootstrap} has no topic {', '.join(sorted(missing))}")
        return sorted(found)

    async def _marks(self, generation: Generation, partitions: Sequence[TopicPartition]) -> Offsets:
        store = TableStore(self._engines.redis, generation.keys)
        return {tp: min(await store.marks(f"{tp.topic}/{tp.partition}")) for tp in partitions}


async def _keep_lock(lock: Lock) -> None:
    """Renew the lock until cancelled. Raises RebuildRunning where it is lost, as while Redis is unavailable."""
    while True:
        await asyncio.sleep(_LOCK_RENEWED_EVERY_S)
        try:
            await lock.reacquire()
        except (LockError, *REDIS_ERRORS) as error:
            raise RebuildRunning(f"the lock of this rebuild was lost ({error}): run it again") from error


def _silent_alarm(settings: AggregatorSettings) -> InvalidRateAlarm:
    """An alarm that is never raised: the aggregator observes new records, and has observed the old ones."""
    limits = settings.model_copy(update={"dead_letters_max_consecutive": sys.maxsize, "dead_letters_max_ratio": 2.0})
    return InvalidRateAlarm(limits, Health("rebuild"))


def _next_name(name: str) -> str:
    return str(int(name) + 1) if name.isdecimal() else "1"


def say(text: str) -> None:
    """One line for a person, between those of the progress bar."""
    tqdm.write(text, file=sys.stderr)


def main(arguments: list[str] | None = None) -> int:
    """Rebuild as the command line says; returns the exit status."""
    parser = argparse.ArgumentParser(
        "python -m services.aggregator.rebuild",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--grace",
        type=float,
        default=GRACE_S,
        metavar="SECONDS",
        help=f"how long the old tables stay after the switch (default: {GRACE_S:g})",
    )
    options = parser.parse_args(arguments)
    stopped = (RebuildNeeded, UnusableObject, BadErasureList, KafkaError, RedisError, RedisClusterException)
    statuses = {EvictingRedis: 2, RebuildRunning: 2, **dict.fromkeys(stopped, 1)}
    return run_service("rebuild", AggregatorSettings, lambda settings: _run(settings, options.grace), statuses)


def _run(settings: AggregatorSettings, grace_s: float) -> int:
    gc.set_threshold(100_000, 20, 100)  # as in the aggregator
    try:
        asyncio.run(_rebuild(settings, grace_s))
    except KeyboardInterrupt:
        return refuse("rebuild", 130, "stopped; the live tables are as they were")
    return 0


async def _rebuild(settings: AggregatorSettings, grace_s: float) -> None:
    async with engines(settings) as opened:
        await Rebuild(settings, opened, grace_s).run()


if __name__ == "__main__":
    sys.exit(main())
