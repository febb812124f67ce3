"""Copies one partition to another cluster, with its offsets and times, and compares what it has copied."""

import asyncio
import time
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition

from services.common.kafka import make_consumer
from services.common.settings import KafkaSettings
from services.provision.log_copy import Aborted, CannotCopy, Committed, CopyPlan, LogRecord, Write
from services.provision.log_writer import LogWriter
from services.provision.topics import TopicAdmin
from services.provision.waiting import Pulse

_FETCH_MS = 1000
_FETCH_RECORDS = 4000
_MARKER_S = 60
_PAUSE_S = 0.01
_OVERLAP = 50_000
"""Offsets before the end of a copy that are compared before it goes on. No write of a copy spans more records."""


@dataclass(frozen=True, slots=True)
class Copied:
    """What a copy has done: from where to where, and how many records."""

    begin: int
    end: int
    records: int


class PartitionCopy:
    """Copies a partition as far as its log is decided now. It goes on where an earlier copy has ended."""

    def __init__(
        self,
        partition: TopicPartition,
        source: AIOKafkaConsumer,
        target: AIOKafkaConsumer,
        writer: LogWriter,
        pulse: Pulse,
    ) -> None:
        self._partition = partition
        self._name = f"{partition.topic}/{partition.partition}"
        self._source = source
        self._target = target
        self._writer = writer
        self._pulse = pulse

    async def run(self, admin: TopicAdmin) -> Copied:
        """Copy and compare. `admin`: of the target. Raises CannotCopy, KafkaError."""
        begin, end = await log_range(self._source, self._partition)
        copy_begin, reached = await log_range(self._target, self._partition)
        if reached > end:
            raise CannotCopy(f"the copy ends at offset {reached}, the source at {end}: something else writes there")
        await self._compare(max(begin, copy_begin, reached - _OVERLAP), reached)
        plan = CopyPlan(begin, reached)
        await self._write(plan.start())
        records = 0
        async for fetched in read_log(self._source, self._partition, max(begin, reached), end):
            await self._write(plan.add(fetched))
            records += len(fetched)
            self._pulse.at(f"copying {self._name}", fetched[-1].offset, end)
        await self._write(plan.finish(end))
        if copy_begin < begin:
            await admin.delete_before(self._partition, begin)
        await self._compare(max(begin, reached), end)
        return Copied(reached, end, records)

    async def _write(self, writes: Iterable[Write]) -> None:
        for write in writes:
            if isinstance(write, Committed | Aborted):
                await self._write_transaction(write)
            else:
                await self._writer.write(self._partition, write)

    async def _write_transaction(self, write: Committed | Aborted) -> None:
        """Write it, and wait for its marker: a broker ends a transaction before the marker has its offset."""
        _begin, before = await log_range(self._target, self._partition)
        await self._writer.write(self._partition, write)
        until = time.monotonic() + _MARKER_S
        while (await log_range(self._target, self._partition))[1] < before + write.offsets:
            if time.monotonic() > until:
                raise CannotCopy(f"the marker of a transaction after offset {before} is not written in {_MARKER_S} s")
            await asyncio.sleep(_PAUSE_S)

    async def _compare(self, begin: int, end: int) -> None:
        """Require the same committed records, offset by offset. Raises CannotCopy."""
        copies = self._each(self._target, begin, end)
        async with aclosing(copies), aclosing(self._each(self._source, begin, end)) as records:
            async for record in records:
                self._require_same(record, await anext(copies, None))
                self._pulse.at(f"comparing {self._name}", record.offset, end)
            self._require_same(None, await anext(copies, None))

    def _require_same(self, record: LogRecord | None, copy: LogRecord | None) -> None:
        if record != copy:
            offset = min(each.offset for each in (record, copy) if each is not None)
            raise CannotCopy(f"at offset {offset} the copy has other records than the source")

    async def _each(self, consumer: AIOKafkaConsumer, begin: int, end: int) -> AsyncGenerator[LogRecord, None]:
        async for records in read_log(consumer, self._partition, begin, end):
            for record in records:
                yield record


async def read_log(
    consumer: AIOKafkaConsumer, partition: TopicPartition, begin: int, end: int
) -> AsyncGenerator[list[LogRecord], None]:
    """The committed records of a range, some thousands at a time."""
    if begin >= end:
        return
    consumer.assign([partition])
    consumer.seek(partition, begin)
    while await consumer.position(partition) < end:
        fetched = await consumer.getmany(partition, timeout_ms=_FETCH_MS, max_records=_FETCH_RECORDS)
        if records := [
            LogRecord(each.offset, each.timestamp, each.key, each.value, tuple(each.headers))
            for each in fetched.get(partition, ())
            if each.offset < end
        ]:
            yield records


def log_consumer(settings: KafkaSettings) -> AIOKafkaConsumer:
    """A consumer that reads where it is sent, and fails where the log does not hold that offset."""
    return make_consumer(settings, group_id=None, enable_auto_commit=False, auto_offset_reset="none")


async def log_range(consumer: AIOKafkaConsumer, partition: TopicPartition) -> tuple[int, int]:
    """Where the log begins, and its last stable offset."""
    begins = await consumer.beginning_offsets([partition])
    ends = await consumer.end_offsets([partition])
    return begins[partition], ends[partition]
