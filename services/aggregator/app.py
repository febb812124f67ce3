"""The Faust application: subscribes both topics and feeds the applier."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Container
from typing import Any, cast

import faust
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from faust.types import TP, AppT, EventT, StreamT
from yarl import URL

from services.aggregator.applier import Applier
from services.aggregator.credentials import broker_credentials
from services.aggregator.settings import AggregatorSettings
from services.aggregator.transport import BatchConsumer, BatchTransport, FetchedBatch
from services.common.dlq_limits import TooManyInvalidRecords
from services.common.kafka import metadata_max_age_ms
from services.common.metrics import (
    AGGREGATOR_APPLIED_TIMESTAMP,
    AGGREGATOR_BATCH_RECORDS,
    AGGREGATOR_LAG,
    REBALANCES,
)
from services.common.telemetry import Health

logger = logging.getLogger(__name__)

REALIGN_EVERY_S = 2.0
_LEAVE_WITHIN_S = 6.0  # within the ten seconds that a stopped service may take
HEARTBEATS_A_SESSION = 5


class _AsFetched(faust.Schema[Any, Any]):
    """Leaves keys and values alone: a value is the batch of records that the transport made."""

    def loads_key(self, app: AppT, message: Any, **_: Any) -> Any:
        return message.key

    def loads_value(self, app: AppT, message: Any, **_: Any) -> Any:
        return message.value


def build_app(settings: AggregatorSettings, health: Health, applier: Applier) -> AppT:
    """Wire topics, agents and the realignment timer; nothing is connected before the worker starts."""
    app = _faust(settings)
    topics = {settings.purchases_topic, settings.dead_letters_topic}
    worker = _Worker(app, topics, health, applier)
    app.on_partitions_assigned.connect(worker.on_assigned)
    app.on_before_shutdown.connect(worker.on_stopping)  # fetching has ended by then, the agents have not
    app.timer(REALIGN_EVERY_S)(worker.realign)
    for topic in sorted(topics):
        channel = app.topic(topic, schema=_AsFetched(), internal=False)
        app.agent(channel, name=f"apply-{topic}")(worker.consume)
    return app


class _Worker:
    """Feeds fetched batches to the applier and keeps the consumer's positions in line with the marks."""

    def __init__(self, app: AppT, topics: Container[str], health: Health, applier: Applier) -> None:
        self._app = app
        self._topics = topics
        self._health = health
        self._applier = applier
        self._lag = LagReporter(health)
        self._resets = _PositionResets()

    async def on_assigned(self, *_: Any, **__: Any) -> None:
        """Partitions were assigned: nothing known of positions is valid any more."""
        self._consumer.invalidate()
        self._applier.reassigned()
        self._lag.forget()
        REBALANCES.inc()

    async def on_stopping(self, *_: Any, **__: Any) -> None:
        """Finish the batch in progress and commit its mark, so that the next owner fetches nothing twice."""
        self._health.drain()
        consumer = self._consumer
        try:
            async with asyncio.timeout(_LEAVE_WITHIN_S):
                marks = await self._applier.close([TopicPartition(*tp) for tp in consumer.assignment()])
                await consumer.leave_at({TP(*partition): offset for partition, offset in marks.items()})
        except (TimeoutError, KafkaError) as error:
            # Not needed for exactness: the marks in Redis say where to continue.
            logger.warning("stopped without a commit of the last batch: %r", error)

    async def consume(self, stream: StreamT[Any]) -> None:
        """The agent: apply each batch of a topic."""
        async for event in stream.events():
            await self._crash_on_error(self._handle(event))

    async def realign(self) -> None:
        """The timer: compare the marks with what is cached, and seek where they differ."""
        await self._crash_on_error(self._realign())

    @property
    def _consumer(self) -> BatchConsumer:
        return cast(BatchConsumer, self._app.consumer)

    async def _handle(self, event: EventT[Any]) -> None:
        tp, batch = event.message.tp, cast(FetchedBatch, event.value)
        consumer = self._consumer
        AGGREGATOR_BATCH_RECORDS.observe(len(batch.records))
        back_to = await self._applier.apply(TopicPartition(*tp), batch.records, batch.end, ahead=True)
        # A batch from before the last seek is applied too: a fetch in flight during a seek may bring what was sought.
        # But where such a batch asks to seek back, the consumer has been repositioned already.
        if not consumer.is_current(tp, batch):
            return
        if back_to is not None:
            await consumer.go_to({tp: back_to})
        self._note_lag(tp, batch.end if back_to is None else back_to)
        if back_to is None:
            self._lag.applied(TopicPartition(*tp), batch.records[-1].timestamp)

    def _note_lag(self, tp: TP, reached: int) -> None:
        if tp not in self._consumer.assignment():  # a revoked partition's lag is reported by its next owner
            return
        if (end := self._consumer.last_stable_offset(tp)) is not None:
            self._lag.reached(TopicPartition(*tp), reached, end)

    async def _realign(self) -> None:
        consumer = self._consumer
        if self._app.rebalancing or not consumer.flow_active:
            self._health.set("assigned", False, "rebalancing")
            return
        assigned = [tp for tp in consumer.assignment() if tp.topic in self._topics]
        seek_to = await self._applier.realign(
            [TopicPartition(*tp) for tp in assigned], lambda: self._resets.consume(consumer)
        )
        if seek_to:
            await consumer.go_to({TP(*partition): offset for partition, offset in seek_to.items()})
        for tp in assigned:  # marks that passed markers of transactions brought no batch
            if (reached := self._applier.next_offset(TopicPartition(*tp))) is not None:
                self._note_lag(tp, reached)
        self._health.set("assigned", True, f"{len(assigned)} partitions")
        self._health.report("partitions", len(assigned))
        self._lag.report()

    async def _crash_on_error(self, work: Awaitable[None]) -> None:
        """Faust acknowledges a message whose agent raises; an error that is not retried must end the process."""
        try:
            await work
        except TooManyInvalidRecords as stop:
            logger.error("stopping: %s", stop)
            await self._app.crash(stop)
        except Exception as error:
            logger.exception("stopping: the live tables cannot be continued")
            await self._app.crash(error)


class _App(faust.App):
    def _create_directories(self) -> None:
        """Create none: Faust keeps files for tables of its own only, and a container's file system is read-only."""


def _faust(settings: AggregatorSettings) -> AppT:
    """Faust with the batch transport; none of its storage, web server and topics."""
    app = _App(
        settings.aggregator_group,
        broker=f"kafka://{settings.kafka_bootstrap.replace(',', ';')}",
        broker_credentials=broker_credentials(settings),
        broker_session_timeout=settings.aggregator_session_timeout_s,
        broker_heartbeat_interval=settings.aggregator_session_timeout_s / HEARTBEATS_A_SESSION,
        consumer_group_instance_id=settings.aggregator_instance,
        broker_commit_interval=2.0,
        consumer_auto_offset_reset="earliest",
        consumer_metadata_max_age_ms=metadata_max_age_ms(settings),
        consumer_max_fetch_size=1 << 20,
        broker_max_poll_records=10_000,
        # Few, since each is a whole batch; when it is full, fetching pauses.
        stream_buffer_maxsize=4,
        stream_wait_empty=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
    )
    app.transport = BatchTransport([URL(f"kafka://{settings.kafka_bootstrap}")], app, app.loop)
    return app


class _PositionResets:
    """Detects positions that Faust has set. They come from committed offsets, which may lie past the marks."""

    def __init__(self) -> None:
        self._seen = 0

    def consume(self, consumer: BatchConsumer) -> bool:
        """Whether there were resets since the last call."""
        before, self._seen = self._seen, consumer.resets
        return before != consumer.resets


class LagReporter:
    """Reports rate and lag, for people (/readyz) and for machines (/metrics)."""

    def __init__(self, health: Health) -> None:
        self._health = health
        self._reached: dict[TopicPartition, int] = {}
        self._lag: dict[TopicPartition, int] = {}
        self._records = 0
        self._since = time.monotonic()

    def forget(self) -> None:
        """Other partitions are assigned now. Those of before have another owner, which reports them."""
        self._reached.clear()
        self._lag.clear()
        AGGREGATOR_LAG.clear()
        AGGREGATOR_APPLIED_TIMESTAMP.clear()

    def reached(self, partition: TopicPartition, offset: int, end: int) -> None:
        """All before `offset` is applied; the log ends at `end`."""
        self._records += max(0, offset - self._reached.get(partition, offset))
        self._reached[partition] = offset
        self._lag[partition] = max(0, end - offset)
        AGGREGATOR_LAG.labels(partition.topic, str(partition.partition)).set(self._lag[partition])

    def applied(self, partition: TopicPartition, timestamp_ms: int) -> None:
        """Everything up to a record of this broker time (epoch ms) is applied, or in the call that is in flight."""
        labels = partition.topic, str(partition.partition)
        AGGREGATOR_APPLIED_TIMESTAMP.labels(*labels).set(timestamp_ms / 1000)

    def report(self) -> None:
        """Report the rate since the last report, and the lag."""
        now = time.monotonic()
        self._health.report("events_per_second", round(self._records / (now - self._since), 1))
        self._health.report("lag", sum(self._lag.values()))
        self._records, self._since = 0, now
