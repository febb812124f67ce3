"""A rebalance during a fetch: the fetched records belong to the previous assignment."""

import asyncio
import gzip
import json
from collections.abc import Callable
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition

from services.archiver.s3_calls import S3Calls
from services.archiver.segments import SegmentChains
from services.archiver.service import Archiver
from services.archiver.settings import ArchiverSettings
from services.common.telemetry import Health
from tests.support.memory_archive import LogRecord, MemoryStore
from tests.support.polling import eventually

PARTITION = TopicPartition("purchases", 0)
LOG = [LogRecord(offset, 1_600_000_000_000 + offset, b'{"n":%d}' % offset) for offset in range(30)]
COMMITTED = 10


class Consumer:
    """Fetches `LOG` in steps of five. `rebalance` happens in the middle of the next fetch, where there is one."""

    def __init__(self) -> None:
        self.position = 0
        self.end = COMMITTED
        self.listener: Archiver | None = None
        self.rebalance: Callable[[], Any] | None = None

    @property
    def _subscription(self) -> Any:
        """As `position_now` reads it."""
        state = SimpleNamespace(position=self.position, has_valid_position=True)
        assignment = SimpleNamespace(tps={PARTITION}, state_value=lambda _: state)
        return SimpleNamespace(subscription=SimpleNamespace(assignment=assignment))

    def subscribe(self, _topics: list[str], listener: Archiver) -> None:
        self.listener = listener

    def seek(self, _partition: TopicPartition, offset: int) -> None:
        self.position = offset

    async def getmany(self, *_partitions: TopicPartition, **_: Any) -> dict[TopicPartition, list[LogRecord]]:
        await asyncio.sleep(0)
        if self.rebalance is not None:
            during, self.rebalance = self.rebalance, None
            await during()
        records = LOG[self.position : min(self.position + 5, self.end)]
        self.position += len(records)
        return {PARTITION: records} if records else {}

    async def beginning_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, 0)

    async def end_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, len(LOG))

    async def commit(self, _offsets: Any) -> None:
        """The archive is listed all the same."""


class Admin:
    async def list_consumer_group_offsets(self, _group: str, **_: Any) -> dict[TopicPartition, Any]:
        return {}


@pytest.mark.parametrize("located_first", [False, True])
async def test_records_of_an_earlier_assignment_are_neither_kept_nor_skipped(located_first: bool) -> None:
    """Found by the fault suite: an archiver that woke up after its session; records were archived twice."""
    consumer, store = Consumer(), MemoryStore()
    health = Health("archiver", checks=("kafka", "s3"))
    settings = ArchiverSettings(archive_object_bytes=1, archive_object_age_s=0.01)
    s3 = S3Calls(health)
    archiver = Archiver(settings, consumer, Admin(), SegmentChains(store), s3=s3, health=health)
    stop = asyncio.Event()
    running = asyncio.create_task(archiver.run(stop))
    try:
        await asyncio.sleep(0)
        await archiver.on_partitions_assigned([PARTITION])
        await eventually(lambda: len(offsets(store)) >= COMMITTED, "what was committed is archived")

        async def again() -> None:
            """Kafka's own position is what was committed; the archiver's start is found a little later."""
            await archiver.on_partitions_revoked([PARTITION])
            consumer.end = len(LOG)
            if located_first:
                await archiver.on_partitions_assigned([PARTITION])
                await asyncio.sleep(0.2)
            else:
                consumer.position = COMMITTED + 3
                await archiver.on_partitions_assigned([PARTITION])

        consumer.rebalance = again
        await eventually(lambda: len(offsets(store)) >= len(LOG), "all is archived")
    finally:
        stop.set()
        with suppress(TimeoutError):
            await asyncio.wait_for(running, 60)
        s3.close()
    assert offsets(store) == [*range(len(LOG))]


def offsets(store: MemoryStore) -> list[int]:
    """What is archived, by object and line."""
    keys = sorted(store.objects)
    return [json.loads(line)["offset"] for key in keys for line in gzip.decompress(store.objects[key][0]).splitlines()]
