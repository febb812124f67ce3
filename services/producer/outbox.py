"""Rows in flight to the broker: per partition one record batch at a time, in row order.

The aggregator recognises a repeat by its row number: within a partition, a row must never arrive before one with a
smaller number that has not arrived yet. An idempotent producer keeps that order as long as every record batch
succeeds. One that fails for good (its partition had no leader for too long) must not be followed by its successor, so
a partition's next record batch is sent only after the one before is acknowledged. After a failure the outbox is
discarded, and a new one begins at the last acknowledged row.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition

from services.common import tracing
from services.common.dead_letters import Headers
from services.common.tracing import Span
from services.producer.partitioner import keyed_partitioner
from services.producer.rows import Record, RejectedRow

ROWS_IN_FLIGHT = 16_384
MAX_BATCH_BYTES = 768 * 1024  # before compression; the broker takes 1 MiB after it


class Unacknowledged(Exception):
    """The broker refused a batch, or acknowledged nothing for too long."""


@dataclass(slots=True)
class Batch:
    """Consecutive rows handed over together, acknowledged when every partition's are. `next_row` follows its last."""

    next_row: int
    sent: int = 0
    dead_letters: Counter[str] = field(default_factory=Counter)
    open_partitions: int = 0
    spans: list[Span] = field(default_factory=list)  # of the rows that are traced


Message = tuple[bytes, bytes, Headers]


@dataclass(slots=True)
class _PartitionRows:
    batch: Batch
    messages: list[Message]


class Outbox:
    """Sends batches in order; `acknowledged(batch)` is called for each in order, once all before it are too."""

    def __init__(
        self,
        producer: AIOKafkaProducer,
        *,
        purchases: str,
        dead_letters: str,
        dead_letter_partitions: int,
        acknowledged: Callable[[Batch], None],
        patience_s: float,
    ) -> None:
        self._producer = producer
        self._purchases = purchases
        self._dead_letters = dead_letters
        self._place_dead_letter = keyed_partitioner(dead_letter_partitions)
        self._acknowledged = acknowledged
        self._patience_s = patience_s
        self._queues: dict[TopicPartition, deque[_PartitionRows]] = {}
        self._senders: dict[TopicPartition, asyncio.Task[None]] = {}
        self._batches: deque[Batch] = deque()
        self._rows_in_flight = 0
        self._progress = asyncio.Event()
        self._failure: BaseException | None = None
        self.offsets: dict[int, int] = {}

    async def room(self) -> None:
        """Wait until more rows may be put. Raises Unacknowledged."""
        await self._wait_until(ROWS_IN_FLIGHT)

    async def drain(self) -> None:
        """Wait until every row is acknowledged. Raises Unacknowledged."""
        await self._wait_until(1)

    def put(self, rows: Sequence[Record | RejectedRow], next_row: int) -> None:
        """Hand over the rows that end before row number `next_row`."""
        batch = Batch(next_row)
        parts: dict[TopicPartition, list[Message]] = {}
        by_partition: dict[int, list[Message]] = {}
        no_headers: Headers = []
        for row in rows:
            if type(row) is Record:
                by_partition.setdefault(row.partition, []).append((row.key, row.value, no_headers))
            elif isinstance(row, RejectedRow):
                batch.dead_letters[row.reason.value] += 1
                partition, key = self._place_dead_letter(row.key)
                parts.setdefault(TopicPartition(self._dead_letters, partition), []).append(
                    (key, row.value, row.headers)
                )
        batch.sent = len(rows) - batch.dead_letters.total()
        batch.spans = trace_some(self._purchases, by_partition)
        parts |= {TopicPartition(self._purchases, partition): messages for partition, messages in by_partition.items()}
        batch.open_partitions = len(parts)
        self._batches.append(batch)
        self._rows_in_flight += len(rows)
        for partition, messages in parts.items():
            self._queue(partition, _PartitionRows(batch, messages))

    def close(self) -> None:
        """Stop sending; what is not acknowledged stays so."""
        for sender in self._senders.values():
            sender.cancel()
        for span in (span for batch in self._batches for span in batch.spans):
            span.fail("Unacknowledged")
            span.end()

    async def _wait_until(self, below: int) -> None:
        while self._failure is None and self._rows_in_flight >= below:
            self._progress.clear()
            try:
                await asyncio.wait_for(self._progress.wait(), self._patience_s)
            except TimeoutError:
                raise Unacknowledged(f"Kafka acknowledged nothing for {self._patience_s:g} s") from None
        if self._failure is not None:
            raise Unacknowledged(f"Kafka refused a batch: {self._failure!r}") from self._failure

    def _queue(self, partition: TopicPartition, part: _PartitionRows) -> None:
        self._queues.setdefault(partition, deque()).append(part)
        sender = self._senders.get(partition)
        if sender is None or sender.done():
            self._senders[partition] = asyncio.create_task(self._send_all(partition))

    async def _send_all(self, partition: TopicPartition) -> None:
        """Empty the partition's queue, one record batch after the other, then end."""
        queue = self._queues[partition]
        try:
            while queue and self._failure is None:
                # What has gathered meanwhile goes together: slow streams need few requests.
                parts = list(queue)
                queue.clear()
                await self._send(partition, [message for part in parts for message in part.messages])
                for part in parts:
                    self._part_done(part)
        except Exception as error:
            self._failure = error
            self._progress.set()

    async def _send(self, partition: TopicPartition, messages: Sequence[Message]) -> None:
        start = 0
        while start < len(messages):
            records, start = self._fill(messages, start)
            future: Any = await self._producer.send_batch(records, partition.topic, partition=partition.partition)
            metadata = await future
            # The broker may have forgotten the offset of a batch that it had already: it answers -1 then.
            if partition.topic == self._purchases and metadata.offset >= 0:
                self.offsets[partition.partition] = metadata.offset + records.record_count() - 1

    def _fill(self, messages: Sequence[Message], start: int) -> tuple[Any, int]:
        records = self._producer.create_batch()
        for index in range(start, len(messages)):
            key, value, headers = messages[index]
            if records.append(timestamp=None, key=key, value=value, headers=headers) is None:
                return records, index
        records.close()
        return records, len(messages)

    def _part_done(self, part: _PartitionRows) -> None:
        part.batch.open_partitions -= 1
        while self._batches and self._batches[0].open_partitions == 0:
            batch = self._batches.popleft()
            self._rows_in_flight -= batch.sent + batch.dead_letters.total()
            for span in batch.spans:
                span.end()
            self._acknowledged(batch)
        self._progress.set()


def trace_some(topic: str, by_partition: Mapping[int, list[Message]]) -> list[Span]:
    """Begin a trace with a sample of the messages, which get its header. Returns the open spans."""
    spans = []
    for partition, messages in by_partition.items():
        for at in tracing.sampled(len(messages)):
            span = tracing.begin(f"send {topic}", "producer", always=True)
            span.set("messaging.destination.partition.id", str(partition))
            key, value, _no_headers = messages[at]
            messages[at] = key, value, span.headers
            spans.append(span)
    return spans
