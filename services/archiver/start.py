"""Finds the start position in a partition: exactly after the last archived record, or an error.

Kafka's committed offset is a hint. The commit's metadata is the key of the object that ends before it; where that
object does not confirm the offset, or nothing is committed, the archive itself is listed.
"""

import logging
from typing import Any, NamedTuple, Protocol

from aiokafka import TopicPartition
from aiokafka.structs import OffsetAndMetadata

from services.archiver.s3_calls import S3Calls
from services.archiver.segments import SegmentChains, SegmentRef
from services.common.metrics import ARCHIVER_LOST
from services.common.storage_errors import NoSuchObject

logger = logging.getLogger(__name__)


class LogMismatch(Exception):
    """The topic's log is not the one that was archived; the message says why."""


class LogOffsets(Protocol):
    """The part of a consumer that reads the log's range."""

    async def beginning_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]: ...

    async def end_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]: ...


class GroupOffsets(Protocol):
    """The part of an admin client that reads a group's commits with their metadata."""

    async def list_consumer_group_offsets(
        self, group_id: str, group_coordinator_id: Any = None, partitions: list[TopicPartition] | None = None
    ) -> dict[TopicPartition, OffsetAndMetadata]: ...


class StartPosition(NamedTuple):
    """Archive from `offset`; `after` is the last archived object, None where there is none."""

    offset: int
    after: SegmentRef | None


async def find_start(
    partition: TopicPartition,
    group: str,
    *,
    admin: GroupOffsets,
    log_offsets: LogOffsets,
    chains: SegmentChains,
    s3: S3Calls,
) -> StartPosition:
    """The partition's start position. Raises LogMismatch, ForeignObject."""
    found = (await admin.list_consumer_group_offsets(group, partitions=[partition])).get(partition)
    segment = await s3(lambda: _confirmed(chains, found)) if found else None
    if segment is None:
        segment = await s3(lambda: chains.newest(partition.partition))
    begin = (await log_offsets.beginning_offsets([partition]))[partition]
    end = (await log_offsets.end_offsets([partition]))[partition]
    offset = segment.extent.next_offset if segment else 0
    if offset > end:
        raise LogMismatch(
            f"partition {partition.partition}: the archive ends at offset {offset - 1}, the topic's log before {end}: "
            f"topic {partition.topic} was recreated, so it needs a new bucket"
        )
    report_lost(partition.partition, offset, begin)
    return StartPosition(max(offset, begin), segment)


def report_lost(partition: int, expected: int, found: int) -> None:
    """Log and count records from `expected` to `found` - 1 that expired from Kafka before they were archived."""
    if found > expected:
        ARCHIVER_LOST.inc(found - expected)
        logger.error(
            "partition %d: records %d to %d expired from Kafka before they were archived",
            partition,
            expected,
            found - 1,
            extra={"partition": partition, "first_offset": expected, "last_offset": found - 1},
        )


def _confirmed(chains: SegmentChains, committed: OffsetAndMetadata) -> SegmentRef | None:
    """The object named by the commit, if it ends before the committed offset.

    Between them are at most markers of transactions and aborted records.
    """
    if not committed.metadata:
        return None
    try:
        segment = chains.segment(committed.metadata)
    except NoSuchObject:
        return None
    return segment if segment.extent.next_offset <= committed.offset else None
