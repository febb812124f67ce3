"""How each fault is injected and ended.

`end` returns when the affected process runs again; the time to recovery is measured from then on.
"""

import asyncio
import contextlib
import random
import shutil
import time
from pathlib import Path
from typing import cast

import redis

from local.http import NoAnswer
from services.common.tables import shard_keys
from tests.faults import purchases_topic
from tests.faults.edge_injections import (
    AbortedTransactions,
    ClockSkew,
    MorePartitions,
    OddEventIds,
    OverlappingExports,
    PoisonedRecords,
    RedisFailsOver,
)
from tests.faults.fault_injection import FaultInjection
from tests.faults.rig import Rig
from tests.faults.schedule import KINDS, PlannedFault
from tests.support.polling import wait_until

HELD_S = 8
WAIT_S = 60
ENDS_WITHIN_S = 5  # Kafka notices at its next write or checkpoint
BALLAST = "ballast"


class KillService(FaultInjection):
    """kill -9, then a start."""

    name: str

    def inject(self) -> None:
        self.rig.kill(self.name)

    def end(self) -> None:
        self.rig.start_service(self.name)


class KillArchiver(KillService):
    """kill -9 of the archiver."""

    name = "archiver"


class KillGateway(KillService):
    """kill -9 of the gateway."""

    name = "gateway"


class KillRecommender(KillService):
    """kill -9 of the recommender; the page still gets its three products."""

    name = "recommender"

    def inject(self) -> None:
        super().inject()
        try:
            answer = self.rig.get("/v1/users/nobody/recommendations?k=3")
        except NoAnswer as error:  # the gateway may be hurt, too
            answer = {"strategy": str(error)}
        self.notes.append(f"recommendations meanwhile: {answer.get('strategy', answer)}")


class KillProducer(FaultInjection):
    """kill -9 of the producer, which goes on from its checkpoint."""

    def inject(self) -> None:
        self.rig.kill("producer")

    def end(self) -> None:
        self.rig.feed(self.rig.files[-1])


class KillAggregator(FaultInjection):
    """kill -9 of an aggregator."""

    def inject(self) -> None:
        self.name = self.rig.aggregators[0]
        self.rig.kill(self.name)

    def end(self) -> None:
        self.rig.start_aggregator(self.name)


class KillEngine(FaultInjection):
    """kill -9 of an engine."""

    name: str

    def inject(self) -> None:
        self.rig.kill(self.name)

    def end(self) -> None:
        self.rig.start_engine(self.name)


class KillBroker(KillEngine):
    """kill -9 of Kafka."""

    name = "kafka"


class KillRedis(KillEngine):
    """kill -9 of Valkey, which comes back with the last snapshot it wrote, or empty."""

    name = "valkey"


class KillS3(KillEngine):
    """kill -9 of the object store."""

    name = "s3"


class StopS3(KillEngine):
    """The object store is stopped for a while."""

    name = "s3"

    def inject(self) -> None:
        self.rig.end(self.name)


class RestartBroker(KillEngine):
    """A clean restart of Kafka."""

    name = "kafka"

    def inject(self) -> None:
        self.rig.end(self.name)


class ZombieAggregator(FaultInjection):
    """One of two aggregators is stopped, a script on its way, until the other has its partitions; then both go on."""

    def inject(self) -> None:
        self.zombie = self.rig.aggregators[0]
        self.rig.start_aggregator()
        wait_for_partitions(self.rig)
        proxy = self.rig.redis_proxies[self.zombie]
        proxy.hold(self.chance.randint(1, 3))
        self.notes.append("a script was held" if proxy.held.wait(HELD_S) else "no script came")
        self.rig.pause(self.zombie)

    def end(self) -> None:
        self.rig.redis_proxies[self.zombie].release()  # the late write
        self.rig.resume(self.zombie)


class ZombieArchiver(FaultInjection):
    """The archiver is stopped past its session while a second one works; then both go on, and the second one ends."""

    def inject(self) -> None:
        self.rig.pause("archiver")
        self.second = self.rig.start_second_archiver()

    def end(self) -> None:
        self.rig.resume("archiver")
        time.sleep(self.chance.uniform(0, 3))
        self.rig.end(self.second)


class Scale(FaultInjection):
    """One aggregator, then three, then two."""

    def inject(self) -> None:
        self.rig.start_aggregator()
        self.rig.start_aggregator()

    def end(self) -> None:
        self.rig.end(self.chance.choice(self.rig.aggregators))


class CrashBetweenScripts(FaultInjection):
    """The aggregator dies after the n-th script of a batch: one shard has the batch, the next one has not."""

    def inject(self) -> None:
        self.name = self.rig.aggregators[0]
        proxy = self.rig.redis_proxies[self.name]
        proxy.hold(self.chance.randint(2, 7))
        held = proxy.held.wait(HELD_S)
        self.rig.kill(self.name)
        proxy.cut()
        proxy.release()
        self.notes.append(f"{'crashed before a script' if held else 'no script came'}, {self._marks()}")

    def end(self) -> None:
        self.rig.start_aggregator(self.name)

    def _marks(self) -> str:
        try:
            apart = shards_apart(self.rig)
        except redis.RedisError:
            return "Redis was away too"
        return f"marks differ in {apart} partitions" if apart else "marks agree"


class RestoreRedis(FaultInjection):
    """A snapshot is taken; later Valkey dies and comes back with it, while everything else runs on."""

    def inject(self) -> None:
        save_snapshot(self.rig)
        shutil.copy(self._snapshot, self._copy)

    def end(self) -> None:
        self.rig.kill("valkey")
        shutil.copy(self._copy, self._snapshot)
        self.rig.start_engine("valkey")

    @property
    def _snapshot(self) -> Path:
        return self.rig.valkey.folder / "dump.rdb"

    @property
    def _copy(self) -> Path:
        return self.rig.layout.root / "older.rdb"


class EmptyRedis(FaultInjection):
    """FLUSHALL: everything is counted again from Kafka's first record."""

    def inject(self) -> None:
        with redis.Redis.from_url(self.rig.valkey.url) as client:
            client.flushall()


class EmptyRedisTrimKafka(EmptyRedis):
    """FLUSHALL where Kafka no longer has what earlier trials sent: that is counted again from the archive."""

    def inject(self) -> None:
        if self.rig.compared:
            asyncio.run(purchases_topic.trim(self.rig.settings, self.rig.compared))
        self.notes.append(f"{sum(self.rig.compared.values()):,} records left Kafka")
        super().inject()


class SlowRedis(FaultInjection):
    """Each answer to the aggregators comes late."""

    def inject(self) -> None:
        self._delay(self.chance.uniform(0.05, 0.5))

    def end(self) -> None:
        self._delay(0.0)

    def _delay(self, seconds: float) -> None:
        for proxy in self.rig.redis_proxies.values():
            proxy.delay_s = seconds


class FreezeRedis(FaultInjection):
    """Valkey is stopped in its tracks."""

    def inject(self) -> None:
        self.rig.pause("valkey")

    def end(self) -> None:
        self.rig.resume("valkey")


class S3Refuses(FaultInjection):
    """The store answers 503 SlowDown to the archiver."""

    def inject(self) -> None:
        self.rig.s3_proxy.refused = 0
        self.rig.s3_proxy.refusing = True

    def end(self) -> None:
        self.rig.s3_proxy.refusing = False
        self.notes.append(f"{self.rig.s3_proxy.refused} requests refused")


class BrokerDiskFull(FaultInjection):
    """Kafka's file system is full: Kafka ends, or runs without what it could not load. Once freed, it is restarted."""

    def inject(self) -> None:
        fill(self.rig.kafka.folder)

    def end(self) -> None:
        free(self.rig.kafka.folder)
        ended = self.rig.processes["kafka"].wait(ENDS_WITHIN_S)
        self.notes.append("Kafka ended" if ended else "Kafka ran on")
        if not ended:
            self.rig.end("kafka")
        self.rig.start_engine("kafka")


class RedisDiskFull(FaultInjection):
    """Valkey cannot write its snapshot and refuses all writes. Freed, a snapshot that succeeds lets it accept them."""

    def inject(self) -> None:
        fill(self.rig.valkey.folder)
        with redis.Redis.from_url(self.rig.valkey.url) as client:
            client.bgsave()

    def end(self) -> None:
        wait_until(lambda: last_snapshot(self.rig) == "err", "a snapshot that fails", WAIT_S)
        self.notes.append("a snapshot failed")
        free(self.rig.valkey.folder)
        save_snapshot(self.rig)


class ClockJump(FaultInjection):
    """The rows themselves are hurt: see schedule.rows_of."""


class KillSparkJob(FaultInjection):
    """kill -9 of the batch job and its JVM; a job run later must not see anything half."""

    def inject(self) -> None:
        self.job = self.rig.spawn(self.rig.batch_job())

    def end(self) -> None:
        self.notes.append("killed" if self.job.alive else "it had ended")
        self.job.kill()
        self.job.sweep()
        del self.rig.processes[self.job.name]


INJECTIONS: dict[str, type[FaultInjection]] = {
    "kill producer": KillProducer,
    "kill broker": KillBroker,
    "kill aggregator": KillAggregator,
    "kill archiver": KillArchiver,
    "kill Redis": KillRedis,
    "kill S3": KillS3,
    "kill recommender": KillRecommender,
    "kill gateway": KillGateway,
    "zombie aggregator": ZombieAggregator,
    "zombie archiver": ZombieArchiver,
    "1, 3, 2 aggregators": Scale,
    "crash between scripts": CrashBetweenScripts,
    "restart broker": RestartBroker,
    "restore Redis": RestoreRedis,
    "empty Redis": EmptyRedis,
    "empty Redis, trim Kafka": EmptyRedisTrimKafka,
    "slow Redis": SlowRedis,
    "freeze Redis": FreezeRedis,
    "S3 refuses": S3Refuses,
    "stop S3": StopS3,
    "broker's disk full": BrokerDiskFull,
    "Redis's disk full": RedisDiskFull,
    "clock jump": ClockJump,
    "kill Spark job": KillSparkJob,
    "aborted transactions": AbortedTransactions,
    "odd event ids": OddEventIds,
    "poisoned records": PoisonedRecords,
    "overlapping exports": OverlappingExports,
    "more partitions": MorePartitions,
    "Redis fails over": RedisFailsOver,
    "clock skew": ClockSkew,
}
assert set(INJECTIONS) == {kind.name for kind in KINDS}
NEED_MOUNT = frozenset({"broker's disk full", "Redis's disk full"})


def wait_for_partitions(rig: Rig) -> None:
    """Wait until each aggregator is ready and has partitions of its own."""
    wait_until(
        lambda: all(rig.is_ready(name) and rig.partitions(name) for name in rig.aggregators),
        "every aggregator has partitions",
        WAIT_S,
    )


def save_snapshot(rig: Rig) -> None:
    """Let Valkey write a snapshot; returns when it is on disk."""
    with redis.Redis.from_url(rig.valkey.url) as client:
        wait_until(lambda: not client.info("persistence")["rdb_bgsave_in_progress"], "no snapshot in progress", WAIT_S)
        client.bgsave()
        wait_until(lambda: not client.info("persistence")["rdb_bgsave_in_progress"], "no snapshot in progress", WAIT_S)
    assert last_snapshot(rig) == "ok"


def last_snapshot(rig: Rig) -> str:
    """How Valkey's last snapshot ended: `ok` or `err`."""
    with redis.Redis.from_url(rig.valkey.url) as client:
        return str(client.info("persistence")["rdb_last_bgsave_status"])


def shards_apart(rig: Rig) -> int:
    """The number of partitions of purchases whose shards stand at different marks."""
    topic = rig.settings.purchases_topic
    with redis.Redis.from_url(rig.valkey.url) as client:
        marks = [cast(dict[bytes, bytes], client.hgetall(keys("marks"))) for keys in shard_keys(rig.settings.shards)]
    fields = {name for shard in marks for name in shard if name.startswith(f"{topic}/".encode())}
    return sum(len({shard.get(field) for shard in marks}) > 1 for field in fields)


def fill(folder: Path) -> None:
    """Leave no room in the file system of a folder. Refuses one that is not a mount of its own."""
    if not folder.is_mount():
        raise RuntimeError(f"{folder} is no file system of its own: filling it would hurt the machine")
    with contextlib.suppress(OSError), (folder / BALLAST).open("wb", buffering=0) as file:
        while True:
            file.write(b"\0" * (1 << 16))
    with contextlib.suppress(OSError), (folder / BALLAST).open("ab", buffering=0) as file:
        while True:
            file.write(b"\0" * 512)


def free(folder: Path) -> None:
    """Make room again."""
    (folder / BALLAST).unlink()


def injection_of(fault: PlannedFault, rig: Rig, seed: int) -> FaultInjection:
    """The fault, ready to be injected; its random choices follow from the seed."""
    return INJECTIONS[fault.kind](rig, random.Random(f"{seed} {fault.kind}"))
