"""The Faust application: subscribes both topics and feeds the applier."""

import asyncio
import logging
import time
from typing import Any, cast

import faust
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from faust.types import TP, AppT, EventT, StreamT
from yarl import URL

from services.aggregator.applier import Applier
from services.aggregator.settings import AggregatorSettings
from services.aggregator.transport import Batch, BatchConsumer, BatchTransport
from services.common.dlq_limits import TooManyRefused
from services.common.kafka import MskTokenProvider
from services.common.metrics import AGGREGATOR_LAG
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
    pulse = Pulse(health)
    resets = _Resets()

    async def on_assigned(*_: Any, **__: Any) -> None:
        cast(BatchConsumer, app.consumer).invalidate()
        applier.reassigned()
        pulse.forget()

    app.on_partitions_assigned.connect(on_assigned)

    async def on_stopping(*_: Any, **__: Any) -> None:
        await _leave(app, applier)

    # Fetching has ended by then, the agents have not.
    app.on_before_shutdown.connect(on_stopping)

    async def consume(stream: StreamT[Any]) -> None:
        async for event in stream.events():
            await _guarded(app, handle(event))

    async def handle(event: EventT[Any]) -> None:
        partition, batch = TopicPartition(*event.message.tp), cast(Batch, event.value)
        consumer = cast(BatchConsumer, app.consumer)
        back_to = await applier.apply(partition, batch.records)
        # What was asked for before the last seek is not dropped unseen: a fetch that is under way during a seek brings
        # what was sought. But where such a batch says "go back", reading is on its way already.
        if not consumer.is_current(event.message.tp, batch):
            return
        if back_to is not None:
            await consumer.go_to({event.message.tp: back_to})
        reached = batch.records[-1].offset + 1 if back_to is None else back_to
        if event.message.tp in consumer.assignment():  # else revoked meanwhile: its end is another's to tell
            pulse.reached(partition, reached, consumer.highwater(event.message.tp) or reached)

    async def realign() -> None:
        consumer = cast(BatchConsumer, app.consumer)
        if app.rebalancing or not consumer.flow_active:
            health.set("assigned", False, "rebalancing")
            health.beat()
            return
        assigned = [partition for partition in consumer.assignment() if partition.topic in topics]
        partitions = [TopicPartition(*partition) for partition in assigned]
        moved = await applier.realign(partitions, lambda: resets.noticed(consumer))
        if moved:
            await consumer.go_to({TP(*partition): offset for partition, offset in moved.items()})
        health.set("assigned", True, f"{len(assigned)} partitions")
        health.report("partitions", len(assigned))
        pulse.report()

    async def realign_guarded() -> None:
        await _guarded(app, realign())

    app.timer(REALIGN_EVERY_S)(realign_guarded)

    for topic in sorted(topics):
        channel = app.topic(topic, schema=_AsFetched(), internal=False)
        app.agent(channel, name=f"apply-{topic}")(consume)
    return app


def _faust(settings: AggregatorSettings) -> AppT:
    """Faust with our transport; nothing of its own storage, web server and topics."""
    app = faust.App(
        settings.aggregator_group,
        broker=f"kafka://{settings.kafka_bootstrap.replace(',', ';')}",
        broker_credentials=_credentials(settings),
        datadir=settings.aggregator_scratch,
        broker_session_timeout=settings.aggregator_session_timeout_s,
        broker_heartbeat_interval=settings.aggregator_session_timeout_s / HEARTBEATS_A_SESSION,
        consumer_group_instance_id=settings.aggregator_instance,
        broker_commit_interval=2.0,
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=1 << 20,
        broker_max_poll_records=10_000,
        # Few, since each is a whole batch; beyond them fetching pauses.
        stream_buffer_maxsize=4,
        stream_wait_empty=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
    )
    app.transport = BatchTransport([URL(f"kafka://{settings.kafka_bootstrap}")], app, app.loop)
    return app


class _Resets:
    """Positions that Faust has set come from committed offsets, which may lie past the marks: nothing is known then."""

    def __init__(self) -> None:
        self._noticed = 0

    def noticed(self, consumer: BatchConsumer) -> bool:
        """Whether there were any since this was asked last."""
        before, self._noticed = self._noticed, consumer.resets
        return before != consumer.resets


class Pulse:
    """Rate and lag for people (/readyz) and machines (/metrics), by what the partitions have reached."""

    def __init__(self, health: Health) -> None:
        self._health = health
        self._reached: dict[TopicPartition, int] = {}
        self._lag: dict[TopicPartition, int] = {}
        self._records = 0
        self._since = time.monotonic()

    def forget(self) -> None:
        """Other partitions are assigned now."""
        self._reached.clear()
        self._lag.clear()

    def reached(self, partition: TopicPartition, offset: int, end: int) -> None:
        """All before `offset` is applied; the log ends at `end`."""
        self._records += max(0, offset - self._reached.get(partition, offset))
        self._reached[partition] = offset
        self._lag[partition] = max(0, end - offset)
        AGGREGATOR_LAG.labels(partition.topic, str(partition.partition)).set(self._lag[partition])

    def report(self) -> None:
        """Tell the rate since the last report, and the lag."""
        now = time.monotonic()
        self._health.report("events_per_second", round(self._records / (now - self._since), 1))
        self._health.report("lag", sum(self._lag.values()))
        self._records, self._since = 0, now


async def _leave(app: AppT, applier: Applier) -> None:
    """Finish the batch under way and commit its mark, so that whoever is next fetches nothing twice."""
    consumer = cast(BatchConsumer, app.consumer)
    try:
        async with asyncio.timeout(_LEAVE_WITHIN_S):
            marks = await applier.close([TopicPartition(*partition) for partition in consumer.assignment()])
            await consumer.leave_at({TP(*partition): offset for partition, offset in marks.items()})
    except (TimeoutError, KafkaError) as error:
        # Not needed for exactness: the marks in Redis say where to go on.
        logger.warning("stopped without a commit of the last batch: %r", error)


async def _guarded(app: AppT, work: Any) -> None:
    """Faust acknowledges a message whose agent raises; an error that is not waited out must end the process instead."""
    try:
        await work
    except TooManyRefused as stop:
        logger.error("stopping: %s", stop)
        await app.crash(stop)
    except Exception as error:
        logger.exception("stopping: the live tables cannot be continued")
        await app.crash(error)


def _credentials(settings: AggregatorSettings) -> Any:
    if settings.kafka_security == "plaintext":
        return None
    import ssl  # noqa: PLC0415

    return faust.auth.OAuthCredentials(
        oauth_cb=MskTokenProvider(settings.aws_region), ssl_context=ssl.create_default_context()
    )
