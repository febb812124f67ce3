"""Follows topic `purchases` from a model's cut-off on, so that its state knows what was bought a second ago.

Every replica reads all partitions by itself, without a consumer group: nothing is committed, and after a restart
reading begins at the model's cut-off again.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from recsys.stream_apply import REMEMBERED_LINES, StreamApplier
from services.common.event_rules import EventRules
from services.common.kafka import make_consumer, partitions_of, stop
from services.common.metrics import RECOMMENDER_STREAM_FAILURES, RECOMMENDER_STREAM_RECORDS
from services.common.settings import KafkaSettings
from services.recommender.log_identity import LogIdentity, TopicRecreated
from services.recommender.partition_position import StreamPosition, StreamStart
from services.recommender.stream_metrics import StreamMetrics

logger = logging.getLogger(__name__)

# About as many turns of the event loop as an answer takes from its arrival until it is sent: with one turn a slice,
# each answer would wait for as many slices. Turns that nobody needs cost some 10 µs each.
_TURNS = 8
_CLOCK_EVERY = 16  # records
# What one call of getmany decodes at once, in about the time of a slice.
_FETCH_RECORDS = 400
# What a partition may send at once: some thousand records, compressed. Partitions take turns, so each waits for that
# much of every other one.
_FETCH_BYTES = 256 * 1024
_RETRY_S = (0.2, 0.5, 1.0, 2.0)
_HEALTHY_RUN_S = 10.0  # at least the timeout for opening: a failure to open is no healthy run

Fetched = Mapping[TopicPartition, Sequence["ConsumerRecord[Any, Any]"]]


@dataclass(frozen=True, slots=True)
class FollowerTimings:
    """How long the steps of following may take, and how often they are done."""

    slice_s: float = 0.002  # for so long records may hold the event loop: answers are waiting
    fetch_wait_ms: int = 200
    fetch_alone_wait_ms: int = 50  # for one partition that is fetched alone
    fetch_held_ms: int = 100  # by the broker: a fetch for idle partitions delays the next one for busy ones
    unheard_ms: int = 1_000  # a broker that is up answers sooner, records or not
    lost_contact_ms: int = 5_000
    check_every_s: float = 20.0  # for new partitions, and whether the log is still the same one
    check_timeout_s: float = 2.0
    open_timeout_s: float = 10.0
    stop_timeout_s: float = 3.0
    caught_up_ms: int = 1_000  # a state of this age or less has caught up
    report_every_s: float = 1.0


class _ReopenConsumer(Exception):
    """The consumer must be reopened; the message says why."""


@dataclass(slots=True)
class _Session:
    """One open consumer."""

    consumer: AIOKafkaConsumer
    partitions: Sequence[TopicPartition]
    checked_at: float
    reported_at: float
    # Partitions to fetch one by one. All at first: of the batch in whose middle reading starts, everything before that
    # is decoded at once.
    alone: list[TopicPartition] = field(init=False)
    asked: TopicPartition | None = None  # the partition of the last fetch; None: all

    def __post_init__(self) -> None:
        self.alone = list(self.partitions)


class PurchaseConsumer:
    """Feeds one model's state on the running event loop, until closed. While Kafka is away the state ages."""

    def __init__(
        self,
        settings: KafkaSettings,
        start: StreamStart,
        applier: StreamApplier,
        version: str,
        *,
        lookback: int = REMEMBERED_LINES,
        timings: FollowerTimings = FollowerTimings(),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`version` labels the metrics; `clock` gives monotonic seconds.

        `lookback`: so many records before the cut-off, of all partitions together, are read for the identity of their
        lines: a repeat of them may come after it.
        """
        self.caught_up = False  # whether the end of the stream was reached once
        self.records_read = 0  # those before the cut-off as well
        self._settings = settings
        self._applier = applier
        self._version = version
        self._timings = timings
        self._clock = clock
        self._position = StreamPosition()
        self._identity = LogIdentity(version, start, self._position, lookback)
        self._metrics = StreamMetrics(version, applier, self.age_ms)
        self._fields = {"model": version}  # of each log record
        self._away = False
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to follow; returns at once, whether Kafka is there or not."""
        self._metrics.start()
        self._task = asyncio.create_task(self._run(), name=f"follow-{self._version}")

    async def close(self) -> None:
        """Stop following, and remove the metrics of the version."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
            self._metrics.remove()

    def use_rules(self, rules: EventRules) -> None:
        """Validate by these rules from the next record on."""
        self._applier.rules = rules

    @property
    def lag(self) -> int | None:
        """Records not yet applied, as of the last fetch; None until Kafka has answered for every partition."""
        return self._position.lag

    @property
    def events_per_second(self) -> float | None:
        """Purchases applied a second, over the last second; None before the first contact with Kafka."""
        return self._metrics.events_per_second

    def age_ms(self, now_ms: int) -> int | None:
        """Age of the state; None before the first contact with Kafka."""
        return self._position.age_ms(now_ms)

    async def _run(self) -> None:
        failures = 0
        while True:
            begun = self._clock()
            try:
                await self._follow()
            except (_ReopenConsumer, TopicRecreated) as reason:
                logger.warning("model %s: reopening the consumer: %s", self._version, reason, extra=self._fields)
            except (KafkaError, OSError, TimeoutError) as error:
                self._note_failure(error)
            except Exception:
                # The record that it happened at is skipped: trying it again would fail again.
                RECOMMENDER_STREAM_RECORDS.labels("error").inc()
                logger.exception(
                    "model %s: skipping a record that could not be applied", self._version, extra=self._fields
                )
            failures = failures_after(failures, self._clock() - begun)
            await asyncio.sleep(pause_s(failures))

    def _note_failure(self, error: Exception) -> None:
        RECOMMENDER_STREAM_FAILURES.inc()
        if not self._away:
            self._away = True
            logger.warning(
                "model %s cannot follow the stream, will retry; answers use the state so far: %r",
                self._version,
                error,
                extra=self._fields,
            )

    def _note_success(self) -> None:
        if self._away:
            self._away = False
            logger.info("model %s follows the stream again", self._version, extra=self._fields)

    async def _follow(self) -> None:
        """Read until something is wrong. Raises _ReopenConsumer, TopicRecreated, KafkaError, OSError, TimeoutError."""
        consumer = make_consumer(
            self._settings,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            fetch_max_wait_ms=self._timings.fetch_held_ms,
            max_partition_fetch_bytes=_FETCH_BYTES,
            metadata_max_age_ms=int(self._timings.check_every_s * 1000),
        )
        try:
            async with asyncio.timeout(self._timings.open_timeout_s):
                await consumer.start()
                partitions = await partitions_of(consumer, self._settings.purchases_topic)
                consumer.assign(partitions)
                await self._identity.align(consumer, partitions, _now_ms)
            self._note_success()
            await self._read(_Session(consumer, partitions, self._clock(), self._clock()))
        finally:
            with suppress(KafkaError, OSError, TimeoutError):
                await asyncio.wait_for(stop(consumer), self._timings.stop_timeout_s)

    async def _read(self, session: _Session) -> None:
        while True:
            await self._check_log(session)
            fetched = await self._fetch(session)
            await self._apply(fetched)
            await self._observe(session, fetched)
            self._report(session)
            self._check_topic(session)

    async def _check_log(self, session: _Session) -> None:
        """Raises TopicRecreated."""
        if self._clock() - session.checked_at >= self._timings.check_every_s:
            session.checked_at = self._clock()
            timeout_s = self._timings.check_timeout_s
            await self._identity.check_anchors(session.consumer, session.partitions, timeout_s)

    async def _fetch(self, session: _Session) -> Fetched:
        """Records that have arrived, of one partition where one is to be fetched alone, else of all."""
        session.asked = session.alone.pop() if session.alone else None
        some, timings = [session.asked] if session.asked else [], self._timings
        wait_ms = timings.fetch_alone_wait_ms if some else timings.fetch_wait_ms
        try:
            fetched: Fetched = await session.consumer.getmany(*some, timeout_ms=wait_ms, max_records=_FETCH_RECORDS)
        except OffsetOutOfRangeError as error:
            raise _ReopenConsumer(f"the log does not hold the next offset: {error}") from None
        return fetched

    async def _apply(self, fetched: Fetched) -> None:
        for partition, records in fetched.items():
            await self._apply_each(partition.partition, records)

    async def _apply_each(self, number: int, records: Sequence["ConsumerRecord[Any, Any]"]) -> None:
        """Apply the records of one partition; the event loop gets its turn between two slices."""
        position, applier = self._position[number], self._applier
        self._identity.check_record(number, records[0])
        until = 0.0  # getmany does not wait where records are there already
        for count, record in enumerate(records):
            if not count % _CLOCK_EVERY and time.perf_counter() >= until:
                for _ in range(_TURNS):
                    await asyncio.sleep(0)
                until = time.perf_counter() + self._timings.slice_s
            if record.offset >= position.next:
                position.next = record.offset + 1
                position.last_read = record.offset, record.timestamp
                self.records_read += 1
                applier.apply(record.value, record.timestamp)
            elif position.next == position.cut_off:
                self.records_read += 1
                applier.remember(record.value, record.timestamp)
        position.heard_ms = _now_ms()
        self._identity.note_anchor(number, records[-1])
        if position.last_read is not None:
            position.as_of_ms = max(position.as_of_ms, position.last_read[1])

    async def _observe(self, session: _Session, fetched: Fetched) -> None:
        """Update lag and age by what the newest fetch said. Raises _ReopenConsumer where contact is lost."""
        for partition in session.partitions:
            await self._observe_each(session.consumer, partition)
        age_ms = self.age_ms(_now_ms())
        self.caught_up = self.caught_up or (age_ms is not None and age_ms <= self._timings.caught_up_ms)
        if session.asked and not fetched:
            self._require_contact(session.asked.partition)

    async def _observe_each(self, consumer: AIOKafkaConsumer, partition: TopicPartition) -> None:
        position, polled_ms = self._position[partition.partition], consumer.last_poll_timestamp(partition)
        if polled_ms is not None:
            # A consumer's position past the last record: what is left before the end are markers of transactions.
            applied = max(position.next, await consumer.position(partition))
            position.lag = max(0, consumer.last_stable_offset(partition) - applied)
            position.heard_ms = max(position.heard_ms, polled_ms)
            if not position.lag:
                position.as_of_ms = max(position.as_of_ms, polled_ms)

    def _require_contact(self, number: int) -> None:
        """Raises _ReopenConsumer for a partition without records and without any answer for too long."""
        if _now_ms() - self._position[number].heard_ms > self._timings.lost_contact_ms:
            raise _ReopenConsumer(f"no answer from Kafka for partition {number} in {self._timings.lost_contact_ms} ms")

    def _check_topic(self, session: _Session) -> None:
        """Raises _ReopenConsumer where the topic is gone or has new partitions."""
        known = session.consumer.partitions_for_topic(self._settings.purchases_topic)
        if known is None:
            raise _ReopenConsumer("the topic does not exist any more")
        if len(known) > len(session.partitions):
            raise _ReopenConsumer("the topic has new partitions")

    def _report(self, session: _Session) -> None:
        elapsed_s = self._clock() - session.reported_at
        if elapsed_s >= self._timings.report_every_s:
            session.reported_at += elapsed_s
            self._metrics.report(self.lag, elapsed_s)
            # Without an answer for long: perhaps only because records of the other partitions keep them waiting.
            session.alone = session.alone or self._unheard(session.partitions)

    def _unheard(self, partitions: Sequence[TopicPartition]) -> list[TopicPartition]:
        since = _now_ms() - self._timings.unheard_ms
        return [partition for partition in partitions if self._position[partition.partition].heard_ms < since]


def failures_after(failures: int, ran_s: float) -> int:
    """Consecutive failures once another attempt has ended; a healthy run starts the count again."""
    return 1 if ran_s > _HEALTHY_RUN_S else failures + 1


def pause_s(failures: int) -> float:
    """Seconds to wait after so many consecutive failures, from 1 on."""
    return _RETRY_S[min(failures, len(_RETRY_S)) - 1]


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
