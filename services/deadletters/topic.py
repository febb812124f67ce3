"""Reading the dead-letter topic, and single records of other topics, without a consumer group."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaTimeoutError

from services.common.dead_letters import RecordOrigin
from services.common.kafka import client_options, make_consumer
from services.deadletters.dead_letter import DeadLetter, OriginDeduplicator, read_dead_letter
from services.deadletters.settings import DeadLettersSettings

_FETCH_WAIT_MS = 1000
PATIENCE_S = 30.0


class DeadLetterTopicMissing(Exception):
    """The dead-letter topic does not exist."""


class Topics:
    """Reads dead letters and their origins from Kafka. Every call raises KafkaError where Kafka is away."""

    def __init__(
        self, consumer: AIOKafkaConsumer, partitions: dict[str, int], dead_letters: str, patience_s: float = PATIENCE_S
    ) -> None:
        """`partitions`: their number by topic. `patience_s`: how long a partition may return nothing."""
        self._consumer = consumer
        self._partitions = partitions
        self._dead_letters = dead_letters
        self._patience_s = patience_s

    async def dead_letters(self, progress: Callable[[int, int], None]) -> AsyncIterator[DeadLetter]:
        """Every dead letter up to now, each origin once, by partition. `progress(done, of)` counts records."""
        origins = OriginDeduplicator()
        async for partition, record in self.records(self._dead_letters, progress):
            place = RecordOrigin(partition.topic, partition.partition, record.offset)
            dead_letter = read_dead_letter(place, list(record.headers), record.value, record.timestamp)
            if origins.is_new(dead_letter):
                yield dead_letter

    async def records(
        self, topic: str, progress: Callable[[int, int], None]
    ) -> AsyncIterator[tuple[TopicPartition, "ConsumerRecord[bytes, bytes]"]]:
        """Every record of a topic up to now, by partition; none where there is no such topic."""
        partitions = [TopicPartition(topic, number) for number in range(self._partitions.get(topic, 0))]
        begins = await self._consumer.beginning_offsets(partitions)
        ends = await self._consumer.end_offsets(partitions)
        total, done = sum(ends.values()) - sum(begins.values()), 0
        for partition in partitions:
            begin, end = begins[partition], ends[partition]
            async for position, records in self._fetches(partition, begin, end):
                progress(done + position - begin, total)
                for record in records:
                    yield partition, record
            done += end - begin
        progress(total, total)

    async def _fetches(
        self, partition: TopicPartition, begin: int, end: int
    ) -> AsyncIterator[tuple[int, "list[ConsumerRecord[bytes, bytes]]"]]:
        """The records from `begin` to `end` (exclusive), fetch by fetch, each with the position before it."""
        self._consumer.assign([partition])
        self._consumer.seek(partition, begin)
        progressed_at = time.monotonic()
        while (position := await self._consumer.position(partition)) < end:
            fetched = await self._consumer.getmany(partition, timeout_ms=_FETCH_WAIT_MS)
            if fetched:
                progressed_at = time.monotonic()
            elif time.monotonic() - progressed_at > self._patience_s:
                raise KafkaTimeoutError(
                    f"{partition.topic}/{partition.partition} returned nothing for {self._patience_s:g} s"
                )
            yield position, [record for record in fetched.get(partition, []) if record.offset < end]

    async def whole(self, dead_letter: DeadLetter) -> DeadLetter:
        """The dead letter with its full payload: a cut one is read at its origin, while Kafka retains that."""
        if not dead_letter.is_cut or not isinstance(dead_letter.origin, RecordOrigin):
            return dead_letter
        value = await self._value(dead_letter.origin)
        return dead_letter if value is None else replace(dead_letter, value=value)

    async def _value(self, origin: RecordOrigin) -> bytes | None:
        partition = TopicPartition(origin.topic, origin.partition)
        if origin.partition >= self._partitions.get(origin.topic, 0):
            return None
        begins = await self._consumer.beginning_offsets([partition])
        ends = await self._consumer.end_offsets([partition])
        if not begins[partition] <= origin.offset < ends[partition]:
            return None
        reading = self._consumer.assignment()
        positions = {other: await self._consumer.position(other) for other in reading}
        self._consumer.assign([partition])
        self._consumer.seek(partition, origin.offset)
        fetched = await self._consumer.getmany(partition, timeout_ms=10 * _FETCH_WAIT_MS, max_records=1)
        self._consumer.assign(list(reading))
        for other, position in positions.items():
            self._consumer.seek(other, position)
        records = fetched.get(partition, [])
        return records[0].value if records and records[0].offset == origin.offset else None


@asynccontextmanager
async def connected(settings: DeadLettersSettings) -> AsyncIterator[Topics]:
    """The topics, closed afterwards. Raises KafkaError, DeadLetterTopicMissing."""
    partitions = await _partitions(settings)
    if settings.dead_letters_topic not in partitions:
        raise DeadLetterTopicMissing(
            f"topic {settings.dead_letters_topic} does not exist at {settings.kafka_bootstrap}, or may not be read: "
            "set TILLSTREAM_KAFKA_BOOTSTRAP to the Kafka that has it, or grant the right Describe"
        )
    consumer = make_consumer(settings, group_id=None, enable_auto_commit=False)
    await consumer.start()
    try:
        yield Topics(consumer, partitions, settings.dead_letters_topic)
    finally:
        await consumer.stop()


async def _partitions(settings: DeadLettersSettings) -> dict[str, int]:
    """Partitions by topic. All topics are asked for, because asking for one by name may create it."""
    admin = AIOKafkaAdminClient(**client_options(settings))
    try:
        await admin.start()
        return {topic["topic"]: len(topic["partitions"]) for topic in await admin.describe_topics()}
    finally:
        await admin.close()
