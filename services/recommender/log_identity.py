"""Keeps positions in line with the log: where reading starts, records that expired, a topic that was recreated."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from services.common.metrics import RECOMMENDER_STREAM_LOST, RECOMMENDER_STREAM_RESETS
from services.common.times import format_time
from services.recommender.partition_position import PartitionPosition, StreamPosition, StreamStart

logger = logging.getLogger(__name__)

# TimestampType of Kafka: the broker set the time. Times set by producers may be out of order.
_LOG_APPEND_TIME = 1


class TopicRecreated(Exception):
    """The topic was deleted and recreated. The positions concerned are back at its beginning."""


class LogIdentity:
    """Compares the log with what one model read of it; positions that do not fit the log are moved, logged, counted."""

    def __init__(self, version: str, start: StreamStart, position: StreamPosition, lookback: int) -> None:
        """`lookback`: so many records before the cut-off are read again, of all partitions together."""
        self._version = version
        self._start = start
        self._position = position
        self._lookback = lookback

    async def align(
        self, consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition], clock_ms: Callable[[], int]
    ) -> None:
        """Seek to where reading goes on, as far as the log holds it. Raises KafkaError."""
        begins = await consumer.beginning_offsets(partitions)
        ends = await consumer.end_offsets(partitions)
        first = {} if self._position else await self._cut_offs(consumer, partitions, ends)
        for partition in partitions:
            number, begin = partition.partition, begins[partition]
            position = self._position.get(number)
            if position is None:
                cut_off = first.get(number, 0)
                position = self._position[number] = PartitionPosition(cut_off, cut_off, self._start.not_before_ms)
            self._fit(number, begin, ends[partition])
            position.heard_ms = clock_ms()  # after the requests above, which may take longer than a lost contact
            # The last record read is read again: it shows whether this is still the same log.
            back = self._lookback // len(partitions) if position.last_read is None else 1
            consumer.seek(partition, max(begin, position.next - back))

    def check_record(self, partition: int, record: "ConsumerRecord[object, object]") -> None:
        """Compare a fetched record with the last one read. Raises TopicRecreated.

        A recreated topic may be as long as the old one was: only the broker times of its records differ.
        """
        last = self._position[partition].last_read
        if last is not None and record.offset == last[0] and record.timestamp != last[1]:
            self._restart_recreated(partition, 0, record.offset)
            raise TopicRecreated("the topic was recreated")

    def note_anchor(self, partition: int, record: "ConsumerRecord[object, object]") -> None:
        """Keep the last record read for `check_anchors`, unless an earlier one is kept already."""
        position = self._position[partition]
        if position.anchor is None and record.timestamp_type == _LOG_APPEND_TIME:
            position.anchor = position.last_read

    async def check_anchors(
        self, consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition], timeout_s: float
    ) -> None:
        """Find a topic that was recreated, and grew past the position, between two fetches. Raises TopicRecreated.

        All its records are younger than the anchor, a record that was read a while ago. So the first record that is not
        older than the anchor is the first one of the log, and has another time.
        """
        anchors = {p: at for p in partitions if (at := self._position[p.partition].anchor) is not None}
        if not anchors:
            return
        try:
            async with asyncio.timeout(timeout_s):
                # Sent one after the other and awaited together: a fetch in between may be held by the broker.
                first, begins = await asyncio.gather(
                    consumer.offsets_for_times({partition: time_ms for partition, (_, time_ms) in anchors.items()}),
                    consumer.beginning_offsets(list(anchors)),
                )
        except (KafkaError, OSError, TimeoutError):
            return  # reading notices a broker that is away; the next check has the same anchors
        recreated = False
        for partition, (offset, time_ms) in anchors.items():
            found, begin = first[partition], begins[partition]
            if offset >= begin and (found is None or (found.offset <= begin and found.timestamp != time_ms)):
                self._restart_recreated(partition.partition, begin, offset)
                recreated = True
            else:
                position = self._position[partition.partition]
                position.anchor = position.last_read
        if recreated:
            raise TopicRecreated("the topic was recreated")

    async def _cut_offs(
        self, consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition], ends: Mapping[TopicPartition, int]
    ) -> dict[int, int]:
        if self._start.offsets:
            return dict(self._start.offsets)
        since = self._start.not_before_ms
        logger.warning(
            "model %s does not say at which offsets its training data ended: reading records from %s on",
            self._version,
            format_time(since),
            extra={"model": self._version},
        )
        found = await consumer.offsets_for_times(dict.fromkeys(partitions, since))
        return {p.partition: at.offset if (at := found[p]) else ends[p] for p in partitions}

    def _fit(self, partition: int, begin: int, end: int) -> None:
        """Move a position into the range of offsets that the log holds."""
        position = self._position[partition]
        if position.next > end:
            self._restart(partition, begin, f"it ends at offset {end}, before {position.next}")
        elif position.next < begin:
            lost = begin - position.next
            RECOMMENDER_STREAM_LOST.inc(lost)
            logger.error(
                "partition %d: %d records expired from Kafka before model %s could read them, continuing at offset %d; "
                "the next model gets them from the archive (`make train`)",
                partition,
                lost,
                self._version,
                begin,
                extra={"model": self._version, "partition": partition, "offset": begin, "lost": lost},
            )
            position.restart_at(begin)

    def _restart_recreated(self, partition: int, begin: int, offset: int) -> None:
        self._restart(partition, begin, f"its record {offset} has another time than before")

    def _restart(self, partition: int, begin: int, reason: str) -> None:
        RECOMMENDER_STREAM_RESETS.inc()
        logger.error(
            "partition %d is not the log that model %s followed or was trained on (%s): reading from its beginning, "
            "offset %d; train a new model (`make train`)",
            partition,
            self._version,
            reason,
            begin,
            extra={"model": self._version, "partition": partition, "offset": begin},
        )
        self._position[partition].restart_at(begin)
