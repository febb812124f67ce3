"""Reading archive and Kafka from the beginning into tables, until they keep up with what comes in."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from tqdm import tqdm

from services.aggregator.applier import Applier
from services.aggregator.archive_reader import Batches, History, Merged, Span, by_time

_BATCH = 4000
_FETCH_MS = 1000
_FRUITLESS_FETCHES = 3  # only holes of transactions are left before the end
_LEVEL_WITHIN_S = 2.0
_HISTORY_AGAIN_S = 5.0


class CountedHistory:
    """History that moves a progress bar."""

    def __init__(self, history: History, bar: "tqdm[Any]") -> None:
        self._history = history
        self._bar = bar

    async def read(self, spans: Mapping[TopicPartition, Span]) -> Merged:
        """See History."""
        async for partition, records in self._history.read(spans):
            yield partition, records
            self._bar.update(sum(_holds(spans[partition], record.offset) for record in records))


def _holds(span: Span, offset: int) -> bool:
    return span.start <= offset < span.end


class Follower:
    """Reads archive and Kafka into the tables until they keep up with what comes in."""

    def __init__(
        self, consumer: AIOKafkaConsumer, applier: Applier, partitions: Sequence[TopicPartition], bar: "tqdm[Any]"
    ) -> None:
        self._consumer = consumer
        self._applier = applier
        self._partitions = partitions
        self._bar = bar

    async def run(self) -> None:
        """Return when a round of reading what came meanwhile took no longer than two seconds."""
        self._consumer.assign(self._partitions)
        await self._align()
        clock = asyncio.get_running_loop()
        took = _LEVEL_WITHIN_S
        while took >= _LEVEL_WITHIN_S:
            ends = await self._consumer.end_offsets(self._partitions)
            self._bar.total = max(self._bar.total, sum(ends.values()))
            begun = clock.time()
            await self._read_to(ends)
            took = clock.time() - begun

    async def _align(self) -> None:
        """Begin where the tables stand, the archive's part applied; records may still be on their way there."""
        while positions := await self._applier.realign(self._partitions):
            for partition, offset in positions.items():
                self._consumer.seek(partition, offset)
            if not any(map(self._applier.is_behind, self._partitions)):
                return
            await asyncio.sleep(_HISTORY_AGAIN_S)

    async def _read_to(self, ends: Mapping[TopicPartition, int]) -> None:
        async for partition, records in by_time({tp: self._log(tp, end) for tp, end in ends.items()}):
            back_to = await self._applier.apply(partition, records)
            if back_to is None:
                self._bar.update(len(records))
            else:
                self._consumer.seek(partition, back_to)
                await self._align()

    async def _log(self, partition: TopicPartition, end: int) -> Batches:
        """What Kafka holds of a partition, from the consumer's position to `end`."""
        fruitless = 0
        while fruitless < _FRUITLESS_FETCHES and await self._consumer.position(partition) < end:
            fetched = await self._consumer.getmany(partition, timeout_ms=_FETCH_MS, max_records=_BATCH)
            if records := fetched.get(partition):
                fruitless = 0
                yield records
            else:
                fruitless += 1
