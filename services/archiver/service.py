"""The loop: fetch, fill, close, write, commit; every partition in a lane of its own."""

import asyncio
import logging
import time
from collections.abc import Iterable, Sequence
from functools import partial

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import IllegalStateError, KafkaError

from services.archiver.open_object import ConsumedRecord, OpenObject
from services.archiver.partition_archiver import Lane
from services.archiver.s3_calls import S3Calls
from services.archiver.segments import Archive, Link
from services.archiver.settings import ArchiverSettings
from services.archiver.start import Start, find_start
from services.common import metrics
from services.common.telemetry import Health

log = logging.getLogger(__name__)

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
        archive: Archive,
        *,
        s3: S3Calls,
        health: Health,
    ) -> None:
        self._settings = settings
        self._consumer = consumer
        self._admin = admin
        self._archive = archive
        self._s3 = s3
        self._health = health
        self._lanes: dict[int, Lane] = {}
        self._records = 0
        self._joined = False

    async def run(self, stop: asyncio.Event) -> None:
        """Archive until `stop` is set. Raises OtherLog, ForeignObject, KafkaError."""
        self._consumer.subscribe([self._settings.purchases_topic], listener=self)
        figures = asyncio.create_task(self._figures())
        try:
            while not stop.is_set():
                self._health.beat()
                self._end_jobs()
                await self._fetch()
                self._close_due()
        finally:
            figures.cancel()

    async def flush(self, within_s: float) -> None:
        """Write and commit what is open, as far as that is possible in time."""
        for lane in self._lanes.values():
            if lane.ready and lane.open is not None:
                self._write(lane)
        jobs = [lane.job for lane in self._lanes.values() if lane.job is not None]
        if jobs:
            await asyncio.wait(jobs, timeout=within_s)
        for lane in self._lanes.values():
            lane.cancel()
        if left := sum(lane.position - lane.archived for lane in self._lanes.values()):
            log.warning("%d records that were fetched are not archived yet: the next owner reads them again", left)
        else:
            log.info("every record that was fetched is archived")

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Drop what is open; an upload under way may still succeed, and then the next owner goes on after it."""
        for partition in revoked:
            if lane := self._lanes.pop(partition.partition, None):
                lane.cancel()

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Look for the start of each partition."""
        for partition in assigned:
            lane = Lane(partition.partition)
            self._lanes[partition.partition] = lane
            lane.job = asyncio.create_task(self._locate(lane))
        self._joined = True
        log.info("partitions %s are ours", sorted(self._lanes))

    def _end_jobs(self) -> None:
        for lane in self._lanes.values():
            if lane.job is not None and lane.job.done():
                lane.job.result()
                lane.job = None

    async def _fetch(self) -> None:
        ready = {self._topic_partition(lane): lane for lane in self._lanes.values() if lane.ready}
        if not ready:
            await asyncio.sleep(_FETCH_WAIT_S)
            return
        fetching = self._consumer.getmany(*ready, timeout_ms=int(_FETCH_WAIT_S * 1000), max_records=FETCH_RECORDS)
        try:  # during a rebalance getmany waits for its end
            batches = await asyncio.wait_for(fetching, _REBALANCE_WAIT_S)
        except TimeoutError:
            return
        for partition, records in batches.items():
            self._hand_over(partition, ready[partition], records)

    def _hand_over(self, partition: TopicPartition, asked: Lane, records: Sequence[ConsumedRecord]) -> None:
        lane = self._lanes.get(partition.partition)
        if lane is asked:
            lane.take(records, time.monotonic())
            self._records += len(records)
        elif lane is not None and lane.fetch_from is not None:
            # Given to us anew while the fetch was under way: these records may begin anywhere.
            self._consumer.seek(partition, lane.fetch_from)

    def _close_due(self) -> None:
        settings = self._settings
        for lane in self._lanes.values():
            if lane.ready and lane.due(time.monotonic(), settings.archive_object_bytes, settings.archive_object_age_s):
                self._write(lane)

    def _write(self, lane: Lane) -> None:
        if (closed := lane.close()) is not None:
            lane.job = asyncio.create_task(self._upload(lane, closed))

    async def _locate(self, lane: Lane) -> None:
        partition = self._topic_partition(lane)
        start = await self._find_start(partition)
        if self._owns(lane):
            self._consumer.seek(partition, lane.begin(start))

    async def _find_start(self, partition: TopicPartition) -> Start:
        while True:
            try:
                return await find_start(
                    partition,
                    self._settings.archive_group,
                    admin=self._admin,
                    log_offsets=self._consumer,
                    archive=self._archive,
                    s3=self._s3,
                )
            except KafkaError as error:
                log.warning("the start of partition %d is not known yet: %r", partition.partition, error)
                await asyncio.sleep(_KAFKA_PAUSE_S)

    async def _upload(self, lane: Lane, closed: OpenObject) -> None:
        body = closed.finish()
        add = partial(self._archive.add, closed.key, closed.extent, body)
        link = await self._s3(add)
        metrics.ARCHIVER_OBJECTS.inc()
        metrics.ARCHIVER_BYTES.inc(len(body))
        metrics.ARCHIVER_RECORDS.inc(closed.records)
        if not self._owns(lane):
            return
        elsewhere = lane.archived_to(link)
        if elsewhere is not None:
            log.warning("object %s was there already: going on at offset %d", link.key, link.extent.next_offset)
            self._consumer.seek(self._topic_partition(lane), elsewhere)
        await self._commit(lane, link)

    async def _commit(self, lane: Lane, link: Link) -> None:
        offsets = {self._topic_partition(lane): (link.extent.next_offset, link.key)}
        try:
            await self._consumer.commit(offsets)
        except (KafkaError, IllegalStateError) as error:
            # Not needed for exactness: the next commit covers it, or the next owner finds the object.
            log.warning(
                "offset %d of partition %d was not committed: %r", link.extent.next_offset, lane.partition, error
            )

    def _owns(self, lane: Lane) -> bool:
        return self._lanes.get(lane.partition) is lane

    def _topic_partition(self, lane: Lane) -> TopicPartition:
        return TopicPartition(self._settings.purchases_topic, lane.partition)

    async def _figures(self) -> None:
        while True:
            before, since = self._records, time.monotonic()
            await asyncio.sleep(_FIGURES_EVERY_S)
            rate = (self._records - before) / (time.monotonic() - since)
            self._health.report("events_per_second", round(rate, 1))
            if self._joined:
                await self._report_lag()

    async def _report_lag(self) -> None:
        lanes = {self._topic_partition(lane): lane for lane in self._lanes.values()}
        try:
            ends = await asyncio.wait_for(self._consumer.end_offsets([*lanes]), _ENDS_WITHIN_S)
        except (KafkaError, TimeoutError) as error:
            self._health.set("kafka", False, repr(error))
            return
        self._health.set("kafka", True, f"{len(lanes)} partitions")
        behind = {lane: ends[partition] - lane.archived for partition, lane in lanes.items()}
        for lane, records in behind.items():
            metrics.ARCHIVER_LAG.labels(lane.partition).set(records)
            metrics.ARCHIVER_OPEN_SECONDS.labels(lane.partition).set(lane.open_for(time.monotonic()))
        self._health.report("lag", sum(ends[partition] - lane.position for partition, lane in lanes.items()))
        self._health.report("unarchived", sum(behind.values()))
