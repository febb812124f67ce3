"""The faults. Each is injected and mended by a call that may block; both run in a thread."""

import asyncio
import json
import os
import signal
import threading
import time
from abc import ABC, abstractmethod
from contextlib import ExitStack, closing
from typing import ClassVar

import redis
from aiokafka import AIOKafkaProducer

from bench.swap import copied_in
from local.stack import Stack
from local.steps import run_batch_job, wait_settled
from services.common.model_registry import folder_of
from services.common.object_store import ObjectStore
from services.common.tables import shard_keys
from services.common.times import format_time

_STALE_DAYS = 4
_STOPPED_S = 1.5
_RUNNING_S = 0.5
_BROKEN_EVERY_S = 0.25
_SNAPSHOT_S = 20  # the stack writes one every 15 s


class Fault(ABC):
    """One fault of a stack. `alert` is the one that names it, with the value of a label where others share the name."""

    name: ClassVar[str]
    title: ClassVar[str]
    alert: ClassVar[str]
    label: ClassVar[str] = ""
    # Disturbs nothing that another fault needs, and takes long: injected first, while the others follow one another.
    aside: ClassVar[bool] = False

    def __init__(self, stack: Stack) -> None:
        self._stack = stack

    @abstractmethod
    def inject(self) -> None:
        """Begin it."""

    @abstractmethod
    def mend(self) -> None:
        """End it; also after an injection that failed halfway."""

    def _signal(self, part: str, number: signal.Signals) -> None:
        process = self._stack.process(part)
        if process is not None and process.alive:
            os.kill(process.identity.pid, number)


class Killed(Fault):
    """A process ends as in a crash, and is started again."""

    part: ClassVar[str]

    def inject(self) -> None:
        self._signal(self.part, signal.SIGKILL)

    def mend(self) -> None:
        self._stack.stop([self.part])
        self._stack.start()


class Frozen(Fault):
    """A process is alive and does nothing."""

    part: ClassVar[str]

    def inject(self) -> None:
        self._signal(self.part, signal.SIGSTOP)

    def mend(self) -> None:
        self._signal(self.part, signal.SIGCONT)


class Repeated(Fault):
    """What a thread does again and again until it is mended."""

    def __init__(self, stack: Stack) -> None:
        super().__init__(stack)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    @abstractmethod
    def _work(self) -> None:
        """Until `_ended`."""

    def inject(self) -> None:
        self._thread.start()

    def mend(self) -> None:
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()


class BrokerDown(Killed):
    name, title, part = "broker", "the Kafka broker is killed", "kafka"
    alert, label = "CheckFailing", "kafka"


class RedisDown(Killed):
    name, title, part = "redis", "Redis is killed", "valkey"
    alert, label = "CheckFailing", "tables"


class RecommenderDown(Killed):
    name, title, part = "recommender", "the recommender is killed", "recommender"
    alert, label = "ServiceDown", "recommender"


class StoreDown(Killed):
    name, title, part = "store", "the S3 store is killed", "s3"
    alert, label = "CheckFailing", "s3"


class AggregatorStuck(Frozen):
    name, title, part = "aggregator", "the aggregator is alive and does nothing (SIGSTOP)", "aggregator"
    alert = "PartitionStalled"


class CanariesLost(Frozen):
    name, title, part = "canaries", "canaries do not reach the recommender, which hangs (SIGSTOP)", "recommender"
    alert, label = "CanaryLost", "recommender"


class GatewaySlow(Repeated):
    name, title = "gateway", f"the gateway does nothing for {_STOPPED_S} of every {_STOPPED_S + _RUNNING_S} s"
    alert, label = "EventLoopBlocked", "gateway"

    def _work(self) -> None:
        try:
            while not self._ended.is_set():
                self._signal("gateway", signal.SIGSTOP)
                time.sleep(_STOPPED_S)
                self._signal("gateway", signal.SIGCONT)
                time.sleep(_RUNNING_S)
        finally:
            self._signal("gateway", signal.SIGCONT)


class BrokenSender(Repeated):
    name, title = "dead-letters", "a sender's deployment sends records that are no purchases"
    alert = "DeadLetterSurge"

    def _work(self) -> None:
        asyncio.run(self._send())

    async def _send(self) -> None:
        settings = self._stack.settings
        async with AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap) as producer:
            partitions = await producer.partitions_for(settings.purchases_topic)
            while not self._ended.is_set():
                for partition in partitions:
                    await producer.send(settings.purchases_topic, b'{"order": 1', partition=partition)
                await asyncio.sleep(_BROKEN_EVERY_S)


class RedisFull(Fault):
    name, title = "redis-full", "Redis is full: it refuses writes"
    alert = "RedisNearlyFull"

    def inject(self) -> None:
        with self._redis() as client:
            self._limit = client.config_get("maxmemory")["maxmemory"]
            client.config_set("maxmemory", client.info("memory")["used_memory"] * 9 // 10)

    def mend(self) -> None:
        with self._redis() as client:
            client.config_set("maxmemory", self._limit)

    def _redis(self) -> redis.Redis:
        return redis.Redis.from_url(self._stack.settings.redis_url, decode_responses=True)


class BooksOff(Fault):
    """One cent too much in the total, and a comparison at once; the shop's own would come with the nightly job."""

    name, title = "books", "the total is one cent off; a comparison runs at once"
    alert = "BooksDiffer"

    def inject(self) -> None:
        self._add_and_compare(1)

    def mend(self) -> None:
        self._add_and_compare(-1)

    def _add_and_compare(self, cents: int) -> None:
        with redis.Redis.from_url(self._stack.settings.redis_url) as client:
            client.hincrby(shard_keys(1)[0]("totals"), "revenue", cents)
        time.sleep(_SNAPSHOT_S)
        wait_settled(self._stack)
        run_batch_job(self._stack, "reconcile")


class ModelStale(Fault):
    name, title = "model", f"the pointer names a model that is {_STALE_DAYS} days old"
    alert = "ModelStale"
    aside = True

    def inject(self) -> None:
        self._open = ExitStack()
        store = self._open.enter_context(closing(ObjectStore(self._stack.s3)))
        self._models = self._open.enter_context(copied_in(store))
        manifest = f"{folder_of(self._models.copy)}manifest.json"
        created = format_time(time.time_ns() // 1_000_000 - _STALE_DAYS * 86_400_000)
        store.put(manifest, json.dumps(json.loads(store.get(manifest)) | {"created_at": created}).encode())
        self._models.activate()

    def mend(self) -> None:
        self._models.activate_original()
        time.sleep(_SNAPSHOT_S)  # the recommender looks at the pointer more often
        self._open.close()


ALL: tuple[type[Fault], ...] = (
    ModelStale,
    BrokenSender,
    BooksOff,
    RedisFull,
    RedisDown,
    RecommenderDown,
    GatewaySlow,
    AggregatorStuck,
    CanariesLost,
    BrokerDown,
    StoreDown,
)
