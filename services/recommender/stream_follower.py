"""Follows topic `purchases` from a model's cut-off on, so that its state knows what was bought a second ago.

Every replica reads all partitions by itself, without a consumer group: nothing is committed, and after a restart
reading begins at the model's cut-off again.
"""

import asyncio
import logging
import math
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from recsys.stream_apply import REMEMBERED_IDS, Intake, Outcome
from services.common.events import format_time
from services.common.kafka import client_options, partitions_of, stop
from services.common.metrics import (
    RECOMMENDER_STATE,
    RECOMMENDER_STATE_FORGOTTEN,
    RECOMMENDER_STREAM_AGE,
    RECOMMENDER_STREAM_FAILURES,
    RECOMMENDER_STREAM_LAG,
    RECOMMENDER_STREAM_LOST,
    RECOMMENDER_STREAM_RECORDS,
    RECOMMENDER_STREAM_RESETS,
)
from services.common.settings import KafkaSettings

logger = logging.getLogger(__name__)

# For so long the event loop may be held by records: answers are waiting.
_SLICE_S = 0.002
# About as many turns of the event loop as an answer takes from its arrival until it is sent: with one turn a slice,
# each answer would wait for as many slices. Turns that nobody needs cost some 10 µs each.
_TURNS = 8
_CLOCK_EVERY = 16  # records
# What one call of getmany decodes at once, in about the time of a slice.
_FETCH_RECORDS = 400
_FETCH_WAIT_MS = 200
_ALONE_WAIT_MS = 50
# What a partition may send at once: some thousand records, compressed. Partitions take turns, so each waits for that
# much of every other one.
_FETCH_BYTES = 256 * 1024
# A fetch for partitions that have nothing holds back the next one for those that have.
_FETCH_HELD_MS = 100
# A broker that is there answers sooner, records or not.
_UNHEARD_MS = 1000
_LOST_CONTACT_MS = 5000
# How often it is asked whether there are new partitions, and whether the log is still the same one.
_LOOK_EVERY_S = 20.0
_LOOK_WITHIN_S = 2.0
_ANSWER_WITHIN_S = 10.0
_STOP_WITHIN_S = 3.0
_RETRY_S = (0.2, 0.5, 1.0, 2.0)
_LEVEL_MS = 1000
_REPORT_S = 1.0
# Kafka's mark of a record whose time is the broker's; that of a topic made otherwise may be out of order.
_LOG_APPEND_TIME = 1
_STATE_KINDS = ("customers", "lines", "neighbours", "products")


@dataclass(frozen=True, slots=True)
class StreamStart:
    """Where the model's training data ended.

    offsets: partition → the first offset that the model does not know; a partition that is missing is read from its
    beginning. Where there are none at all (an archive without offsets), reading starts at broker time `not_before_ms`.
    rows: partition → source → the highest row that the model knows.
    """

    offsets: Mapping[int, int]
    rows: Mapping[int, Mapping[str, int]]
    not_before_ms: int


class _Reopen(Exception):
    """Reading has to be set up anew; the message says why."""


@dataclass(slots=True)
class _Place:
    """How far a partition was read. Times are epoch milliseconds."""

    cut_off: int  # records below it are known from the model
    next: int
    as_of_ms: int  # everything that had arrived by then is known
    stamp: tuple[int, int] | None = None  # offset and broker time of the last record read
    anchor: tuple[int, int] | None = None  # a stamp of a while ago, where the times are the broker's own
    lag: int | None = None  # None until a fetch has told
    heard_ms: int = 0  # when Kafka last told anything of it


class Follower:
    """Feeds one model's state on the running event loop, until closed. Kafka away: what is known stays, and ages."""

    def __init__(
        self,
        settings: KafkaSettings,
        start: StreamStart,
        intake: Intake,
        version: str,
        lookback: int = REMEMBERED_IDS,
    ) -> None:
        """`version` labels the metrics. `lookback`: so many records before the cut-off, of all partitions together, are
        read for the event ids that name no row: a repeat of them may come after it.
        """
        self.caught_up = asyncio.Event()
        self.records_read = 0  # those before the cut-off as well
        self._settings = settings
        self._start = start
        self._intake = intake
        self._version = version
        self._lookback = lookback
        self._places: dict[int, _Place] = {}
        self._counted: dict[str, int] = {}
        self._rate: float | None = None
        self._away = False
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to follow; returns at once, whether Kafka is there or not."""
        RECOMMENDER_STREAM_AGE.labels(self._version).set_function(self._age_s)
        self._task = asyncio.create_task(self._run(), name=f"follow-{self._version}")

    async def close(self) -> None:
        """Stop following."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
            self._forget_metrics()

    @property
    def lag(self) -> int | None:
        """Records not yet applied, as of the last fetch; None until every partition was heard of."""
        lags = [place.lag for place in self._places.values() if place.lag is not None]
        return sum(lags) if lags and len(lags) == len(self._places) else None

    @property
    def events_per_second(self) -> float | None:
        """Purchases applied a second, over the last second; None before the first contact with Kafka."""
        return self._rate

    def age_ms(self, now_ms: int) -> int | None:
        """How old what is known of the stream is; None before the first contact with Kafka."""
        if not self._places:
            return None
        return max(0, now_ms - min(place.as_of_ms for place in self._places.values()))

    async def _run(self) -> None:
        failures = 0
        while True:
            begun = time.monotonic()
            try:
                await self._follow()
            except _Reopen as reason:
                logger.warning("model %s: reading of the stream is set up anew: %s", self._version, reason)
            except (KafkaError, OSError, TimeoutError) as error:
                self._broke_off(error)
            except Exception:
                # The record that it happened at is passed over: trying it again would fail again.
                RECOMMENDER_STREAM_RECORDS.labels("error").inc()
                logger.exception("model %s: a record could not be applied and is passed over", self._version)
            failures = failures_after(failures, time.monotonic() - begun)
            await asyncio.sleep(pause_s(failures))

    def _broke_off(self, error: Exception) -> None:
        RECOMMENDER_STREAM_FAILURES.inc()
        if not self._away:
            self._away = True
            logger.warning(
                "model %s cannot follow the stream: %r; answers go on from what is known, and it is tried again",
                self._version,
                error,
            )

    def _is_back(self) -> None:
        if self._away:
            self._away = False
            logger.info("model %s follows the stream again", self._version)

    async def _follow(self) -> None:
        """Read until something is wrong. Raises _Reopen, KafkaError, OSError, TimeoutError."""
        consumer = AIOKafkaConsumer(
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            fetch_max_wait_ms=_FETCH_HELD_MS,
            max_partition_fetch_bytes=_FETCH_BYTES,
            metadata_max_age_ms=int(_LOOK_EVERY_S * 1000),
            **client_options(self._settings),
        )
        try:
            async with asyncio.timeout(_ANSWER_WITHIN_S):
                await consumer.start()
                partitions = await partitions_of(consumer, self._settings.purchases_topic)
                consumer.assign(partitions)
                await self._align(consumer, partitions)
            self._is_back()
            await self._read(consumer, partitions)
        finally:
            with suppress(KafkaError, OSError, TimeoutError):
                await asyncio.wait_for(stop(consumer), _STOP_WITHIN_S)

    async def _align(self, consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition]) -> None:
        """Send the consumer to where reading goes on."""
        begins = await consumer.beginning_offsets(partitions)
        ends = await consumer.end_offsets(partitions)
        first = {} if self._places else await self._cut_offs(consumer, partitions, ends)
        for partition in partitions:
            number, begin = partition.partition, begins[partition]
            place = self._places.get(number)
            if place is None:
                cut_off = first.get(number, 0)
                place = self._places[number] = _Place(cut_off, cut_off, self._start.not_before_ms)
            self._fit(number, place, begin, ends[partition])
            place.heard_ms = _now_ms()
            # The last record read tells whether it is still the same log.
            back = self._lookback // len(partitions) if place.stamp is None else 1
            consumer.seek(partition, max(begin, place.next - back))

    async def _cut_offs(
        self, consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition], ends: Mapping[TopicPartition, int]
    ) -> dict[int, int]:
        if self._start.offsets:
            return dict(self._start.offsets)
        since = self._start.not_before_ms
        logger.warning(
            "model %s does not say at which offsets its training data ended: the stream is followed from %s on",
            self._version,
            format_time(since),
        )
        found = await consumer.offsets_for_times(dict.fromkeys(partitions, since))
        return {p.partition: at.offset if (at := found[p]) else ends[p] for p in partitions}

    def _fit(self, number: int, place: _Place, begin: int, end: int) -> None:
        """Where the log does not hold the place, go on from what it does hold, and say so."""
        if place.next > end:
            self._begin_anew(number, place, begin, f"it ends at offset {end}, before {place.next}")
        elif place.next < begin:
            lost = begin - place.next
            RECOMMENDER_STREAM_LOST.inc(lost)
            logger.error(
                "partition %d: %d records left Kafka before model %s could follow them, reading goes on at offset %d; "
                "the next model will know them from the archive (`make train`)",
                number,
                lost,
                self._version,
                begin,
            )
            place.cut_off = place.next = begin
            place.stamp = place.anchor = None

    def _begin_replaced(self, number: int, place: _Place, begin: int, offset: int) -> None:
        self._begin_anew(number, place, begin, f"its record {offset} is of another time than before")

    def _begin_anew(self, number: int, place: _Place, begin: int, why: str) -> None:
        RECOMMENDER_STREAM_RESETS.inc()
        logger.error(
            "partition %d is not the log that model %s followed or was trained on (%s): it is read from its beginning, "
            "%d; train a new model (`make train`)",
            number,
            self._version,
            why,
            begin,
        )
        place.cut_off = place.next = begin
        place.stamp = place.anchor = None

    async def _read(self, consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition]) -> None:
        reported_at = looked_at = time.monotonic()
        # One by one at first: of the batch in whose middle reading begins, all before it is unpacked in one go.
        alone = list(partitions)
        while True:
            if time.monotonic() - looked_at >= _LOOK_EVERY_S:
                looked_at = time.monotonic()
                await self._check_anchors(consumer, partitions)
            asked = [alone.pop()] if alone else []
            fetched = await self._fetch(consumer, asked)
            for partition, records in fetched.items():
                await self._apply(partition.partition, records)
            for partition in partitions:
                await self._observe(consumer, partition)
            if asked and not fetched:
                self._require_contact(asked[0])
            self._note_level()
            known = consumer.partitions_for_topic(self._settings.purchases_topic)
            if known is None:
                raise _Reopen("Kafka does not know the topic any more")
            elapsed_s = time.monotonic() - reported_at
            if elapsed_s >= _REPORT_S:
                reported_at += elapsed_s
                self._report(elapsed_s)
                # It may be that others only kept them waiting.
                alone = alone or self._unheard(partitions)
                if len(known) > len(partitions):
                    raise _Reopen("the topic has got more partitions")

    async def _fetch(
        self, consumer: AIOKafkaConsumer, some: Sequence[TopicPartition]
    ) -> Mapping[TopicPartition, Sequence[Any]]:
        """What is there of some partitions; of all where none is named."""
        try:
            fetched: Mapping[TopicPartition, Sequence[Any]] = await consumer.getmany(
                *some, timeout_ms=_ALONE_WAIT_MS if some else _FETCH_WAIT_MS, max_records=_FETCH_RECORDS
            )
        except OffsetOutOfRangeError as error:
            raise _Reopen(f"the log does not hold what comes next: {error}") from None
        return fetched

    async def _apply(self, number: int, records: Sequence["ConsumerRecord[Any, Any]"]) -> None:
        """Take records in, letting the event loop turn between two slices."""
        place, intake = self._places[number], self._intake
        self._check_stamp(number, place, records[0])
        until = 0.0  # getmany does not wait where records are there already
        for count, record in enumerate(records):
            if not count % _CLOCK_EVERY and time.perf_counter() >= until:
                for _ in range(_TURNS):
                    await asyncio.sleep(0)
                until = time.perf_counter() + _SLICE_S
            if record.offset >= place.next:
                place.next = record.offset + 1
                place.stamp = record.offset, record.timestamp
                self.records_read += 1
                intake.take(number, record.value, record.timestamp)
            elif place.next == place.cut_off:
                self.records_read += 1
                intake.remember(record.value, record.timestamp)
        place.heard_ms = _now_ms()
        if place.anchor is None and records[-1].timestamp_type == _LOG_APPEND_TIME:
            place.anchor = place.stamp
        if place.stamp is not None:
            place.as_of_ms = max(place.as_of_ms, place.stamp[1])

    def _check_stamp(self, number: int, place: _Place, record: "ConsumerRecord[Any, Any]") -> None:
        """A topic that was created anew may already be as long as the old one was: its records are of other times."""
        if place.stamp is not None and record.offset == place.stamp[0] and record.timestamp != place.stamp[1]:
            self._begin_replaced(number, place, 0, record.offset)
            raise _Reopen("the topic was created anew")

    async def _check_anchors(self, consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition]) -> None:
        """Notice a topic that was created anew, and filled beyond the place in it between two fetches. Raises _Reopen.

        All records of such a topic are younger than one that was read a while ago: the first that is not older than
        that one is where the log begins, and of another time.
        """
        anchors = {p: at for p in partitions if (at := self._places[p.partition].anchor) is not None}
        if not anchors:
            return
        try:
            async with asyncio.timeout(_LOOK_WITHIN_S):
                # Sent one after the other and awaited together: a fetch in between may be held by the broker.
                first, begins = await asyncio.gather(
                    consumer.offsets_for_times({partition: time_ms for partition, (_, time_ms) in anchors.items()}),
                    consumer.beginning_offsets(list(anchors)),
                )
        except (KafkaError, OSError, TimeoutError):
            return  # a broker that is away is noticed by reading; the next look has the same anchors
        anew = False
        for partition, (offset, time_ms) in anchors.items():
            place, found, begin = self._places[partition.partition], first[partition], begins[partition]
            if offset >= begin and (found is None or (found.offset <= begin and found.timestamp != time_ms)):
                self._begin_replaced(partition.partition, place, begin, offset)
                anew = True
            else:
                place.anchor = place.stamp
        if anew:
            raise _Reopen("the topic was created anew")

    async def _observe(self, consumer: AIOKafkaConsumer, partition: TopicPartition) -> None:
        """Note lag and age by what the newest fetch told."""
        place, polled_ms = self._places[partition.partition], consumer.last_poll_timestamp(partition)
        if polled_ms is not None:
            # A position past the last record: what is left before the end are marks of transactions.
            place.lag = max(0, consumer.highwater(partition) - max(place.next, await consumer.position(partition)))
            place.heard_ms = max(place.heard_ms, polled_ms)
            if not place.lag:
                place.as_of_ms = max(place.as_of_ms, polled_ms)

    def _unheard(self, partitions: Sequence[TopicPartition]) -> list[TopicPartition]:
        """Those of which Kafka has told nothing for a while."""
        since = _now_ms() - _UNHEARD_MS
        return [partition for partition in partitions if self._places[partition.partition].heard_ms < since]

    def _require_contact(self, partition: TopicPartition) -> None:
        """Raises _Reopen for a partition of which nothing is there, and nothing was told for long."""
        if _now_ms() - self._places[partition.partition].heard_ms > _LOST_CONTACT_MS:
            raise _Reopen(f"Kafka has told nothing of partition {partition.partition} for {_LOST_CONTACT_MS} ms")

    def _note_level(self) -> None:
        age_ms = self.age_ms(_now_ms())
        if age_ms is not None and age_ms <= _LEVEL_MS:
            self.caught_up.set()

    def _report(self, seconds: float) -> None:
        applied = self._intake.outcomes[Outcome.APPLIED]
        self._rate = (applied - self._counted.get(Outcome.APPLIED, 0)) / seconds
        for outcome, count in self._intake.outcomes.items():
            RECOMMENDER_STREAM_RECORDS.labels(outcome.value).inc(count - self._counted.get(outcome, 0))
            self._counted[outcome] = count
        if (lag := self.lag) is not None:
            RECOMMENDER_STREAM_LAG.labels(self._version).set(lag)
        sizes = self._intake.live.sizes()
        entries = (sizes.customers, sizes.lines, sizes.neighbours, self._intake.catalogue.fresh)
        for kind, held in zip(_STATE_KINDS, entries, strict=True):
            RECOMMENDER_STATE.labels(self._version, kind).set(held)
        RECOMMENDER_STATE_FORGOTTEN.labels(self._version).set(sizes.forgotten)

    def _forget_metrics(self) -> None:
        for gauge in (RECOMMENDER_STREAM_LAG, RECOMMENDER_STREAM_AGE, RECOMMENDER_STATE_FORGOTTEN):
            with suppress(KeyError):
                gauge.remove(self._version)
        for kind in _STATE_KINDS:
            with suppress(KeyError):
                RECOMMENDER_STATE.remove(self._version, kind)

    def _age_s(self) -> float:
        age_ms = self.age_ms(_now_ms())
        return math.nan if age_ms is None else age_ms / 1000


def failures_after(failures: int, ran_s: float) -> int:
    """The failures in a row once another attempt has ended; one that lasted begins the count anew."""
    return 1 if ran_s > _ANSWER_WITHIN_S else failures + 1


def pause_s(failures: int) -> float:
    """How long to wait after so many failures in a row, from 1 on."""
    return _RETRY_S[min(failures, len(_RETRY_S)) - 1]


def _now_ms() -> int:
    return int(time.time() * 1000)
