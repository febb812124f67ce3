"""Where to begin in a partition: exactly after the last archived record, or not at all.

Kafka's committed offset is a hint. Its commit carries the key of the object that ends before it; where that object
does not confirm the offset, or nothing is committed, the archive itself is listed.
"""

import logging
from typing import Any, NamedTuple, Protocol

from aiokafka import TopicPartition
from aiokafka.structs import OffsetAndMetadata

from services.archiver.s3_calls import S3Calls
from services.archiver.segments import Archive, Link
from services.common import metrics
from services.common.storage_errors import NoSuchObject

log = logging.getLogger(__name__)


class OtherLog(Exception):
    """The topic's log is not the one that was archived; the message says how that shows."""


class LogOffsets(Protocol):
    """The part of a consumer that knows the log's ends."""

    async def beginning_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]: ...

    async def end_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]: ...


class GroupOffsets(Protocol):
    """The part of an admin client that knows a group's commits with their metadata."""

    async def list_consumer_group_offsets(
        self, group_id: str, group_coordinator_id: Any = None, partitions: list[TopicPartition] | None = None
    ) -> dict[TopicPartition, OffsetAndMetadata]: ...


class Start(NamedTuple):
    """Archive from `offset`; `after` is the last archived object, None where there is none."""

    offset: int
    after: Link | None


async def find_start(
    partition: TopicPartition,
    group: str,
    *,
    admin: GroupOffsets,
    log_offsets: LogOffsets,
    archive: Archive,
    s3: S3Calls,
) -> Start:
    """The partition's start. Raises OtherLog, ForeignObject."""
    found = (await admin.list_consumer_group_offsets(group, partitions=[partition])).get(partition)
    link = await s3(lambda: _confirmed(archive, found)) if found else None
    if link is None:
        link = await s3(lambda: archive.newest(partition.partition))
    begin = (await log_offsets.beginning_offsets([partition]))[partition]
    end = (await log_offsets.end_offsets([partition]))[partition]
    offset = link.extent.next_offset if link else 0
    if offset > end:
        raise OtherLog(
            f"partition {partition.partition}: the archive ends at offset {offset - 1}, the topic's log before {end}: "
            f"topic {partition.topic} was created anew, so it needs a new bucket"
        )
    report_lost(partition.partition, offset, begin)
    return Start(max(offset, begin), link)


def report_lost(partition: int, expected: int, found: int) -> None:
    """Say so where the log no longer holds the records from `expected` to `found` - 1."""
    if found > expected:
        metrics.ARCHIVER_LOST.inc(found - expected)
        log.error(
            "partition %d: records %d to %d left the log before they were archived", partition, expected, found - 1
        )


def _confirmed(archive: Archive, committed: OffsetAndMetadata) -> Link | None:
    """The object named by the commit, if it ends right before the committed offset."""
    if not committed.metadata:
        return None
    try:
        link = archive.link(committed.metadata)
    except NoSuchObject:
        return None
    return link if link.extent.next_offset == committed.offset else None
