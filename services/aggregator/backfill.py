"""Backfill: applies records that have expired from Kafka, from the archive in S3."""

import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing

from aiokafka import TopicPartition

from services.aggregator.archive_reader import BackfillSource, OffsetRange
from services.aggregator.batch import RecordSpan
from services.aggregator.in_flight import InFlightCall
from services.aggregator.log_guard import require_same_log
from services.aggregator.partition_state import PartitionState, RebuildNeeded, partition_name
from services.aggregator.store import TableStore
from services.aggregator.validation import Record
from services.common.metrics import AGGREGATOR_MISSING
from services.common.telemetry import Health

logger = logging.getLogger(__name__)

_ACCEPTED = "accept_missing_history"

States = Mapping[TopicPartition, PartitionState]
IsCurrent = Callable[[TopicPartition, PartitionState], bool]
Advance = Callable[[InFlightCall, TopicPartition, PartitionState, RecordSpan], Awaitable[None]]


class ArchiveBackfill:
    """Reads what Kafka no longer holds, and decides what to do where the archive lacks records too."""

    def __init__(
        self,
        source: BackfillSource,
        store: TableStore,
        health: Health,
        *,
        accept_missing: bool,
        missing_timeout_s: float,
    ) -> None:
        """`missing_timeout_s`: how long records in neither Kafka nor the archive may still be on their way there."""
        self._source = source
        self._store = store
        self._health = health
        self._accept_missing = accept_missing
        self._missing_timeout_s = missing_timeout_s
        self._missing_since: dict[TopicPartition, float] = {}

    async def apply(self, states: States, is_current: IsCurrent, advance: Advance) -> None:
        """Apply what the archive holds from each partition's next offset to Kafka's log start.

        Ends early where a state is no longer current. Raises OffsetConflict, RebuildNeeded and OSError.
        """
        names = [*map(partition_name, states)]
        logger.warning(
            "backfilling %s from the archive: records expired from Kafka", ", ".join(names), extra={"partitions": names}
        )
        ranges = {partition: OffsetRange(state.next_offset, state.log_start) for partition, state in states.items()}
        in_flight = InFlightCall()
        try:
            async with aclosing(self._source.read(ranges)) as batches:
                async for partition, records in batches:
                    state = states[partition]
                    if not is_current(partition, state):
                        return  # forgotten, as by a rebalance: the next realignment continues with what is assigned
                    await self._check(partition, state, records)
                    await advance(in_flight, partition, state, RecordSpan(records, records[-1].offset + 1))
                    self._report(partition, state)
            await in_flight.wait()
        finally:
            await in_flight.drain()

    async def finish(self, states: States, is_current: IsCurrent) -> None:
        """After `apply`: wait for records that are still missing, skip them or stop. Raises RebuildNeeded."""
        for partition, state in states.items():
            if state.needs_backfill and is_current(partition, state):
                await self._handle_missing(partition, state)
        self._health.report("history", None)

    async def skip(self, partition: TopicPartition, state: PartitionState, to: int, why: str) -> None:
        """Continue without records that Kafka no longer holds and no archive gives back, and store which ones."""
        first, last = state.next_offset, to - 1
        name = partition_name(partition)
        fields = {"partition": name, "first_offset": first, "last_offset": last}
        logger.error("%s: skipping missing records %d to %d (%s)", name, first, last, why, extra=fields)
        AGGREGATOR_MISSING.inc(to - first)
        await self._store.note_missing(self._store.home_shard(partition.partition), name, first, last)
        state.skipped_to = to

    async def _check(self, partition: TopicPartition, state: PartitionState, records: Sequence[Record]) -> None:
        require_same_log(partition, state, records)
        found = records[0].offset
        if found > state.next_offset and not await self._source.is_gap(partition, state.next_offset, found):
            if not self._accept_missing:
                raise RebuildNeeded(records_lost_message(partition, state.next_offset, found - 1))
            await self.skip(partition, state, found, _ACCEPTED)
        self._missing_since.pop(partition, None)

    async def _handle_missing(self, partition: TopicPartition, state: PartitionState) -> None:
        """The archive ends before Kafka's log start: the archiver may still hold the records in between."""
        if await self._source.is_gap(partition, state.next_offset, state.log_start):
            state.skipped_to = state.log_start  # nothing is missing
            return
        since = self._missing_since.setdefault(partition, time.monotonic())
        first, last = state.next_offset, state.log_start - 1
        if time.monotonic() - since < self._missing_timeout_s:
            name = partition_name(partition)
            fields = {"partition": name, "first_offset": first, "last_offset": last}
            logger.warning("%s: waiting for records %d to %d in the archive", name, first, last, extra=fields)
        elif self._accept_missing:
            await self.skip(partition, state, state.log_start, _ACCEPTED)
        else:
            raise RebuildNeeded(records_lost_message(partition, first, last))

    def _report(self, partition: TopicPartition, state: PartitionState) -> None:
        self._health.report("history", f"{partition_name(partition)} at {state.next_offset} of {state.log_start}")


def records_lost_message(partition: TopicPartition, first: int, last: int) -> str:
    """The error for an operator where records are in neither Kafka nor the archive."""
    return (
        f"{partition_name(partition)}: records {first} to {last} come next, but neither Kafka nor the archive in S3 "
        "holds them; restore their objects below raw/purchases/, or set "
        "TILLSTREAM_AGGREGATOR_ACCEPT_MISSING_HISTORY=true to go on without them (the tables remember under `missing` "
        "which ones the figures lack)"
    )
