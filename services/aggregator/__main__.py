"""`python -m services.aggregator`: applies purchases to the live tables in Redis. Set by TILLSTREAM_* variables."""

import asyncio
import gc
import logging
import sys
from typing import Any

import faust
import mode
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from services.aggregator.app import build_app
from services.aggregator.applier import Applier, make_applier
from services.aggregator.applier_parts import ApplierPorts
from services.aggregator.archive_reader import ArchiveReader
from services.aggregator.dead_letter_output import DeadLetterOutput
from services.aggregator.erasures import ErasureWatch
from services.aggregator.eviction import CHECK, EvictingRedis, EvictionGuard
from services.aggregator.kafka import KafkaDeadLetters, KafkaLogRange
from services.aggregator.live_generation import LiveGeneration
from services.aggregator.redis_load import RedisLoad
from services.aggregator.settings import AggregatorSettings
from services.aggregator.snapshots import LiveFigures, Snapshots
from services.common.dlq_limits import InvalidRateAlarm
from services.common.entrypoint import WRONG_SETTINGS, refuse, run_service
from services.common.eventloop_lag import watch_loop
from services.common.generations import FIRST_GENERATION, Generation
from services.common.kafka import WaitLog, make_consumer, producer_options, require_topics, until_reachable
from services.common.object_store import ObjectStore
from services.common.redis_client import connect
from services.common.tasks import repeat
from services.common.telemetry import Health, TelemetryServer

logger = logging.getLogger("services.aggregator")  # under `python -m`, __name__ is __main__

_KAFKA_ASKED_EVERY_S = 5.0
_KAFKA_ANSWERS_WITHIN_S = 5.0


class Clients(mode.Service):
    """Opens and closes the applier's clients. Created inside the worker's event loop."""

    def __init__(self, settings: AggregatorSettings, health: Health, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._settings = settings
        self._health = health
        self.redis = connect(settings)
        self.eviction = EvictionGuard(self.redis, health)
        self.producer = AIOKafkaProducer(**producer_options(settings))
        self.log_client = make_consumer(settings, group_id=None)
        self.objects = ObjectStore(settings)
        self._using_clients: list[asyncio.Task[None]] = []
        self._erasures: ErasureWatch | None = None

    def applier(self) -> Applier:
        """The applier over these clients."""
        settings = self._settings
        sink = KafkaDeadLetters(self.producer, settings.dead_letters_topic)
        ports = ApplierPorts(
            DeadLetterOutput(sink, InvalidRateAlarm(settings, self._health)),
            KafkaLogRange(self.log_client),
            ArchiveReader(self.objects),
        )
        generation = Generation(FIRST_GENERATION, settings.shards, settings.time_zone)
        live = LiveGeneration(self.redis, settings.shards, settings.time_zone)
        applier = make_applier(settings, self.redis, generation, ports, self._health, live=live.current)
        self._erasures = ErasureWatch(self.objects, self.redis, applier.use_erased)
        return applier

    async def on_start(self) -> None:
        """Connect to Kafka, however long it is unavailable; Redis connects on first use."""
        self.add_future(watch_loop(self._health))
        await self._wait_for_kafka()
        await self.producer.start()
        await self.log_client.start()
        self.add_future(self.eviction.watch())
        self.add_future(RedisLoad(self.redis).watch())
        self._using_clients.append(asyncio.create_task(repeat(self._ask_kafka, _KAFKA_ASKED_EVERY_S)))
        if self._erasures is not None:
            self._using_clients.append(asyncio.create_task(self._erasures.run()))
        if self._settings.aggregator_snapshot_seconds:
            self._using_clients.append(asyncio.create_task(self._make_snapshots().run()))

    async def _wait_for_kafka(self) -> None:
        """Wait instead of exiting: there may be no supervisor that would start the process again."""
        settings = self._settings
        topics = (settings.purchases_topic, settings.dead_letters_topic)
        wait_log = WaitLog(lambda reason: self._health.set("kafka", False, reason))
        await until_reachable(lambda: require_topics(settings, topics), wait_log)

    async def _ask_kafka(self) -> None:
        """Update the check: a consumer that gets no records does not say whether there are none or no broker."""
        asked = [TopicPartition(self._settings.purchases_topic, 0)]
        try:
            await asyncio.wait_for(self.log_client.end_offsets(asked), _KAFKA_ANSWERS_WITHIN_S)
        except (KafkaError, OSError, TimeoutError) as error:
            self._health.set("kafka", False, repr(error))
        else:
            self._health.set("kafka", True)

    def _make_snapshots(self) -> Snapshots:
        settings = self._settings
        return Snapshots(
            LiveFigures(self.redis, settings),
            self.objects,
            seconds=settings.aggregator_snapshot_seconds,
            kept=settings.aggregator_snapshots_kept,
            erased=self._count_erased,
        )

    def _count_erased(self) -> int:
        applied = self._erasures.applied if self._erasures is not None else None
        return len(applied) if applied is not None else 0

    async def on_stop(self) -> None:
        """Close all clients."""
        for task in self._using_clients:
            task.cancel()
        await asyncio.gather(*self._using_clients, return_exceptions=True)
        await self.producer.stop()
        await self.log_client.stop()
        await self.redis.aclose()
        self.objects.close()


def tune_garbage_collector() -> None:
    """Keep its pauses short and rare. Call it once everything is built that stays."""
    # A batch creates thousands of objects and no cycles; collecting after every 700 took a third of the time.
    gc.set_threshold(100_000, 20, 100)
    gc.collect()
    gc.freeze()  # a collection that walks over what stays pauses for long


def main() -> int:
    """Run until SIGTERM or SIGINT. Exit status 2: configuration, Redis's too; 1: the tables cannot be continued."""
    return run_service("aggregator", AggregatorSettings, _serve)


def _serve(settings: AggregatorSettings) -> int:
    health = Health("aggregator", checks=("kafka", "tables", "assigned", CHECK))
    port = settings.aggregator_metrics_port
    with TelemetryServer(settings.host, port, health, "TILLSTREAM_AGGREGATOR_METRICS_PORT"):
        return run(settings, health)


def run(settings: AggregatorSettings, health: Health) -> int:
    """Build everything in one event loop and pass it to Faust's worker."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    clients = loop.run_until_complete(_make_clients(settings, health))
    try:
        loop.run_until_complete(clients.eviction.require_none())
    except EvictingRedis as error:
        return refuse("aggregator", WRONG_SETTINGS, str(error))
    app = build_app(settings, health, clients.applier())
    tune_garbage_collector()
    worker = faust.Worker(
        app, clients, loop=loop, loglevel=settings.log_level, redirect_stdouts=False, override_logging=False
    )
    try:
        worker.execute_from_commandline()
    except SystemExit as stop:
        return int(stop.code or 0)
    except Exception:
        logger.exception("the aggregator stopped")
        return 1
    return 0


async def _make_clients(settings: AggregatorSettings, health: Health) -> Clients:
    return Clients(settings, health)


if __name__ == "__main__":
    sys.exit(main())
