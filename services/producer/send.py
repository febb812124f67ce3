"""One source from file to acknowledged rows: plan, feed, start again where the broker failed, sum up."""

import asyncio
import logging
import sys
import time
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer

from services.common import metrics
from services.common.dlq_limits import RefusalAlarm, TooManyRefused
from services.common.telemetry import Health
from services.producer.checkpoint import BadCheckpoint, Checkpoint, CheckpointFile
from services.producer.kafka import Cluster, KafkaAway, connected
from services.producer.outbox import Outbox, Portion, Unacknowledged
from services.producer.pace import Pace, portions
from services.producer.partitioner import keyed_partitioner
from services.producer.plan import Plan, Span, make_plan
from services.producer.progress_bar import Progress
from services.producer.rows import DeadLetter, Record, RowEncoder
from services.producer.settings import ProducerSettings
from services.producer.source import BadFile, PurchaseFile, count_lines, head_of

log = logging.getLogger(__name__)

_WRITE_EVERY_S = 1.0
_RETRY_AFTER_S = 1.0  # a broker that refuses, such as one with a full disk, refuses at once
_DRAIN_ON_STOP_S = 6.0  # within the ten seconds that a stopped service may take


@dataclass(frozen=True, slots=True)
class Job:
    """One file to send, as the command line asked for it."""

    path: Path
    source: str
    span: Span
    pace: Pace
    state: Path
    restart: bool


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


async def send_file(job: Job, settings: ProducerSettings, health: Health, stop: asyncio.Event) -> Summary:
    """Send a file's rows until all are acknowledged or `stop` is set.

    Raises BadFile, OtherFile, BadCheckpoint, KafkaAway, NoTopic, TooManyRefused.
    """
    with PurchaseFile(job.path):
        pass  # a file that cannot be sent is told before anything is waited for
    span = job.span.rows(total := _count(job.path))
    started = time.monotonic()
    first_row: int | None = None
    restart = job.restart
    refusals = RefusalAlarm(settings, health)
    patient_until = started + settings.kafka_patience_s
    while True:
        async with connected(settings, stop) as (cluster, producer):
            health.set("kafka", True)
            plan = _plan(job, settings, cluster, span, restart)
            for note in plan.notes:
                log.warning("%s: %s", job.source, note)
            begun_at = plan.checkpoint.next_row
            first_row = first_row or begun_at
            try:
                with _progress(plan, total, health) as progress:
                    run = _Run(
                        job, settings, plan, cluster=cluster, producer=producer, progress=progress, refusals=refusals
                    )
                    finished = plan.nothing_to_do or await run.feed(stop)
            except Unacknowledged as failure:
                health.set("kafka", False, str(failure))
                if plan.checkpoint.next_row > begun_at:
                    patient_until = time.monotonic() + settings.kafka_patience_s
                elif time.monotonic() > patient_until or stop.is_set():
                    raise KafkaAway(f"{failure}; row {begun_at:,} would have been next") from None
                log.warning("%s: %s: connecting again", job.source, failure)
                restart = False
                await asyncio.sleep(_RETRY_AFTER_S)
                continue
        return _summary(plan.checkpoint, first_row, time.monotonic() - started, finished)


def _progress(plan: Plan, total: int, health: Health) -> Progress:
    last = total if plan.end is None else min(plan.end - 1, total)
    health.report("source", plan.checkpoint.source)
    return Progress(
        plan.checkpoint.source,
        last,
        plan.checkpoint.next_row - 1,
        sys.stderr,
        lambda rate: health.report("events_per_second", round(rate, 1)),
    )


def _count(path: Path) -> int:
    total = 0
    with Progress(f"counting {path.name}", None, 0, sys.stderr) as progress:
        for lines in count_lines(path):
            progress.advance(lines - total)
            total = lines
    return total


def _plan(job: Job, settings: ProducerSettings, cluster: Cluster, span: tuple[int, int | None], restart: bool) -> Plan:
    stored = _stored(job, restart)
    head_then = head_of(job.path, stored.head.length) if stored else None
    fresh = Checkpoint(source=job.source, head=head_of(job.path), cluster=cluster.id, topic=settings.purchases_topic)
    return make_plan(stored, fresh, head_then=head_then, log_ends=cluster.log_ends, span=span, restart=restart)


def _stored(job: Job, restart: bool) -> Checkpoint | None:
    try:
        return CheckpointFile(job.state, job.source).read()
    except BadCheckpoint:
        if restart:
            return None
        raise


def _summary(checkpoint: Checkpoint, first_row: int, seconds: float, finished: bool) -> Summary:
    return Summary(
        checkpoint.source,
        first_row,
        checkpoint.next_row,
        checkpoint.sent,
        checkpoint.dead_letters,
        seconds,
        finished,
    )


class _Run:
    """One attempt: a connection, an outbox, and the checkpoint that follows its acknowledgements."""

    def __init__(
        self,
        job: Job,
        settings: ProducerSettings,
        plan: Plan,
        *,
        cluster: Cluster,
        producer: AIOKafkaProducer,
        progress: Progress,
        refusals: RefusalAlarm,
    ) -> None:
        self._job = job
        self._plan = plan
        self._file = CheckpointFile(job.state, job.source)
        self._written_at = 0.0
        self._progress = progress
        self._refusals = refusals
        self._place = keyed_partitioner(cluster.partitions[settings.purchases_topic])
        self._outbox = Outbox(
            producer,
            purchases=settings.purchases_topic,
            dead_letters=settings.dead_letters_topic,
            dead_letter_partitions=cluster.partitions[settings.dead_letters_topic],
            acknowledged=self._acknowledged,
            patience_s=settings.kafka_patience_s,
        )

    async def feed(self, stop: asyncio.Event) -> bool:
        """Send the plan's rows; False where `stop` came first.

        Raises BadFile, Unacknowledged, BadCheckpoint, TooManyRefused.
        """
        try:
            try:
                finished = await _unless(stop, self._put_all())
            except (BadFile, TooManyRefused):
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
        with PurchaseFile(self._job.path) as file:
            encoder = RowEncoder(file.columns, self._job.source, self._place)
            for block in file.blocks(next_row, self._plan.end):
                rows = encoder.encode(block, int(time.time() * 1000))
                async for portion in portions(rows, self._job.pace):
                    await self._outbox.room()
                    self._watch(portion, next_row)
                    next_row += len(portion)
                    self._outbox.put(portion, next_row)

    def _watch(self, rows: Sequence[Record | DeadLetter], first: int) -> None:
        """Tell of too many refusals before these rows are sent. Raises TooManyRefused."""
        refused = [(number, row) for number, row in enumerate(rows, first) if isinstance(row, DeadLetter)]
        reason = refused[-1][1].reason.value if refused else ""
        self._refusals.observe(self._job.source, first, first + len(rows), [number for number, _ in refused], reason)

    def _acknowledged(self, portion: Portion) -> None:
        checkpoint = self._plan.checkpoint
        rows = portion.next_row - checkpoint.next_row
        checkpoint.next_row = portion.next_row
        checkpoint.sent += portion.sent
        for reason, count in portion.dead_letters.items():
            checkpoint.dead_letters[reason] = checkpoint.dead_letters.get(reason, 0) + count
            metrics.PRODUCER_DEAD_LETTERS.labels(reason).inc(count)
        metrics.PRODUCER_ROWS.inc(portion.sent)
        self._progress.advance(rows)
        if time.monotonic() - self._written_at > _WRITE_EVERY_S:
            self._write()

    def _write(self) -> None:
        self._plan.checkpoint.offsets |= self._outbox.offsets
        self._file.write(self._plan.checkpoint)
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
