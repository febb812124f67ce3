"""A Faust transport that delivers fetched records in batches.

Stock Faust wraps, buffers and acknowledges each record by itself, which costs some 100 µs per record. Here one message
carries all records that one fetch brought from one partition. Its offset is the one before the fetch's end; since
batches of a partition are handled in order, acknowledging it acknowledges all before it.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

from aiokafka import TopicPartition
from aiokafka.errors import ConsumerStoppedError, IllegalStateError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, Message

from services.common.kafka import ISOLATION_LEVEL, position_now

# How often all positions were reset, and how often this consumer sought in the partition.
Epoch = tuple[int, int]
Fetched = Mapping[TP, "FetchedRecords"]


@dataclass(frozen=True, slots=True)
class FetchTimings:
    """How long fetches wait.

    `fetch_wait_s`: a fetch that waits for records holds up seeks and commits, which use the same thread.
    `broker_wait_ms`: how long the broker holds a fetch without records; Faust's 1.5 s is not a setting. A fetch that
    is sent while records of the busy partitions are buffered asks for the idle ones only, and no other is sent until
    it returns.
    `full_wait_s`: a partition whose batches wait to be applied is left out of a fetch. It may have room again within
    milliseconds, and must not wait then until the others have records.
    `gather_s`: the pause between fetches with records. Under load a batch of 30 lines is not worth its overhead. The
    first record after an empty fetch does not wait.
    """

    fetch_wait_s: float = 0.2
    broker_wait_ms: int = 100
    full_wait_s: float = 0.02
    gather_s: float = 0.05


DEFAULT_TIMINGS = FetchTimings()


class FetchedRecords(list[Any]):
    """The records of one partition from one fetch. `end`: the offset up to which there are no others.

    It may lie past the last record: markers of transactions and aborted records are no records.
    """

    end: int


@dataclass(frozen=True, slots=True)
class FetchedBatch:
    """The records of one partition from one fetch, up to `end`. `epoch` says when: see BatchConsumer.is_current."""

    epoch: Epoch
    records: list[Any]
    end: int


class _ConsumerThread(driver.AIOKafkaConsumerThread):
    """Faust's own, with a shorter wait at the broker; reads committed records only."""

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = cast(BatchConsumer, self.consumer).timings.broker_wait_ms
        consumer._isolation_level = ISOLATION_LEVEL  # Faust's own setting would also commit in transactions
        return consumer

    async def _fetch_records(self, consumer: Any, *arguments: Any, **options: Any) -> Fetched:
        """Faust's, and where each partition's position is right after it: nothing can seek in between."""
        fetched = await super()._fetch_records(consumer, *arguments, **options)
        return {tp: _with_end(records, consumer, tp) for tp, records in fetched.items()}

    def last_stable_offset(self, tp: TP) -> int | None:
        """The end of what is committed in a partition, as of its last fetch; None before the first one."""
        end: int | None = self._ensure_consumer().last_stable_offset(tp)
        return end


def _with_end(records: list[Any], consumer: Any, tp: TP) -> FetchedRecords:
    ended = FetchedRecords(records)
    ended.end = position_now(consumer, tp) or records[-1].offset + 1
    return ended


class _RebalanceListener(driver.ConsumerRebalanceListener):
    """Faust's own; and a static member that came back joins once more.

    The broker hands such a member its old assignment without a rebalance, and names its old member id as the leader
    (KIP-814 changed that; aiokafka's JoinGroup is older). The member takes itself for a follower, and only a leader
    watches the topics: new partitions would have no reader until the next rebalance. Where it does lead, the second
    join makes the broker rebalance and say so. Where it does not, the broker repeats its assignment.
    """

    def __init__(self, thread: driver.AIOKafkaConsumerThread) -> None:
        super().__init__(thread)
        self._joined_again_as: str | None = None

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Also called when the broker repeats an assignment."""
        await super().on_partitions_assigned(assigned)
        coordinator = self._thread._ensure_consumer()._coordinator
        follows = coordinator._group_subscription is None
        if coordinator._group_instance_id and follows and coordinator.member_id != self._joined_again_as:
            self._joined_again_as = coordinator.member_id
            coordinator.request_rejoin()


class BatchConsumer(driver.Consumer):
    """Yields one message per partition and fetch."""

    RebalanceListener = _RebalanceListener

    def __init__(self, *args: Any, timings: FetchTimings = DEFAULT_TIMINGS, **kwargs: Any) -> None:
        self.resets = 0
        self.timings = timings
        self._seeks: defaultdict[TP, int] = defaultdict(int)
        self._next_fetch_at = 0.0
        super().__init__(*args, **kwargs)

    def is_current(self, tp: TP, batch: FetchedBatch) -> bool:
        """Whether the partition's position was not changed since the batch was fetched."""
        return batch.epoch == (self.resets, self._seeks[tp])

    def last_stable_offset(self, tp: TP) -> int | None:
        """The end of what is committed in a partition, as of its last fetch; None before the first one."""
        return cast(_ConsumerThread, self._thread).last_stable_offset(tp)

    def invalidate(self) -> None:
        """All positions are reset, as by a rebalance."""
        self.resets += 1

    async def perform_seek(self) -> None:
        """Seek to the committed offsets. Faust does so on its own, even after a rebalance is over."""
        try:
            await super().perform_seek()
        finally:
            self.invalidate()

    async def go_to(self, positions: Mapping[TP, int]) -> None:
        """Seek to these offsets."""
        for tp, offset in positions.items():
            self._seeks[tp] += 1
            with suppress(IllegalStateError):  # revoked meanwhile: a rebalance resets the positions
                await self.seek_wait({tp: offset})

    async def leave_at(self, positions: Mapping[TP, int]) -> None:
        """Commit these offsets, the last ones of this process: a later commit of less does nothing."""
        await self.maybe_wait_for_commit_to_finish()
        await self._commit_offsets(positions)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Message]]:  # noqa: ASYNC109 (Faust's signature)
        """Fetch what is there. Records fetched before a rebalance are dropped: positions are reset after it."""
        wait_s = await self._paced_wait_s(timeout)
        if wait_s is None:
            return
        resets, seeks = self.resets, dict(self._seeks)  # before the fetch: a seek meanwhile makes it stale
        records, active = await self._wait_next_records(wait_s)
        self._next_fetch_at = time.monotonic() + self.timings.gather_s if records else 0.0
        if not records or self.should_stop:
            return
        if not self.flow_active:
            await self.perform_seek()
            return
        for tp, fetched in self._of_active_partitions(cast(Fetched, records), active):
            message = self._to_message(tp, fetched[-1])
            message.offset = fetched.end - 1
            message.value = cast(Any, FetchedBatch((resets, seeks.get(tp, 0)), fetched, fetched.end))
            yield tp, message

    async def _paced_wait_s(self, timeout_s: float) -> float | None:
        """Pause until the next fetch is due; how long it may wait for records, None where no partition has room."""
        if self._buffered_partitions:
            if not self._get_active_partitions():  # where Faust itself would sleep for a second
                await asyncio.sleep(self.timings.full_wait_s)
                return None
            timeout_s = min(timeout_s, self.timings.full_wait_s)
        await asyncio.sleep(self._next_fetch_at - time.monotonic())
        return timeout_s

    def _of_active_partitions(self, records: Fetched, active: set[TP] | None) -> Iterator[tuple[TP, FetchedRecords]]:
        """Records of the partitions that are read; ends when a rebalance begins."""
        generation = self.app.consumer_generation_id
        for tp, fetched in records.items():
            if not self.flow_active or self.app.consumer_generation_id != generation:
                return
            if fetched and (active is None or tp in active or tp in self._buffered_partitions):
                yield tp, fetched

    def _new_consumer_thread(self) -> Any:
        return _ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def _drain_messages(self, fetcher: Any) -> None:
        """Faust's fetch loop without its filter of offsets that were read before: the marks decide that."""
        try:
            while not (self.should_stop or fetcher.should_stop):
                await asyncio.sleep(0)
                async for _, message in self.getmany(timeout=self.timings.fetch_wait_s):
                    await self.wait_first(self.callback(message), self.suspend_flow.wait())
        except (ConsumerStoppedError, asyncio.CancelledError):
            if not self.app.should_stop:
                raise

    def _new_offset(self, tp: TP) -> int | None:
        """The offset to commit: after the newest acknowledged batch."""
        acknowledged = self._acked[tp]
        if not acknowledged:
            return None
        newest = max(acknowledged)
        acknowledged.clear()
        self._acked_index[tp].clear()
        return int(newest) + 1


class BatchTransport(driver.Transport):
    """The aiokafka transport with the batch consumer."""

    Consumer = BatchConsumer
