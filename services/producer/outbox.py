"""Rows on their way to the broker: one lane a partition, one batch in flight a lane.

The aggregator tells a repeat by its row number: within a partition, a row must never arrive before one with a
smaller number that has not arrived yet. An idempotent producer keeps that order as long as every batch succeeds. A
batch that fails for good (its partition had no leader for too long) must not be followed by its successor, so a lane
hands the next batch over only after the one before is acknowledged. After a failure the outbox is thrown away, and
a new one begins at the last acknowledged row.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer

from services.common.dead_letters import Headers
from services.producer.partitioner import keyed_partitioner
from services.producer.rows import DeadLetter, Record

ROWS_IN_FLIGHT = 16_384
MAX_BATCH_BYTES = 768 * 1024  # before compression; the broker takes 1 MiB after it


class Unacknowledged(Exception):
    """The broker refused a batch, or acknowledged nothing for too long."""


class Lane(NamedTuple):
    """A partition of a topic."""

    topic: str
    partition: int


@dataclass(slots=True)
class Portion:
    """Consecutive rows handed over together; acknowledged when all its parts are. `next_row` follows its last."""

    next_row: int
    sent: int = 0
    dead_letters: Counter[str] = field(default_factory=Counter)
    open_parts: int = 0


Message = tuple[bytes, bytes, Headers]


@dataclass(slots=True)
class _Part:
    portion: Portion
    messages: list[Message]


class Outbox:
    """Sends portions in order; `acknowledged(portion)` is called for each in order, once all before it are too."""

    def __init__(
        self,
        producer: AIOKafkaProducer,
        *,
        purchases: str,
        dead_letters: str,
        dead_letter_partitions: int,
        acknowledged: Callable[[Portion], None],
        patience_s: float,
    ) -> None:
        self._producer = producer
        self._purchases = purchases
        self._dead_letters = dead_letters
        self._place_dead_letter = keyed_partitioner(dead_letter_partitions)
        self._acknowledged = acknowledged
        self._patience_s = patience_s
        self._queues: dict[Lane, deque[_Part]] = {}
        self._senders: dict[Lane, asyncio.Task[None]] = {}
        self._portions: deque[Portion] = deque()
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

    def put(self, rows: Sequence[Record | DeadLetter], next_row: int) -> None:
        """Hand over the rows that end before row number `next_row`."""
        portion = Portion(next_row)
        parts: dict[Lane, list[Message]] = {}
        by_partition: dict[int, list[Message]] = {}
        no_headers: Headers = []
        for row in rows:
            if type(row) is Record:
                by_partition.setdefault(row.partition, []).append((row.key, row.value, no_headers))
            elif isinstance(row, DeadLetter):
                portion.dead_letters[row.reason.value] += 1
                partition, key = self._place_dead_letter(row.key)
                parts.setdefault(Lane(self._dead_letters, partition), []).append((key, row.value, row.headers))
        portion.sent = len(rows) - portion.dead_letters.total()
        parts |= {Lane(self._purchases, partition): messages for partition, messages in by_partition.items()}
        portion.open_parts = len(parts)
        self._portions.append(portion)
        self._rows_in_flight += len(rows)
        for lane, messages in parts.items():
            self._queue(lane, _Part(portion, messages))

    def close(self) -> None:
        """Stop the lanes; what is not acknowledged stays so."""
        for sender in self._senders.values():
            sender.cancel()

    async def _wait_until(self, below: int) -> None:
        while self._failure is None and self._rows_in_flight >= below:
            self._progress.clear()
            try:
                await asyncio.wait_for(self._progress.wait(), self._patience_s)
            except TimeoutError:
                raise Unacknowledged(f"Kafka acknowledged nothing for {self._patience_s:g} s") from None
        if self._failure is not None:
            raise Unacknowledged(f"Kafka refused a batch: {self._failure!r}") from self._failure

    def _queue(self, lane: Lane, part: _Part) -> None:
        self._queues.setdefault(lane, deque()).append(part)
        sender = self._senders.get(lane)
        if sender is None or sender.done():
            self._senders[lane] = asyncio.create_task(self._send_all(lane))

    async def _send_all(self, lane: Lane) -> None:
        """Empty the lane's queue, batch after batch, then end."""
        queue = self._queues[lane]
        try:
            while queue and self._failure is None:
                # What has gathered meanwhile goes together: slow streams need few requests.
                parts = list(queue)
                queue.clear()
                await self._send(lane, [message for part in parts for message in part.messages])
                for part in parts:
                    self._part_done(part)
        except Exception as error:
            self._failure = error
            self._progress.set()

    async def _send(self, lane: Lane, messages: Sequence[Message]) -> None:
        start = 0
        while start < len(messages):
            batch, start = self._fill(messages, start)
            future: Any = await self._producer.send_batch(batch, lane.topic, partition=lane.partition)
            metadata = await future
            # The broker may have forgotten the offset of a batch that it had already: it answers -1 then.
            if lane.topic == self._purchases and metadata.offset >= 0:
                self.offsets[lane.partition] = metadata.offset + batch.record_count() - 1

    def _fill(self, messages: Sequence[Message], start: int) -> tuple[Any, int]:
        batch = self._producer.create_batch()
        for index in range(start, len(messages)):
            key, value, headers = messages[index]
            if batch.append(timestamp=None, key=key, value=value, headers=headers) is None:
                return batch, index
        batch.close()
        return batch, len(messages)

    def _part_done(self, part: _Part) -> None:
        part.portion.open_parts -= 1
        while self._portions and self._portions[0].open_parts == 0:
            portion = self._portions.popleft()
            self._rows_in_flight -= portion.sent + portion.dead_letters.total()
            self._acknowledged(portion)
        self._progress.set()
