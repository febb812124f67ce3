"""Checks that a partition's log is still the one that the tables were built from."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from aiokafka import TopicPartition

from services.aggregator.partition_state import PartitionState, RebuildNeeded, partition_name
from services.aggregator.store import ShardState
from services.aggregator.validation import Record


class LogRange(Protocol):
    """What Kafka holds of a partition."""

    async def offsets(self, partition: TopicPartition) -> tuple[int, int]:
        """The log start offset and the last stable offset (exclusive). Raises KafkaError."""

    async def ends(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """The last stable offset of each partition. Raises KafkaError."""

    async def first(self, partition: TopicPartition, offset: int) -> tuple[int, int] | None:
        """Offset and broker timestamp (epoch ms) of the first record at or after an offset; None where none is read.

        Raises KafkaError.
        """

    async def empty_to(self, partition: TopicPartition, offset: int) -> int:
        """The offset up to which the log holds no committed record from `offset` on. Raises KafkaError."""


class LogGuard:
    """Compares marks with Kafka's log. A topic that was deleted and created again is found by its records' times."""

    def __init__(self, log_range: LogRange) -> None:
        self._log_range = log_range

    async def check(self, partition: TopicPartition, state: PartitionState) -> None:
        """Update the state's log start and require the log to hold what was applied. Raises RebuildNeeded."""
        state.log_start, end = await self._log_range.offsets(partition)
        if state.highest_mark > end:
            where = f"marked at offset {state.highest_mark}, but the topic ends at {end}"
            raise RebuildNeeded(topic_recreated_message(partition, where))
        for shard in state.shards.values():
            if shard.mark > state.log_start:
                await self._check_last_record(partition, shard)

    async def is_gap(self, partition: TopicPartition, wanted: int, found: int) -> bool:
        """Whether the log itself has nothing from `wanted` to `found`: compaction and transactions leave such gaps.

        Only the log can answer: between two batches of one partition the consumer may have been repositioned.
        """
        first = await self._log_range.first(partition, wanted)
        return first is not None and first[0] >= found

    async def _check_last_record(self, partition: TopicPartition, shard: ShardState) -> None:
        if shard.last_timestamp_ms is None:
            return
        offset, timestamp_ms = await self._log_range.first(partition, shard.mark - 1) or (None, None)
        if offset == shard.mark - 1 and timestamp_ms != shard.last_timestamp_ms:
            where = f"built from a record of {shard.last_timestamp_ms} ms, where Kafka has one of {timestamp_ms} ms"
            raise RebuildNeeded(topic_recreated_message(partition, where))


def require_same_log(partition: TopicPartition, state: PartitionState, records: Sequence[Record]) -> None:
    """The archive's record before a mark must be the one that was applied there. Raises RebuildNeeded."""
    for shard in state.shards.values():
        if shard.last_timestamp_ms is None or not records[0].offset < shard.mark <= records[-1].offset + 1:
            continue
        for record in records:
            if record.offset == shard.mark - 1 and record.timestamp != shard.last_timestamp_ms:
                where = (
                    f"built from a record of {shard.last_timestamp_ms} ms, where the archive has one of "
                    f"{record.timestamp} ms"
                )
                raise RebuildNeeded(topic_recreated_message(partition, where))


def topic_recreated_message(partition: TopicPartition, where: str) -> str:
    """The error for an operator where the tables were built from another topic."""
    return (
        f"{partition_name(partition)}: the tables are {where}: it is another topic than the one they were built from; "
        "rebuild the tables or point to the right cluster"
    )
