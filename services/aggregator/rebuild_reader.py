"""Reads archive and Kafka from the beginning into the tables of a rebuild, until it has caught up."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from tqdm import tqdm

from services.aggregator.applier import Applier
from services.aggregator.archive_reader import (
    BackfillSource,
    OffsetRange,
    PartitionBatches,
    RecordBatches,
    merge_by_time,
)

_BATCH = 4000
_FETCH_MS = 1000
_EMPTY_FETCHES = 3  # only gaps of transactions are left before the end
_CAUGHT_UP_WITHIN_S = 2.0
_BACKFILL_RETRY_S = 5.0


class ProgressReader:
    """A backfill source that advances a progress bar."""

    def __init__(self, source: BackfillSource, bar: "tqdm[Any]") -> None:
        self._source = source
        self._bar = bar

    async def read(self, ranges: Mapping[TopicPartition, OffsetRange]) -> PartitionBatches:
        """See BackfillSource."""
        async for partition, records in self._source.read(ranges):
            yield partition, records
            self._bar.update(sum(_holds(ranges[partition], record.offset) for record in records))

    async def is_gap(self, partition: TopicPartition, wanted: int, found: int) -> bool:
        """See BackfillSource."""
        return await self._source.is_gap(partition, wanted, found)


def _holds(offsets: OffsetRange, offset: int) -> bool:
    return offsets.start <= offset < offsets.end


class RebuildReader:
    """Reads archive and Kafka into the tables until they have caught up."""

    def __init__(
        self, consumer: AIOKafkaConsumer, applier: Applier, partitions: Sequence[TopicPartition], bar: "tqdm[Any]"
    ) -> None:
        self._consumer = consumer
        self._applier = applier
        self._partitions = partitions
        self._bar = bar

    async def run(self) -> None:
        """Return once a round of reading what had arrived meanwhile took less than two seconds."""
        self._consumer.assign(self._partitions)
        await self._align()
        clock = asyncio.get_running_loop()
        took = _CAUGHT_UP_WITHIN_S
        while took >= _CAUGHT_UP_WITHIN_S:
            ends = await self._consumer.end_offsets(self._partitions)
            self._bar.total = max(self._bar.total, sum(ends.values()))
            begun = clock.time()
            await self._read_to(ends)
            took = clock.time() - begun

    async def _align(self) -> None:
        """Seek to the marks after the backfill; records may still be on their way to the archive."""
        while positions := await self._applier.realign(self._partitions):
            for partition, offset in positions.items():
                self._consumer.seek(partition, offset)
            if not any(map(self._applier.needs_backfill, self._partitions)):
                return
            await asyncio.sleep(_BACKFILL_RETRY_S)

    async def _read_to(self, ends: Mapping[TopicPartition, int]) -> None:
        async for partition, records in merge_by_time({tp: self._log(tp, end) for tp, end in ends.items()}):
            back_to = await self._applier.apply(partition, records)
            if back_to is None:
                self._bar.update(len(records))
            else:
                self._consumer.seek(partition, back_to)
                await self._align()

    async def _log(self, partition: TopicPartition, end: int) -> RecordBatches:
        """What Kafka holds of a partition, from the consumer's position to `end`."""
        empty_fetches = 0
        while empty_fetches < _EMPTY_FETCHES and await self._consumer.position(partition) < end:
            fetched = await self._consumer.getmany(partition, timeout_ms=_FETCH_MS, max_records=_BATCH)
            if records := fetched.get(partition):
                empty_fetches = 0
                yield records
            else:
                empty_fetches += 1
