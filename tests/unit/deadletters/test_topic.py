"""Reading the dead-letter topic: every origin once, up to the ends at the start, with progress."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaTimeoutError

from services.common.dead_letters import FileOrigin, Headers, dead_letter_headers
from services.common.events import Reason, Rejected
from services.deadletters.topic import Topics

DEAD_LETTERS = "purchases.dlq"


@dataclass(frozen=True)
class FakeRecord:
    offset: int
    headers: Headers
    value: bytes = b"row"
    timestamp: int = 0


class FakeConsumer:
    """Two partitions in memory; each fetch returns at most two records."""

    def __init__(self, logs: Sequence[Sequence[FakeRecord]], begins: Sequence[int], ends: Sequence[int]) -> None:
        self._logs = logs
        self._begins = begins
        self._ends = ends
        self._positions: dict[TopicPartition, int] = {}

    async def beginning_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        return {each: self._begins[each.partition] for each in partitions}

    async def end_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        return {each: self._ends[each.partition] for each in partitions}

    def assign(self, partitions: list[TopicPartition]) -> None:
        self._positions = dict.fromkeys(partitions, 0)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self._positions[partition] = offset

    async def position(self, partition: TopicPartition) -> int:
        return self._positions[partition]

    async def getmany(self, partition: TopicPartition, timeout_ms: int) -> dict[TopicPartition, list[FakeRecord]]:
        left = [each for each in self._logs[partition.partition] if each.offset >= self._positions[partition]][:2]
        if not left:
            return {}
        self._positions[partition] = left[-1].offset + 1
        return {partition: left}


def record(offset: int, row: int) -> FakeRecord:
    return FakeRecord(
        offset, dead_letter_headers(FileOrigin("kz.csv", row), Rejected(Reason.BAD_TIME, "why"), "producer")
    )


async def read(consumer: FakeConsumer, progress: Callable[[int, int], None], patience_s: float = 1.0) -> list[str]:
    topics = Topics(cast(AIOKafkaConsumer, consumer), {DEAD_LETTERS: 2}, DEAD_LETTERS, patience_s)
    return [dead_letter.name async for dead_letter in topics.dead_letters(progress)]


async def test_each_origin_once_up_to_the_ends_of_the_start() -> None:
    first = [record(5, 1), record(6, 2), record(7, 2), record(8, 3), record(9, 4)]
    second = [FakeRecord(0, []), FakeRecord(1, [])]
    steps: list[tuple[int, int]] = []
    names = await read(
        FakeConsumer([first, second], begins=[5, 0], ends=[9, 2]), lambda done, of: steps.append((done, of))
    )
    assert names == ["kz.csv:1", "kz.csv:2", "kz.csv:3", "purchases.dlq/1/0", "purchases.dlq/1/1"]
    assert steps == [(0, 6), (2, 6), (4, 6), (6, 6)]


async def test_an_empty_topic_has_no_dead_letters() -> None:
    assert await read(FakeConsumer([[], []], begins=[3, 0], ends=[3, 0]), lambda done, of: None) == []


async def test_a_partition_that_returns_nothing_is_given_up() -> None:
    with pytest.raises(KafkaTimeoutError, match=r"purchases.dlq/0 returned nothing"):
        await read(FakeConsumer([[], []], begins=[0, 0], ends=[1, 0]), lambda done, of: None, patience_s=0)
