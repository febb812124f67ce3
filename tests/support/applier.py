"""An applier on a real Redis, with a log, an archive and a dead-letter topic in memory."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from aiokafka import TopicPartition
from redis.asyncio import Redis

from services.aggregator.applier import Applier
from services.aggregator.applier_parts import ApplierPorts, ApplierSettings
from services.aggregator.archive_reader import OffsetRange, PartitionBatches
from services.aggregator.dead_letter_output import DeadLetterOutput
from services.aggregator.store import TableStore
from services.aggregator.validation import RejectedRecord
from services.common.dlq_limits import InvalidRateAlarm
from services.common.generations import Generation
from services.common.settings import DeadLetterLimits
from services.common.tables import shard_keys
from services.common.telemetry import Health
from tests.support.records import NOW, FakeRecord

TOPIC, DLQ = "purchases", "purchases.dlq"


class MemorySink:
    """Keeps the rejected records: the dead-letter topic has its own test."""

    def __init__(self) -> None:
        self.rejected: list[RejectedRecord] = []

    @property
    def offsets(self) -> list[int]:
        return [each.record.offset for each in self.rejected]

    @property
    def reasons(self) -> list[str]:
        return [each.rejection.reason.value for each in self.rejected]

    async def send(self, topic: str, partition: int, rejected: Sequence[RejectedRecord]) -> None:
        self.rejected += rejected


class FakeLog:
    """A log that keeps all from `earliest` to `end`."""

    def __init__(self, earliest: int = 0, end: int = 10**9) -> None:
        self.earliest, self.end = earliest, end
        self.timestamps: dict[int, int] = {}
        self.holes: set[int] = set()

    async def offsets(self, partition: TopicPartition) -> tuple[int, int]:
        return self.earliest, self.end

    async def ends(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, self.end)

    async def empty_to(self, partition: TopicPartition, offset: int) -> int:
        while offset in self.holes:
            offset += 1
        return offset

    async def first(self, partition: TopicPartition, offset: int) -> tuple[int, int] | None:
        while offset in self.holes:
            offset += 1
        return offset, self.timestamps.get(offset, NOW)


class FakeArchive:
    """Holds these records of one partition, whatever the log still has; `reads` counts how often it was asked.

    `gaps`: where it says that the log never had a record, from (inclusive) and to (exclusive).
    """

    def __init__(self, records: Sequence[FakeRecord] = (), gaps: Sequence[tuple[int, int]] = ()) -> None:
        self.records = records
        self.gaps = gaps
        self.reads = 0

    async def is_gap(self, partition: TopicPartition, wanted: int, found: int) -> bool:
        return (wanted, found) in self.gaps

    async def read(self, ranges: Mapping[TopicPartition, OffsetRange]) -> PartitionBatches:
        self.reads += 1
        for partition, wanted in ranges.items():
            held = [record for record in self.records if wanted.start - 1 <= record.offset < wanted.end]
            for at in range(0, len(held), 7):
                yield partition, held[at : at + 7]


class Crash(Exception):
    """Stands for kill -9 at this point."""


class CrashingStore(TableStore):
    """Dies after `calls` script calls."""

    calls: float = float("inf")

    async def apply(self, *arguments: Any) -> int:
        if self.calls <= 0:
            raise Crash
        self.calls -= 1
        return await super().apply(*arguments)


def store_of(connection: Redis, shards: int = 1) -> CrashingStore:
    return CrashingStore(connection, shard_keys(shards))


def applier_of(
    store: TableStore,
    sink: MemorySink | None = None,
    *,
    log: FakeLog | None = None,
    archive: FakeArchive | None = None,
    limits: DeadLetterLimits | None = None,
    live: Callable[[], Awaitable[Generation]] | None = None,
    **options: Any,
) -> Applier:
    """An applier with fakes where nothing is given; `options`: fields of ApplierSettings."""
    dead_letters = DeadLetterOutput(
        sink or MemorySink(), InvalidRateAlarm(limits or DeadLetterLimits(), Health("test"))
    )
    settings = ApplierSettings(
        dead_letters_topic=DLQ,
        time_zone="UTC",
        **{"chunk": 50, "accept_missing_history": False, "missing_timeout_s": 0.0, **options},
    )
    ports = ApplierPorts(dead_letters, log or FakeLog(), archive or FakeArchive())
    return Applier(store, ports, Health("test"), settings, live)
