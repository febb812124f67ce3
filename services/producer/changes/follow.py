"""Follows a topic of Debezium: events are acknowledged before its offsets are committed, so nothing is lost."""

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import OffsetOutOfRangeError
from aiokafka.structs import OffsetAndMetadata

from services.common.kafka import (
    TopicMissing,
    client_options,
    make_consumer,
    producer_options,
    stop_producer,
    until_reachable,
)
from services.producer.changes.corrections import Corrections, Event, unread
from services.producer.changes.envelope import NotAChange, Op
from services.producer.settings import ProducerSettings

logger = logging.getLogger(__name__)

_RECORDS = 500
_POLL_MS = 500
_STOP_S = 5.0
_KEEP_S = 600.0  # Kafka forgets a position that nobody commits for offsets.retention.minutes, a week by default
_MAX_EVENT_BYTES = 900_000  # Kafka takes 1 MiB
_SHOWN_CHARS = 100_000
# Kept with the committed offset: a change has been read from the partition, so its first snapshot has ended.
_CHANGES_SEEN = "changes-seen"


class ChangesLost(Exception):
    """Records that were not read are no longer in the topic, or nothing says whether they were read."""

    def __init__(self, place: str, how: str) -> None:
        super().__init__(
            f"{place} {how}. See docs/debezium.md#after-a-loss; --from-first, given once, goes on with the first "
            "record that is there"
        )


@dataclass(slots=True)
class Counts:
    """Records read, events sent, and of the records: those that became dead letters, and rows of later snapshots."""

    records: int = 0
    events: int = 0
    unread: int = 0
    later_snapshots: int = 0


@dataclass(slots=True)
class _Position:
    """Where a partition is read from: `offset` is the next record."""

    offset: int
    changes_seen: bool = False

    def kept(self) -> OffsetAndMetadata:
        """What is committed of it."""
        return OffsetAndMetadata(self.offset, _CHANGES_SEEN if self.changes_seen else "")


@dataclass(slots=True)
class Follower:
    """Reads the changes of one topic and writes their events to topic `purchases`.

    `from_first`: where records are lost, go on with the first one that is there. Rows of a snapshot then do not count.
    """

    topic: str
    group: str
    corrections: Corrections
    settings: ProducerSettings
    from_first: bool = False
    counts: Counts = field(default_factory=Counts)
    _positions: dict[TopicPartition, _Position] = field(default_factory=dict)
    _kept_at: float = 0.0

    async def run(self, stop: asyncio.Event, *, until_end: bool) -> None:
        """Follow until `stop` is set or, with `until_end`, until what is there now has been read.

        Raises TopicMissing, ChangesLost, BadFile and, where Kafka does not answer, KafkaError.
        """
        self._positions = await until_reachable(self._stored, _patient(self.settings.kafka_patience_s))
        consumer = changes_consumer(self.settings, self.group)
        producer = AIOKafkaProducer(linger_ms=5, **producer_options(self.settings))
        try:
            await consumer.start()
            await producer.start()
            ends = await self._seek(consumer)
            await self._commit(consumer, self._positions)
            while not stop.is_set() and not (until_end and self._has_reached(ends)):
                await self._poll(consumer, producer)
        finally:
            await consumer.stop()
            await stop_producer(producer, _STOP_S)

    async def _stored(self) -> dict[TopicPartition, _Position]:
        """The topic's partitions, and what was committed; offset -1 where nothing was. Raises TopicMissing."""
        admin = AIOKafkaAdminClient(**client_options(self.settings))
        await admin.start()
        try:
            # Asking for all topics, because asking for one by name may create it.
            found = {each["topic"]: len(each["partitions"]) for each in await admin.describe_topics()}
            if not found.get(self.topic):
                raise TopicMissing(f"topic {self.topic} does not exist: start the connector, or name it with --topic")
            partitions = [TopicPartition(self.topic, number) for number in range(found[self.topic])]
            committed = await admin.list_consumer_group_offsets(self.group, partitions=partitions)
        finally:
            await admin.close()
        return {each: _Position(kept.offset, kept.metadata == _CHANGES_SEEN) for each, kept in committed.items()}

    async def _seek(self, consumer: AIOKafkaConsumer) -> dict[TopicPartition, int]:
        """Go to the positions; returns the ends. Raises ChangesLost."""
        partitions = list(self._positions)
        begins: dict[TopicPartition, int] = await consumer.beginning_offsets(partitions)
        ends: dict[TopicPartition, int] = await consumer.end_offsets(partitions)
        consumer.assign(partitions)  # right before the seeks: without a position, it would ask for the committed one
        for partition, position in self._positions.items():
            if how := loss(position.offset, begins[partition], ends[partition]):
                if not self.from_first:
                    raise ChangesLost(_place(partition), how)
                logger.warning("%s %s: going on with the first record that is there", _place(partition), how)
                position.offset, position.changes_seen = begins[partition], True
            position.offset = max(position.offset, begins[partition])
            consumer.seek(partition, position.offset)
        return ends

    def _has_reached(self, ends: dict[TopicPartition, int]) -> bool:
        return all(position.offset >= ends[partition] for partition, position in self._positions.items())

    async def _poll(self, consumer: AIOKafkaConsumer, producer: AIOKafkaProducer) -> None:
        for partition, records in (await fetch(consumer)).items():
            events = [event for record in records for event in self._events(partition, record)]
            await self._send(producer, events)
            position = self._positions[partition]
            position.offset = records[-1].offset + 1
            await self._commit(consumer, [partition])
            self.counts.records += len(records)
            self.counts.events += len(events)
        for partition, position in self._positions.items():  # markers of transactions are no records
            position.offset = max(position.offset, await consumer.position(partition))
        if time.monotonic() - self._kept_at > _KEEP_S:
            await self._commit(consumer, self._positions)

    async def _commit(self, consumer: AIOKafkaConsumer, partitions: Collection[TopicPartition]) -> None:
        await consumer.commit({partition: self._positions[partition].kept() for partition in partitions})
        if len(partitions) == len(self._positions):
            self._kept_at = time.monotonic()

    def _events(self, partition: TopicPartition, record: Any) -> list[Event]:
        try:
            change = self.corrections.read(record.value)
            if change is None:
                return []
            position = self._positions[partition]
            if change.op is Op.READ and position.changes_seen:
                self.counts.later_snapshots += 1
                return []
            position.changes_seen = change.op is not Op.READ
            return self.corrections.events(change, record.key, record.timestamp)
        except NotAChange as error:
            self.counts.unread += 1
            place = f"{_place(partition)}/{record.offset}"
            logger.error("%s %s", place, error)
            return [unread(record.value[:_SHOWN_CHARS] if record.value else None, f"{place} {error}")]

    async def _send(self, producer: AIOKafkaProducer, events: Sequence[Event]) -> None:
        """Returns once the broker has acknowledged all. Raises KafkaError."""
        pending = []
        for event in events:
            # By order, so that all copies of a line are in one partition.
            key = str(event.get("order_id", "")).encode(errors="replace")
            pending.append(await producer.send(self.settings.purchases_topic, _encoded(event), key))
        await asyncio.gather(*pending)


def changes_consumer(settings: ProducerSettings, group: str) -> AIOKafkaConsumer:
    """A consumer, not started, that never goes to another offset by itself."""
    return make_consumer(settings, group_id=group, enable_auto_commit=False, auto_offset_reset="none")


async def fetch(consumer: AIOKafkaConsumer) -> dict[TopicPartition, list[Any]]:
    """The next records by partition. Raises ChangesLost where the offset of a partition is not there, KafkaError."""
    try:
        fetched: dict[TopicPartition, list[Any]] = await consumer.getmany(timeout_ms=_POLL_MS, max_records=_RECORDS)
    except OffsetOutOfRangeError as error:
        partition, offset = next(iter(error.args[0].items()))
        raise ChangesLost(_place(partition), f"no longer has offset {offset:,}, which comes next") from None
    return fetched


def loss(offset: int, begin: int, end: int) -> str:
    """What is lost of a partition that was read to `offset`, -1 where nothing says so; "" where nothing is.

    `begin` is the first offset that is there, `end` the next one to be written.
    """
    if offset < 0:
        return f"begins at {begin:,}, and the group has no position in it" if begin else ""
    if offset < begin:
        return f"begins at {begin:,} and was read to {offset:,}: what lay between is lost"
    return f"ends at {end:,} and was read to {offset:,}: it is a new topic of that name" if offset > end else ""


def _place(partition: TopicPartition) -> str:
    return f"{partition.topic}/{partition.partition}"


def _patient(patience_s: float) -> Callable[[Exception], None]:
    """Bears errors that pass (a new cluster has no coordinator of groups yet) for so long; raises any other."""
    deadline = time.monotonic() + patience_s

    def on_wait(error: Exception) -> None:
        if not getattr(error, "retriable", False) or time.monotonic() > deadline:
            raise error

    return on_wait


def _encoded(event: Event) -> bytes:
    value = msgspec.json.encode(event)
    if len(value) <= _MAX_EVENT_BYTES:
        return value
    return msgspec.json.encode(unread(value[:_SHOWN_CHARS], f"makes an event of {len(value):,} bytes"))
