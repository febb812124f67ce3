"""A Faust transport that hands over fetched records a batch at a time.

Stock Faust wraps, buffers and acknowledges each record by itself, which costs some 100 µs a record. Here one message
carries all records that one fetch brought from one partition. Its offset is the last record's; since batches of a
partition are handled in order, acknowledging it acknowledges all before it.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

from aiokafka.errors import ConsumerStoppedError, IllegalStateError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, Message

# A fetch that waits for records holds up seeks and commits, which go through the same thread.
_FETCH_WAIT_S = 0.2
# How long the broker holds a fetch for which it has nothing; Faust's 1.5 s is not a setting. A fetch that is sent while
# the busy partitions' records wait to be taken asks for the idle ones alone, and no other is sent until it returns.
_BROKER_WAIT_MS = 100
# A partition whose batches wait to be applied is left out of a fetch. It may have room again in no time, and then it
# must not wait until the others have records.
_CROWDED_WAIT_S = 0.02
# So long after a fetch with records the next one begins: in busy times a batch of 30 lines is not worth its costs. The
# first line after a pause does not wait.
_GATHER_S = 0.05


# How often all positions were set anew, and how often reading of the partition was sent elsewhere.
Epoch = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Batch:
    """The records of one partition from one fetch. `epoch` tells when: see BatchConsumer.is_current."""

    epoch: Epoch
    records: list[Any]


class _ConsumerThread(driver.AIOKafkaConsumerThread):
    """Faust's own, with a shorter wait at the broker."""

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = _BROKER_WAIT_MS
        return consumer


class BatchConsumer(driver.Consumer):
    """Yields one message per partition and fetch."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.resets = 0
        self._seeks: defaultdict[TP, int] = defaultdict(int)
        self._gathered_at = 0.0
        super().__init__(*args, **kwargs)

    def is_current(self, tp: TP, batch: Batch) -> bool:
        """Whether reading was sent nowhere else since the batch was asked for."""
        return batch.epoch == (self.resets, self._seeks[tp])

    def invalidate(self) -> None:
        """Positions are set anew, as by a rebalance."""
        self.resets += 1

    async def perform_seek(self) -> None:
        """Go to what is committed. Faust does so at moments of its own, even after a rebalance is over."""
        try:
            await super().perform_seek()
        finally:
            self.invalidate()

    async def go_to(self, positions: Mapping[TP, int]) -> None:
        """Read on from these offsets."""
        for tp, offset in positions.items():
            self._seeks[tp] += 1
            with suppress(IllegalStateError):  # revoked meanwhile: after a rebalance positions are set anew
                await self.seek_wait({tp: offset})

    async def leave_at(self, positions: Mapping[TP, int]) -> None:
        """Commit these offsets, the last ones of this process: a later commit of less does nothing."""
        await self.maybe_wait_for_commit_to_finish()
        await self._commit_offsets(positions)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Message]]:  # noqa: ASYNC109 (Faust's signature)
        """Fetch what is there. What was fetched before a rebalance is dropped: positions are set anew after it."""
        if self._buffered_partitions:
            if not self._get_active_partitions():  # where Faust itself would sleep for a second
                await asyncio.sleep(_CROWDED_WAIT_S)
                return
            timeout = min(timeout, _CROWDED_WAIT_S)
        await asyncio.sleep(self._gathered_at - time.monotonic())
        resets, seeks = self.resets, dict(self._seeks)  # before the fetch: a seek meanwhile makes it stale
        records, active = await self._wait_next_records(timeout)
        self._gathered_at = time.monotonic() + _GATHER_S if records else 0.0
        generation = self.app.consumer_generation_id
        if not records or self.should_stop:
            return
        if not self.flow_active:
            await self.perform_seek()
            return
        for tp, fetched in records.items():
            if not self.flow_active or self.app.consumer_generation_id != generation:
                return
            if fetched and (active is None or tp in active or tp in self._buffered_partitions):
                message = self._to_message(tp, fetched[-1])
                message.value = cast(Any, Batch((resets, seeks.get(tp, 0)), fetched))
                yield tp, message

    def _new_consumer_thread(self) -> Any:
        return _ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def _drain_messages(self, fetcher: Any) -> None:
        """Faust's fetch loop without its filter of offsets that were read before: the marks decide that."""
        try:
            while not (self.should_stop or fetcher.should_stop):
                await asyncio.sleep(0)
                async for _, message in self.getmany(timeout=_FETCH_WAIT_S):
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
