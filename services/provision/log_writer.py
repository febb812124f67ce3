"""Writes a copy's records, and requires of the broker the offsets that they had."""

from collections.abc import Iterable, Iterator
from contextlib import AsyncExitStack
from itertools import repeat
from typing import Any, Self

from aiokafka import AIOKafkaProducer, TopicPartition

from services.common.kafka import producer_options
from services.common.settings import KafkaSettings
from services.provision.log_copy import Aborted, CannotCopy, Committed, Filled, LogRecord, Plain, Write, filler

_BATCH_BYTES = 1_000_000  # before compression; some 100,000 fillers
_TRANSACTIONAL_ID = "tillstream-move"


class LogWriter:
    """Producers of the cluster that a topic moves to. The one with transactions starts where it is needed."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._options = {**producer_options(settings), "max_batch_size": _BATCH_BYTES}
        self._producers = AsyncExitStack()
        self._plain: AIOKafkaProducer | None = None
        self._transactional: AIOKafkaProducer | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self._producers.aclose()

    async def write(self, partition: TopicPartition, write: Write) -> None:
        """Write, and wait until all of it is acknowledged. Raises CannotCopy, KafkaError."""
        match write:
            case Plain(records):
                await self._send(await self._without_transactions(), partition, records)
            case Committed(records):
                producer = await self._with_transactions()
                await producer.begin_transaction()
                await self._send(producer, partition, records)
                await producer.commit_transaction()
            case Aborted(fillers):
                producer = await self._with_transactions()
                await producer.begin_transaction()
                await self._fill(producer, partition, fillers)
                await producer.abort_transaction()
            case Filled(fillers):
                await self._fill(await self._without_transactions(), partition, fillers)

    async def _without_transactions(self) -> AIOKafkaProducer:
        if self._plain is None:
            self._plain = await self._started()
        return self._plain

    async def _with_transactions(self) -> AIOKafkaProducer:
        if self._transactional is None:
            self._transactional = await self._started(transactional_id=_TRANSACTIONAL_ID)
        return self._transactional

    async def _started(self, **options: str) -> AIOKafkaProducer:
        producer = AIOKafkaProducer(**self._options, **options)
        self._producers.push_async_callback(producer.stop)
        await producer.start()
        return producer

    async def _send(self, producer: AIOKafkaProducer, partition: TopicPartition, records: Iterable[LogRecord]) -> None:
        sent = []
        for first, batch in _batches(producer, records):
            acknowledged = await producer.send_batch(batch, partition.topic, partition=partition.partition)
            sent.append((first, acknowledged))
        for first, acknowledged in sent:
            if (given := (await acknowledged).offset) != first:
                raise CannotCopy(f"the record of offset {first} got offset {given}: something else writes there")

    async def _fill(self, producer: AIOKafkaProducer, partition: TopicPartition, fillers: int) -> None:
        for _first, batch in _batches(producer, repeat(filler(0), fillers)):
            await (await producer.send_batch(batch, partition.topic, partition=partition.partition))


def _batches(producer: AIOKafkaProducer, records: Iterable[LogRecord]) -> Iterator[tuple[int, Any]]:
    """Batches as large as they may be, each with the offset of its first record."""
    batch, first = None, 0
    for record in records:
        if batch is None or not _appended(batch, record):
            if batch is not None:
                yield first, batch
            batch, first = producer.create_batch(), record.offset
            _appended(batch, record)  # a batch takes its first record whatever its size
    if batch is not None:
        yield first, batch


def _appended(batch: Any, record: LogRecord) -> bool:
    _offset, timestamp, key, value, headers = record
    return batch.append(timestamp=timestamp, key=key, value=value, headers=list(headers)) is not None
