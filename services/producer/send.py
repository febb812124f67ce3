"""One source from file to acknowledged rows: plan, feed, start again where the broker failed, sum up."""

import asyncio
import logging
import sys
import time
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from services.common.dlq_limits import InvalidRateAlarm, TooManyInvalidRecords
from services.common.metrics import PRODUCER_DEAD_LETTERS, PRODUCER_ROWS
from services.common.telemetry import Health
from services.producer.checkpoint import BadCheckpoint, Checkpoint, CheckpointFile
from services.producer.kafka import Cluster, Connection, KafkaUnavailable, connected
from services.producer.layouts.purchases import open_purchases
from services.producer.line_ids import LineIds, PrefixDigest, read_line_ids
from services.producer.outbox import Batch, Outbox, Unacknowledged
from services.producer.pace import Pace, paced_batches
from services.producer.partitioner import keyed_partitioner
from services.producer.plan import Found, Plan, RowRange, make_plan
from services.producer.progress_bar import ProgressBar
from services.producer.rows import Record, RejectedRow, RowEncoder
from services.producer.settings import ProducerSettings
from services.producer.source import BadFile, fingerprint

logger = logging.getLogger(__name__)

_WRITE_EVERY_S = 1.0
_RETRY_AFTER_S = 1.0  # a broker that refuses, such as one with a full disk, refuses at once
_DRAIN_ON_STOP_S = 6.0  # within the ten seconds that a stopped service may take


class Stopped(Exception):
    """The run was stopped before the first row was sent."""


@dataclass(frozen=True, slots=True)
class SendJob:
    """One file to send, as the command line asked for it."""

    path: Path
    source: str
    row_range: RowRange
    pace: Pace
    state: Path
    restart: bool
    mapping: Path | None = None


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run did: rows `first_row` to `next_row` - 1, and what the checkpoint has counted over all runs."""

    source: str
    first_row: int
    next_row: int
    sent: int
    dead_letters: dict[str, int]
    seconds: float
    finished: bool

    @property
    def rows(self) -> int:
        """Rows acknowledged over all runs, sent and dead letters."""
        return self.sent + sum(self.dead_letters.values())


async def send_file(job: SendJob, settings: ProducerSettings, health: Health, stop: asyncio.Event) -> Summary:
    """Send a file's rows until all are acknowledged or `stop` is set.

    Raises BadFile, BadCheckpoint, KafkaUnavailable, Stopped, TopicMissing, TooManyInvalidRecords.
    """
    ids = await asyncio.to_thread(_identify, job, stop)
    sender = _FileSender(job, settings, health, ids)
    while True:
        summary = await sender.attempt(stop)
        if summary is not None:
            return summary
        await asyncio.sleep(_RETRY_AFTER_S)


class _Patience:
    """How long attempts may fail without any acknowledgement."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self.renew()

    def renew(self) -> None:
        self._until = time.monotonic() + self._limit_s

    @property
    def exhausted(self) -> bool:
        return time.monotonic() > self._until


class _FileSender:
    """Sends one file in attempts: each with a connection of its own, from the last acknowledged row on."""

    def __init__(self, job: SendJob, settings: ProducerSettings, health: Health, ids: LineIds) -> None:
        self._job = job
        self._settings = settings
        self._health = health
        self._ids = ids
        self._started = time.monotonic()
        self._patience = _Patience(settings.kafka_patience_s)
        self._alarm = InvalidRateAlarm(settings, health)
        self._restart = job.restart
        self._first_row: int | None = None

    async def attempt(self, stop: asyncio.Event) -> Summary | None:
        """Send what is left; None where a batch failed and another attempt should follow."""
        async with connected(self._settings, stop) as connection:
            self._health.set("kafka", True)
            plan = self._plan(connection.cluster)
            begun_at = plan.checkpoint.next_row
            self._first_row = self._first_row or begun_at
            try:
                finished = await self._feed(plan, connection, stop)
            except Unacknowledged as failure:
                self._check_patience(failure, begun_at, plan.checkpoint.next_row, stop)
                return None
        return self._summary(plan.checkpoint, finished)

    async def _feed(self, plan: Plan, connection: Connection, stop: asyncio.Event) -> bool:
        with _progress(plan, self._health) as progress:
            run = _Run(self._job, self._settings, plan, self._ids, connection, progress, self._alarm)
            return plan.nothing_to_do or await run.feed(stop)

    def _check_patience(self, failure: Unacknowledged, begun_at: int, next_row: int, stop: asyncio.Event) -> None:
        """Raise KafkaUnavailable where another attempt is pointless."""
        self._health.set("kafka", False, str(failure))
        if next_row > begun_at:
            self._patience.renew()
        elif self._patience.exhausted or stop.is_set():
            raise KafkaUnavailable(f"{failure}; row {begun_at:,} would have been next") from None
        logger.warning("%s: %s: connecting again", self._job.source, failure)
        self._restart = False

    def _plan(self, cluster: Cluster) -> Plan:
        job, restart = self._job, self._restart
        stored = _stored(job, restart)
        fresh = Checkpoint(
            source=job.source,
            fingerprint=fingerprint(job.path),
            cluster=cluster.id,
            topic=self._settings.purchases_topic,
        )
        found = Found(fresh, cluster.log_ends)
        if stored is not None:
            head = fingerprint(job.path, stored.fingerprint.length)
            found = replace(found, fingerprint=head, rows_digest=PrefixDigest(self._ids).of(stored.next_row - 1))
        plan = make_plan(stored, found, job.row_range.rows(len(self._ids)), restart=restart)
        for note in plan.notes:
            logger.warning("%s: %s", job.source, note)
        return plan

    def _summary(self, checkpoint: Checkpoint, finished: bool) -> Summary:
        return Summary(
            checkpoint.source,
            self._first_row or checkpoint.next_row,
            checkpoint.next_row,
            checkpoint.sent,
            checkpoint.dead_letters,
            time.monotonic() - self._started,
            finished,
        )


def _progress(plan: Plan, health: Health) -> ProgressBar:
    health.report("source", plan.checkpoint.source)
    return ProgressBar(
        plan.checkpoint.source,
        plan.end - 1,
        plan.checkpoint.next_row - 1,
        sys.stderr,
        lambda rate: health.report("events_per_second", round(rate, 1)),
    )


def _identify(job: SendJob, stop: asyncio.Event) -> LineIds:
    """Read the file once: a line's identity depends on the other lines of its order. Raises BadFile, Stopped."""
    bar = ProgressBar(f"reading {job.path.name}", None, 0, sys.stderr)
    with open_purchases(job.path, job.mapping) as file, bar as progress:

        def advance(rows: int) -> None:
            if stop.is_set():
                raise Stopped
            progress.advance(rows)

        return read_line_ids(file, advance)


def _stored(job: SendJob, restart: bool) -> Checkpoint | None:
    try:
        return CheckpointFile(job.state, job.source).read()
    except BadCheckpoint:
        if restart:
            return None
        raise


class _Run:
    """One attempt: a connection, an outbox, and the checkpoint that follows its acknowledgements."""

    def __init__(
        self,
        job: SendJob,
        settings: ProducerSettings,
        plan: Plan,
        ids: LineIds,
        connection: Connection,
        progress: ProgressBar,
        alarm: InvalidRateAlarm,
    ) -> None:
        partitions = connection.cluster.partitions
        self._job = job
        self._plan = plan
        self._ids = ids
        self._digest = PrefixDigest(ids)
        self._file = CheckpointFile(job.state, job.source)
        self._written_at = 0.0
        self._progress = progress
        self._alarm = alarm
        self._place = keyed_partitioner(partitions[settings.purchases_topic])
        self._rules = settings.event_rules
        self._outbox = Outbox(
            connection.producer,
            purchases=settings.purchases_topic,
            dead_letters=settings.dead_letters_topic,
            dead_letter_partitions=partitions[settings.dead_letters_topic],
            acknowledged=self._acknowledged,
            patience_s=settings.kafka_patience_s,
        )

    async def feed(self, stop: asyncio.Event) -> bool:
        """Send the plan's rows; False where `stop` came first.

        Raises BadFile, Unacknowledged, BadCheckpoint, TooManyInvalidRecords.
        """
        try:
            try:
                finished = await _unless(stop, self._put_all())
            except (BadFile, TooManyInvalidRecords):
                await self._outbox.drain()
                raise
            await self._drain(finished)
        finally:
            self._outbox.close()
            self._write()
        return finished

    async def _drain(self, finished: bool) -> None:
        if finished:
            await self._outbox.drain()
            return
        with suppress(TimeoutError, Unacknowledged):  # what is not acknowledged is sent again by the next run
            await asyncio.wait_for(self._outbox.drain(), _DRAIN_ON_STOP_S)

    async def _put_all(self) -> None:
        next_row = self._plan.checkpoint.next_row
        with open_purchases(self._job.path, self._job.mapping) as file:
            encoder = RowEncoder(file.columns, self._job.source, self._ids, self._place, self._rules)
            for block in file.blocks(next_row, self._plan.end):
                rows = encoder.encode(block, int(time.time() * 1000))
                async for batch in paced_batches(rows, self._job.pace):
                    await self._outbox.room()
                    self._watch(batch, next_row)
                    next_row += len(batch)
                    self._outbox.put(batch, next_row)

    def _watch(self, rows: Sequence[Record | RejectedRow], first: int) -> None:
        """Count these rows' rejections before they are sent. Raises TooManyInvalidRecords."""
        rejected = [(number, row) for number, row in enumerate(rows, first) if isinstance(row, RejectedRow)]
        reason = rejected[-1][1].reason.value if rejected else ""
        self._alarm.observe(self._job.source, first, first + len(rows), [number for number, _ in rejected], reason)

    def _acknowledged(self, batch: Batch) -> None:
        checkpoint = self._plan.checkpoint
        rows = batch.next_row - checkpoint.next_row
        checkpoint.next_row = batch.next_row
        checkpoint.sent += batch.sent
        for reason, count in batch.dead_letters.items():
            checkpoint.dead_letters[reason] = checkpoint.dead_letters.get(reason, 0) + count
            PRODUCER_DEAD_LETTERS.labels(reason).inc(count)
        PRODUCER_ROWS.inc(batch.sent)
        self._progress.advance(rows)
        if time.monotonic() - self._written_at > _WRITE_EVERY_S:
            self._write()

    def _write(self) -> None:
        checkpoint = self._plan.checkpoint
        checkpoint.offsets |= self._outbox.offsets
        checkpoint.rows_digest = self._digest.of(checkpoint.next_row - 1)
        self._file.write(checkpoint)
        self._written_at = time.monotonic()


async def _unless(stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> bool:
    """Do the work; False where `stop` came first and the work was given up."""
    worker = asyncio.create_task(work)
    stopper = asyncio.create_task(stop.wait())
    await asyncio.wait({worker, stopper}, return_when=asyncio.FIRST_COMPLETED)
    stopper.cancel()
    if worker.done():
        await worker
        return True
    worker.cancel()
    with suppress(asyncio.CancelledError):
        await worker
    return False
