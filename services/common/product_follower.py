"""Follows topic `products` from its beginning: the newest record of each product, then what comes.

Every reader reads the whole topic by itself, without a consumer group: after a restart it begins anew.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Protocol

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError

from services.common.kafka import TopicMissing, make_consumer, partitions_of, position_now, require_topics, stop
from services.common.metrics import PRODUCTS_DELAY_SECONDS, PRODUCTS_FOLLOW_FAILURES, PRODUCTS_RECORDS
from services.common.products import CatalogueProduct, InvalidProduct, parse_product
from services.common.settings import KafkaSettings

logger = logging.getLogger(__name__)

_FETCH_RECORDS = 400
_FETCH_WAIT_MS = 200
_FETCH_HELD_MS = 100
_SLICE_S = 0.002  # for so long records may hold the event loop
_CLOCK_EVERY = 16  # records
_OPEN_S = 10.0
_STOP_S = 3.0
_RETRY_S = 1.0
_RETRY_SELDOM_S = 10.0  # where somebody has to act: create the topic, grant the right
_POLL_S = 0.05


class ProductSink(Protocol):
    """Takes what the topic says, in the log's order."""

    def put(self, product_id: str, product: CatalogueProduct | None) -> None:
        """A product's newest record; None: the catalogue knows nothing of it any more."""


class ProductFollower:
    """Feeds a sink on the running event loop, until closed. While Kafka is away the sink keeps what it has."""

    def __init__(self, settings: KafkaSettings, sink: ProductSink) -> None:
        self.caught_up = False
        """Whether everything that the topic held at the start is in the sink; or there is no such topic."""
        self.failures = 0
        self.records_read = 0
        self._settings = settings
        self._sink = sink
        self._next: dict[TopicPartition, int] = {}
        self._reported = ""
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to follow; returns at once, whether Kafka is there or not."""
        self._task = asyncio.create_task(self._run(), name="follow-products")

    async def close(self) -> None:
        """Stop following."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def settled(self, within_s: float) -> None:
        """Return once it has caught up, has failed to reach Kafka, or so much time has passed."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while not self.caught_up and not self.failures:  # noqa: ASYNC110
                    await asyncio.sleep(_POLL_S)

    async def wait_caught_up(self, patience_s: float) -> bool:
        """Return once it has caught up (True), or where nothing was read for `patience_s`."""
        read, since = self.records_read, time.monotonic()
        while not self.caught_up:
            if self.records_read != read:
                read, since = self.records_read, time.monotonic()
            elif time.monotonic() - since > patience_s:
                return False
            await asyncio.sleep(_POLL_S)
        return True

    async def _run(self) -> None:
        while True:
            pause_s = await self._attempt()
            await asyncio.sleep(pause_s)

    async def _attempt(self) -> float:
        """Follow until that fails; returns after how many seconds to try again."""
        try:
            await self._follow()
        except TopicMissing:
            self.caught_up = True  # a catalogue without products
            self._report("there is none yet; `python -m services.provision` creates it")
            return _RETRY_SELDOM_S
        except TopicAuthorizationFailedError:
            # Not an empty catalogue: it may withhold products.
            self._failed("this service may not read it: grant it the rights Describe and Read")
            return _RETRY_SELDOM_S
        except (KafkaError, OSError, TimeoutError) as error:
            self._failed(repr(error))
        except Exception:
            # The record that it happened at is skipped: trying it again would fail again.
            PRODUCTS_RECORDS.labels("error").inc()
            logger.exception("skipping a record of %s that could not be applied", self._settings.products_topic)
        return _RETRY_S

    def _failed(self, reason: str) -> None:
        self.failures += 1
        PRODUCTS_FOLLOW_FAILURES.inc()
        self._report(f"{reason}; what is known of products stays as it is")

    def _report(self, reason: str) -> None:
        if reason != self._reported:
            self._reported = reason
            logger.warning("topic %s: %s", self._settings.products_topic, reason)

    async def _follow(self) -> None:
        consumer = make_consumer(
            self._settings,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=_FETCH_HELD_MS,
        )
        try:
            async with asyncio.timeout(_OPEN_S):
                ends = await self._open(consumer)
            self._reported = ""
            while True:
                fetched = await consumer.getmany(timeout_ms=_FETCH_WAIT_MS, max_records=_FETCH_RECORDS)
                for partition, records in fetched.items():
                    await self._apply(partition, records)
                self.caught_up = self.caught_up or all(
                    (position_now(consumer, each) or 0) >= end for each, end in ends.items()
                )
        finally:
            with suppress(KafkaError, OSError, TimeoutError):
                await asyncio.wait_for(stop(consumer), _STOP_S)

    async def _open(self, consumer: AIOKafkaConsumer) -> dict[TopicPartition, int]:
        """Place the consumer after what was read; returns where the topic ends."""
        await consumer.start()
        topic = self._settings.products_topic
        if topic not in await consumer.topics():  # it lists what this service may read
            await require_topics(self._settings, [topic])
        partitions = await partitions_of(consumer, topic)
        consumer.assign(partitions)
        for each in partitions:
            # Not from the beginning again: products would go back to their older records for a while.
            if each in self._next:
                consumer.seek(each, self._next[each])
        ends: dict[TopicPartition, int] = await consumer.end_offsets(partitions)
        return ends

    async def _apply(self, partition: TopicPartition, records: Sequence["ConsumerRecord[Any, Any]"]) -> None:
        """Apply records; the event loop gets its turn between two slices."""
        until = 0.0
        for count, record in enumerate(records):
            if not count % _CLOCK_EVERY and time.perf_counter() >= until:
                await asyncio.sleep(0)
                until = time.perf_counter() + _SLICE_S
            self._next[partition] = record.offset + 1
            self.records_read += 1
            PRODUCTS_RECORDS.labels(put_record(self._sink, record.key, record.value)).inc()
        if self.caught_up and records:
            PRODUCTS_DELAY_SECONDS.observe(max(0.0, time.time() - records[-1].timestamp / 1000))


def put_record(sink: ProductSink, key: bytes | None, value: bytes | None) -> str:
    """Put one record into the sink; the outcome: `applied` or `invalid`. An invalid one changes nothing."""
    try:
        if key is None:
            raise InvalidProduct("key", "is missing")
        product_id = key.decode()
        sink.put(product_id, None if value is None else parse_product(value, product_id=product_id, strict=False))
    except (InvalidProduct, UnicodeDecodeError) as error:
        logger.debug("an invalid record of the catalogue: %s", error)
        return "invalid"
    return "applied"
