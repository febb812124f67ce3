"""Applies fetched records to the live tables exactly once, whatever crashes.

The marks (applied offsets) in Redis are authoritative; Kafka's committed offsets are a hint. A batch is applied from
the lowest mark on, and each shard gets only records at or after its own mark. On a conflict the cached state of the
partition is dropped, the marks are read again, and the consumer seeks back to them. Records that have expired from
Kafka come from the archive.
"""

import asyncio
import logging
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from operator import attrgetter
from typing import TypeVar

from aiokafka import TopicPartition
from redis.exceptions import RedisError

from services.aggregator.applier_parts import ApplierPorts, ApplierSettings, applier_settings
from services.aggregator.backfill import ArchiveBackfill
from services.aggregator.batch import BatchBuilder, RecordSpan, ShardCall, check_figures
from services.aggregator.empty_ends import EmptyEnds
from services.aggregator.engine_wait import until_available
from services.aggregator.in_flight import InFlightCall
from services.aggregator.log_guard import LogGuard
from services.aggregator.partition_state import PartitionState, partition_name
from services.aggregator.preparation import Looked, Preparation
from services.aggregator.refusals import ChunkRefused
from services.aggregator.settings import AggregatorSettings
from services.aggregator.store import BatchRefused, OffsetConflict, OrderConflict, TableStore
from services.aggregator.validation import Record
from services.common.calendar import Calendar
from services.common.erased import Erased
from services.common.generations import Generation
from services.common.metrics import (
    AGGREGATOR_LINES,
    AGGREGATOR_MISMATCHES,
    AGGREGATOR_ORDER_CONFLICTS,
    AGGREGATOR_REFETCHED,
)
from services.common.redis_client import REDIS_ERRORS, RedisClient
from services.common.telemetry import Health

logger = logging.getLogger(__name__)
T = TypeVar("T")

# `realign` backfills; a partition that waits for it would only fetch the same records again.
_BACKFILL_PAUSE_S = 1.0


class Applier:
    """Applies records partition by partition. One call at a time; `realign` may come in between."""

    def __init__(
        self,
        store: TableStore,
        ports: ApplierPorts,
        health: Health,
        settings: ApplierSettings,
        live: Callable[[], Awaitable[Generation]] | None = None,
    ) -> None:
        """`live` returns the generation to write, which may change at any time; without it the store's is written."""
        self._store = store
        self._dead_letters = ports.dead_letters
        self._health = health
        self._settings = settings
        self._live = live
        self._generation: Generation | None = None
        self._empty_ends = EmptyEnds(ports.log_range)
        self._log_guard = LogGuard(ports.log_range)
        self._batches = BatchBuilder(store, Calendar(settings.time_zone))
        self._backfill = ArchiveBackfill(
            ports.source,
            store,
            health,
            accept_missing=settings.accept_missing_history,
            missing_timeout_s=settings.missing_timeout_s,
        )
        self._preparation = Preparation(store, self._batches, ports.dead_letters, settings)
        self._states: dict[TopicPartition, PartitionState] = {}
        self._in_flight = InFlightCall()
        self._lock = asyncio.Lock()

    def reassigned(self) -> None:
        """Partitions were assigned: drop all cached state."""
        self._states.clear()
        self._dead_letters.forget()

    async def apply(
        self, partition: TopicPartition, records: Sequence[Record], end: int | None = None, *, ahead: bool = False
    ) -> int | None:
        """Apply the records of one fetch. Returns the offset to seek back to, None where reading may continue.

        `end`: the offset up to which there are no other records, by default the one after the last record. `ahead`:
        return while the last calls are in flight, so that Redis works while the next batch is prepared. Should they
        fail, the next batch or `realign` seeks back.
        Waits while Redis or the dead-letter topic is unavailable. Raises RebuildNeeded, TooManyInvalidRecords.
        """
        span = RecordSpan(records, records[-1].offset + 1 if end is None else end)
        async with self._lock:
            back_to = await self._retry(lambda: self._apply(partition, span, ahead))
        if back_to is not None and self.needs_backfill(partition):
            await asyncio.sleep(_BACKFILL_PAUSE_S)
        return back_to

    async def realign(
        self, partitions: Sequence[TopicPartition], positions_reset: Callable[[], bool] = lambda: False
    ) -> dict[TopicPartition, int]:
        """The offset to seek to in each partition whose mark differs from the cached one.

        This detects a Redis that was restored from a snapshot or emptied while no record came in. Records that have
        expired from Kafka are backfilled before it returns, and marks pass the markers of transactions and the aborted
        records that a log ends with. `positions_reset` says whether the consumer's positions were set elsewhere; then
        nothing cached is valid. It is asked under the lock: a batch from before may wait for
        Redis for long, and cache marks again although the consumer does not seek to them. Raises RebuildNeeded.
        """
        async with self._lock:
            if positions_reset():
                self._states.clear()
            return await self._retry(lambda: self._realign(partitions))

    async def use_erased(self, erased: Erased | None) -> None:
        """Count the lines of these customers without a customer. Once it returns, no older call is in flight."""
        async with self._lock:
            await self._settle()
            self._preparation.rules = self._preparation.rules._replace(erased=erased)

    async def close(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Finish the batch in progress and apply nothing after it. Returns the marks of known partitions.

        Waits as long as Redis or the dead-letter topic is unavailable.
        """
        await self._lock.acquire()  # and never released
        await self._settle()
        known = {partition: self._states.get(partition) for partition in partitions}
        return {
            partition: state.next_offset for partition, state in known.items() if state and not state.needs_backfill
        }

    def next_offset(self, partition: TopicPartition) -> int | None:
        """The offset before which everything is applied; None for a partition of which nothing is known."""
        state = self._states.get(partition)
        return None if state is None else state.next_offset

    def needs_backfill(self, partition: TopicPartition) -> bool:
        """Whether the next records have expired from Kafka and are not applied from the archive yet."""
        state = self._states.get(partition)
        return state is not None and state.needs_backfill

    async def _realign(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        try:
            await self._in_flight.wait()
        except OffsetConflict as conflict:
            self._count_conflict(conflict)
            await self._drop_states()
        except ChunkRefused as refused:
            await self._narrow(refused)
        await self._follow_generation()
        seek_to = {}
        for partition in partitions:
            known = self._states.get(partition)
            marks = await self._store.marks(partition_name(partition))
            if known is None or any(shard.mark != marks[number] for number, shard in known.shards.items()):
                seek_to[partition] = (await self._load(partition)).next_offset
        expired = [partition for partition in partitions if self.needs_backfill(partition)]
        if expired:
            await self._run_backfill(expired)
            seek_to |= {partition: known.next_offset for partition in expired if (known := self._states.get(partition))}
        await self._pass_markers(partitions)
        return seek_to

    async def _pass_markers(self, partitions: Sequence[TopicPartition]) -> None:
        """Move marks over the end of a log that holds no record: it brings no batch that would move them."""
        for partition, end in (await self._empty_ends.of(partitions, self._states)).items():
            if (state := self._states.get(partition)) is None:
                continue  # assigned anew meanwhile
            nothing = Looked(RecordSpan([], end))
            try:
                calls = await self._preparation.calls(partition, state, nothing)
                await self._call(partition, calls, nothing)
            except OffsetConflict as conflict:
                self._count_conflict(conflict)
                self._states.pop(partition, None)

    async def _run_backfill(self, partitions: Sequence[TopicPartition]) -> None:
        states = {partition: self._states[partition] for partition in partitions}
        try:
            await self._backfill.apply(states, self._is_current, self._advance)
        except OffsetConflict as conflict:
            self._count_conflict(conflict)
            self._states.clear()
        except ChunkRefused as refused:
            await self._narrow(refused)
        finally:
            self._preparation.orders.forget()
        await self._backfill.finish(states, self._is_current)

    def _is_current(self, partition: TopicPartition, state: PartitionState) -> bool:
        return self._states.get(partition) is state

    async def _apply(self, partition: TopicPartition, span: RecordSpan, ahead: bool) -> int | None:
        records = span.records
        state = self._states.get(partition) or await self._load(partition)
        if (back_to := await self._seek_back_to(partition, state, records[0].offset)) is not None:
            return back_to
        state.started = True
        if records[0].offset < state.next_offset:
            AGGREGATOR_REFETCHED.inc(sum(record.offset < state.next_offset for record in records))
        return await self._advance_through(partition, state, span, ahead)

    async def _advance_through(
        self, partition: TopicPartition, state: PartitionState, span: RecordSpan, ahead: bool
    ) -> int | None:
        while True:
            try:
                await self._advance(self._in_flight, partition, state, span)
                if not ahead:
                    await self._in_flight.wait()
            except ChunkRefused as refused:
                await self._narrow(refused)
            except OrderConflict as conflict:
                fields = {"partition": partition_name(partition)}
                logger.info("an order came by two partitions at once; deciding again: %s", conflict, extra=fields)
                AGGREGATOR_ORDER_CONFLICTS.inc()
                await self._drop_states()
            except OffsetConflict as conflict:
                self._count_conflict(conflict)
                await self._drop_states()
                return (await self._load(partition)).next_offset
            else:
                self._preparation.refusals.passed(partition, state.next_offset)
                return None
            # The same records once more, not fetched again, from where the marks are.
            state = self._states.get(partition) or await self._load(partition)
            if span.records[0].offset > state.next_offset or state.needs_backfill:
                return state.next_offset

    async def _settle(self) -> None:
        """Wait for the calls in flight. Where they fail, the marks say so: whoever reads on finds what is missing."""
        try:
            await self._in_flight.wait()
        except (OffsetConflict, ChunkRefused, *REDIS_ERRORS) as error:
            logger.warning("the calls in flight failed; reading again from the marks: %s", error)
            await self._drop_states()

    async def _drop_states(self) -> None:
        """Something in flight failed, perhaps of another partition: what was built on it is worth nothing."""
        await self._in_flight.drain()
        self._states.clear()
        self._preparation.orders.forget()

    async def _narrow(self, refused: ChunkRefused) -> None:
        """Find the record that cannot be applied. Raises RedisError where no record is to blame."""
        await self._drop_states()
        partition, name = refused.partition, partition_name(refused.partition)
        state = await self._load(partition)
        try:
            for number, shard in state.shards.items():
                await self._store.probe(number, name, shard.mark)
        except BatchRefused as error:
            raise RedisError(f"the tables cannot be written: {error}") from error
        if not self._preparation.refusals.narrow(refused):
            raise RedisError(f"{name} cannot pass offset {refused.first:,}: {refused}")

    async def _seek_back_to(self, partition: TopicPartition, state: PartitionState, first: int) -> int | None:
        """Where to read before a batch that begins at `first` may be applied; None where it may be applied now."""
        if not state.needs_backfill and first > state.next_offset:
            await self._check_log(partition, state)  # records that expired are no gap in the log
            wanted = state.next_offset
            if not state.needs_backfill and not await self._log_guard.is_gap(partition, wanted, first):
                return wanted
        elif state.started and first < state.next_offset:
            await self._check_log(partition, state)  # the log went back under a running reader
        return state.log_start if state.needs_backfill else None  # `realign` backfills what lies before

    async def _advance(
        self, in_flight: InFlightCall, partition: TopicPartition, state: PartitionState, span: RecordSpan
    ) -> None:
        """Apply what lies past the marks, chunk by chunk; the last calls may still be in flight."""
        wanted = span.records[bisect_left(span.records, state.next_offset, key=attrgetter("offset")) :]
        ready: tuple[list[ShardCall], Looked] | None = None
        size = partial(self._preparation.refusals.chunk, partition, self._settings.chunk)
        for chunk in RecordSpan(wanted, span.end).chunks(size):
            # Read before the calls that are ready: Redis would answer only after them, and nothing be folded meanwhile.
            looked = await self._preparation.look(partition, chunk)
            if ready is not None:
                await in_flight.start(self._call(partition, *ready))
            ready = await self._preparation.calls(partition, state, looked), looked
        if ready is not None:
            await in_flight.start(self._call(partition, *ready))

    async def _call(self, partition: TopicPartition, calls: Sequence[ShardCall], looked: Looked) -> None:
        try:
            if self._store.checks_first:
                await check_figures(self._store, calls)
            for call in calls:
                with looked.trace.script_call():
                    floor = await self._store.apply(call.shard, call.advance, call.delta, call.effects, call.payload)
                self._preparation.orders.confirmed(call.delta.orders)
                self._batches.raise_floor(call.shard, floor)
                AGGREGATOR_LINES.inc(call.delta.events)
        except BatchRefused as refusal:
            raise ChunkRefused(partition, looked.span.records, str(refusal)) from refusal
        looked.trace.end()

    def _count_conflict(self, conflict: OffsetConflict) -> None:
        logger.warning(
            "offset conflict (another writer or a restored Redis): re-reading from the applied offsets: %s", conflict
        )
        AGGREGATOR_MISMATCHES.inc()

    async def _follow_generation(self) -> None:
        """Switch to the generation that is live now. Calls for the previous one have no effect."""
        if self._live is None or (generation := await self._live()) == self._generation:
            return
        self._states.clear()
        self._generation = generation
        self._store.use(generation.keys)
        self._batches.use(Calendar(generation.time_zone))
        self._preparation.budgets.forget()

    async def _load(self, partition: TopicPartition) -> PartitionState:
        await self._settle()  # marks that are about to move would not fit the next calls
        await self._follow_generation()
        shards = dict(enumerate(await self._store.load(partition_name(partition))))
        if partition.topic == self._settings.dead_letters_topic:  # counted in one shard only
            home = self._store.home_shard(partition.partition)
            shards = {home: shards[home]}
        state = PartitionState(shards)
        await self._check_log(partition, state)
        self._batches.set_floors(await self._store.minute_floors(), await self._store.newest_events())
        self._states[partition] = state
        return state

    async def _check_log(self, partition: TopicPartition, state: PartitionState) -> None:
        await self._log_guard.check(partition, state)
        if state.needs_backfill and partition.topic == self._settings.dead_letters_topic:
            await self._backfill.skip(partition, state, state.log_start, "dead letters are not archived")

    async def _retry(self, attempt: Callable[[], Awaitable[T]]) -> T:
        return await until_available(attempt, self._store, self._health, self._drop_states)


def make_applier(
    settings: AggregatorSettings,
    redis: RedisClient,
    generation: Generation,
    ports: ApplierPorts,
    health: Health,
    *,
    live: Callable[[], Awaitable[Generation]] | None = None,
) -> Applier:
    """An applier that writes `generation`, or with `live` whichever generation is live."""
    store = TableStore(redis, generation.keys)
    return Applier(store, ports, health, applier_settings(settings, generation), live)
