"""The archiver's loop: fetch, fill, close, write, commit; each partition independently."""

import asyncio
import logging
import time
from collections.abc import Iterable, Sequence
from functools import partial

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import IllegalStateError, KafkaError

from services.archiver.open_object import ConsumedRecord, OpenObject
from services.archiver.partition_archiver import PartitionArchiver
from services.archiver.s3_calls import S3Calls
from services.archiver.segments import SegmentChains
from services.archiver.settings import ArchiverSettings
from services.archiver.start import StartPosition, find_start
from services.common.kafka import position_now
from services.common.metrics import (
    ARCHIVER_BYTES,
    ARCHIVER_LAG,
    ARCHIVER_OBJECTS,
    ARCHIVER_OPEN_SECONDS,
    ARCHIVER_RECORDS,
    REBALANCES,
)
from services.common.telemetry import Health

logger = logging.getLogger(__name__)

Fetched = tuple[Sequence[ConsumedRecord], int]

FETCH_RECORDS = 4_000  # about 30 ms of work: heartbeats and uploads of other partitions go on in between
_FETCH_WAIT_S = 0.1
_REBALANCE_WAIT_S = 5.0
_KAFKA_PAUSE_S = 1.0
_FIGURES_EVERY_S = 2.0
_ENDS_WITHIN_S = 5.0


class Archiver(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka is untyped
    """Archives the partitions that the group assigns to it. `consumer` is started by `run`."""

    def __init__(
        self,
        settings: ArchiverSettings,
        consumer: AIOKafkaConsumer,
        admin: AIOKafkaAdminClient,
        chains: SegmentChains,
        *,
        s3: S3Calls,
        health: Health,
    ) -> None:
        self._settings = settings
        self._consumer = consumer
        self._admin = admin
        self._chains = chains
        self._s3 = s3
        self._health = health
        self._archivers: dict[int, PartitionArchiver] = {}
        self._records = 0
        self._joined = False

    async def run(self, stop: asyncio.Event) -> None:
        """Archive until `stop` is set. Raises LogMismatch, ForeignObject, KafkaError."""
        self._consumer.subscribe([self._settings.purchases_topic], listener=self)
        figures = asyncio.create_task(self._report_figures())
        try:
            while not stop.is_set():
                self._end_jobs()
                await self._fetch()
                self._close_due()
        finally:
            figures.cancel()

    async def flush(self, within_s: float) -> None:
        """Write and commit open objects, as far as the time allows."""
        for archiver in self._archivers.values():
            if archiver.ready and archiver.open is not None:
                self._write(archiver)
        jobs = [archiver.job for archiver in self._archivers.values() if archiver.job is not None]
        if jobs:
            await asyncio.wait(jobs, timeout=within_s)
        for archiver in self._archivers.values():
            archiver.cancel()
        if left := sum(archiver.position - archiver.archived for archiver in self._archivers.values()):
            logger.warning(
                "%d fetched records are not archived yet: the next owner reads them again",
                left,
                extra={"records": left},
            )
        else:
            logger.info("all fetched records are archived")

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Drop open objects. An upload in flight may still succeed; then the next owner continues after it."""
        for partition in revoked:
            if archiver := self._archivers.pop(partition.partition, None):
                archiver.cancel()
        ARCHIVER_LAG.clear()  # the next owner reports them; what stays here is reported again within seconds
        ARCHIVER_OPEN_SECONDS.clear()

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Find the start position of each partition."""
        REBALANCES.inc()
        for partition in assigned:
            archiver = PartitionArchiver(partition.partition)
            self._archivers[partition.partition] = archiver
            archiver.job = asyncio.create_task(self._locate(archiver))
        self._joined = True
        partitions = sorted(self._archivers)
        logger.info("assigned partitions %s", partitions, extra={"partitions": partitions})

    def _end_jobs(self) -> None:
        for archiver in self._archivers.values():
            if archiver.job is not None and archiver.job.done():
                archiver.job.result()
                archiver.job = None

    async def _fetch(self) -> None:
        await self._restore_positions()
        ready = self._ready()
        if not ready:
            await asyncio.sleep(_FETCH_WAIT_S)
            return
        try:  # during a rebalance getmany waits for its end
            fetched = await asyncio.wait_for(self._get([*ready]), _REBALANCE_WAIT_S)
        except TimeoutError:
            return
        for partition, (records, end) in fetched.items():
            await self._take(partition, ready[partition], records, end)

    def _ready(self) -> dict[TopicPartition, PartitionArchiver]:
        return {self._topic_partition(archiver): archiver for archiver in self._archivers.values() if archiver.ready}

    async def _restore_positions(self) -> None:
        """Only where reading continues at its place is a gap before the next record one of the log itself."""
        for partition, archiver in self._ready().items():
            if position_now(self._consumer, partition) not in (archiver.fetch_from, None):
                await self._restore_position(partition, archiver)

    async def _get(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, Fetched]:
        """Records of each partition, and where its position is right after them: nothing can seek in between."""
        timeout_ms = int(_FETCH_WAIT_S * 1000)
        batches = await self._consumer.getmany(*partitions, timeout_ms=timeout_ms, max_records=FETCH_RECORDS)
        ends = {partition: position_now(self._consumer, partition) for partition in partitions}
        return {partition: (batches.get(partition, ()), end) for partition, end in ends.items() if end is not None}

    async def _take(
        self, partition: TopicPartition, asked: PartitionArchiver, records: Sequence[ConsumedRecord], end: int
    ) -> None:
        archiver = self._archivers.get(partition.partition)
        if archiver is not asked:
            if records and archiver is not None and archiver.fetch_from is not None:
                # Revoked and assigned again during the fetch: these records may begin anywhere.
                self._consumer.seek(partition, archiver.fetch_from)
        elif archiver.misses(records) and not await self._holds(partition, archiver.position):
            await self._restore_position(partition, archiver)
        elif self._owns(archiver) and archiver.ready:
            archiver.take(records, end, time.monotonic())
            self._records += len(records)

    async def _restore_position(self, partition: TopicPartition, archiver: PartitionArchiver) -> None:
        """Go where reading continues. The consumer has left it by itself where the log no longer holds it."""
        begin = await self._log_start(partition)
        if begin is None or not self._owns(archiver) or not archiver.ready:
            return  # the next fetch asks again
        if begin > archiver.position:
            self._write(archiver)  # what follows is no continuation of the open object
        archiver.expire(begin)
        self._consumer.seek(partition, archiver.fetch_from)

    async def _holds(self, partition: TopicPartition, offset: int) -> bool:
        """Whether the log still begins at or before an offset."""
        begin = await self._log_start(partition)
        return begin is not None and begin <= offset

    async def _log_start(self, partition: TopicPartition) -> int | None:
        """The log start offset; None where Kafka does not answer."""
        try:
            begins = await asyncio.wait_for(self._consumer.beginning_offsets([partition]), _ENDS_WITHIN_S)
        except (KafkaError, TimeoutError):
            return None
        return int(begins[partition])

    def _close_due(self) -> None:
        settings = self._settings
        for archiver in self._archivers.values():
            if archiver.ready and archiver.is_due(
                time.monotonic(), settings.archive_object_bytes, settings.archive_object_age_s
            ):
                self._write(archiver)
            elif archiver.passed:
                archiver.job = asyncio.create_task(self._commit_passed(archiver))

    def _write(self, archiver: PartitionArchiver) -> None:
        if (closed := archiver.close()) is not None:
            archiver.job = asyncio.create_task(self._upload(archiver, closed))

    async def _locate(self, archiver: PartitionArchiver) -> None:
        partition = self._topic_partition(archiver)
        start = await self._find_start(partition)
        if self._owns(archiver):
            self._consumer.seek(partition, archiver.begin(start))

    async def _find_start(self, partition: TopicPartition) -> StartPosition:
        while True:
            try:
                return await find_start(
                    partition,
                    self._settings.archive_group,
                    admin=self._admin,
                    log_offsets=self._consumer,
                    chains=self._chains,
                    s3=self._s3,
                )
            except KafkaError as error:
                number = partition.partition
                logger.warning(
                    "the start position of partition %d is not known yet: %r",
                    number,
                    error,
                    extra={"partition": number},
                )
                await asyncio.sleep(_KAFKA_PAUSE_S)

    async def _upload(self, archiver: PartitionArchiver, closed: OpenObject) -> None:
        body = closed.finish()
        add = partial(self._chains.add, closed.key, closed.extent, body)
        segment = await self._s3(add)
        ARCHIVER_OBJECTS.inc()
        ARCHIVER_BYTES.inc(len(body))
        ARCHIVER_RECORDS.inc(closed.records)
        if not self._owns(archiver):
            return
        seek_to = archiver.on_archived(segment, closed.extent)
        if seek_to is not None:
            offset = segment.extent.next_offset
            fields = {"partition": archiver.partition, "object": segment.key, "offset": offset}
            logger.warning("object %s already exists: continuing at offset %d", segment.key, offset, extra=fields)
            self._consumer.seek(self._topic_partition(archiver), seek_to)
        await self._commit(archiver)

    async def _commit_passed(self, archiver: PartitionArchiver) -> None:
        archiver.archived = archiver.position
        await self._commit(archiver)

    async def _commit(self, archiver: PartitionArchiver) -> None:
        key = archiver.last.key if archiver.last else ""
        offsets = {self._topic_partition(archiver): (archiver.archived, key)}
        try:
            await self._consumer.commit(offsets)
        except (KafkaError, IllegalStateError) as error:
            # Not needed for exactness: the next commit covers it, or the next owner finds the object.
            offset, number = archiver.archived, archiver.partition
            fields = {"partition": number, "offset": offset}
            logger.warning("offset %d of partition %d was not committed: %r", offset, number, error, extra=fields)

    def _owns(self, archiver: PartitionArchiver) -> bool:
        return self._archivers.get(archiver.partition) is archiver

    def _topic_partition(self, archiver: PartitionArchiver) -> TopicPartition:
        return TopicPartition(self._settings.purchases_topic, archiver.partition)

    async def _report_figures(self) -> None:
        while True:
            before, since = self._records, time.monotonic()
            await asyncio.sleep(_FIGURES_EVERY_S)
            rate = (self._records - before) / (time.monotonic() - since)
            self._health.report("events_per_second", round(rate, 1))
            if self._joined:
                await self._report_lag()

    async def _report_lag(self) -> None:
        archivers = {self._topic_partition(archiver): archiver for archiver in self._archivers.values()}
        try:
            ends = await asyncio.wait_for(self._consumer.end_offsets([*archivers]), _ENDS_WITHIN_S)
        except (KafkaError, TimeoutError) as error:
            self._health.set("kafka", False, repr(error))
            return
        self._health.set("kafka", True, f"{len(archivers)} partitions")
        behind = {archiver: ends[partition] - archiver.archived for partition, archiver in archivers.items()}
        for archiver, records in behind.items():
            ARCHIVER_LAG.labels(archiver.partition).set(records)
            ARCHIVER_OPEN_SECONDS.labels(archiver.partition).set(archiver.open_seconds(time.monotonic()))
        self._health.report(
            "lag", sum(ends[partition] - archiver.position for partition, archiver in archivers.items())
        )
        self._health.report("unarchived", sum(behind.values()))
