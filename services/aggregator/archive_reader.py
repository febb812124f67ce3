"""Reads archived records from S3: the source of a backfill.

A listing gives the objects of each partition. They are read in order, while the next one is prefetched, and
decompressed piece by piece, so memory is bounded by two compressed objects per partition.
"""

import asyncio
import logging
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from typing import NamedTuple, Protocol, TypeVar

from aiokafka import TopicPartition
from botocore.exceptions import BotoCoreError, ClientError
from isal import igzip_lib

from services.aggregator.validation import Record
from services.common.archive.keys import (
    PREFIX,
    Extent,
    ForeignObject,
    hour_end_ms,
    object_key,
    partition_and_first_offset,
)
from services.common.archive.lines import read_line
from services.common.object_store import ObjectStore
from services.common.storage_errors import NoSuchObject

logger = logging.getLogger(__name__)

_TEXT_BYTES = 1 << 20  # some 3,000 records
_HOUR_MS = 3_600_000

K = TypeVar("K")
T = TypeVar("T")
RecordBatches = AsyncGenerator[Sequence[Record], None]
# Records of one partition after those of another.
PartitionBatches = AsyncGenerator[tuple[TopicPartition, Sequence[Record]], None]


class ArchiveUnavailable(OSError):
    """S3 fails, or no longer has an object that it listed: retry later."""


class UnusableObject(Exception):
    """An object of the archive is damaged or does not match its key; the message names it."""


class OffsetRange(NamedTuple):
    """Offsets of a partition: `start` is the first, `end` the one after the last."""

    start: int
    end: int


class BackfillSource(Protocol):
    """Holds records that have expired from Kafka."""

    def read(self, ranges: Mapping[TopicPartition, OffsetRange]) -> PartitionBatches:
        """Records of these ranges, in offset order within a partition, roughly in time order across partitions.

        The record before a range is included where there is one, and records after it may be. Where records are
        missing, the next batch begins after them. Raises OSError where the source is unavailable.
        """

    async def is_gap(self, partition: TopicPartition, wanted: int, found: int) -> bool:
        """After `read`: whether the source says that the log never had a record from `wanted` to `found`.

        Raises OSError.
        """


class BackfillRecord(NamedTuple):
    """An archived record in the form of a consumed one, without headers: these are not archived.

    Unlike in ArchivedRecord, offset and timestamp (the broker's, epoch ms) are never None.
    """

    offset: int
    timestamp: int
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


class SegmentIndex:
    """The objects of one partition, by first offset. 16 bytes each: some shops write millions."""

    def __init__(self) -> None:
        self._first_offsets = array("q")
        self._hours = array("q")

    def add(self, first_offset: int, hour_ms: int) -> None:
        """Add an object, in any order."""
        at = bisect_right(self._first_offsets, first_offset)
        self._first_offsets.insert(at, first_offset)
        self._hours.insert(at, hour_ms)

    def keys(self, partition: int, wanted: OffsetRange) -> Iterator[str]:
        """The keys of objects that may hold a record of the range, or the one before it."""
        begin = max(0, bisect_right(self._first_offsets, max(0, wanted.start - 1)) - 1)
        end = bisect_left(self._first_offsets, wanted.end)
        for at in range(begin, end):
            yield self._key(partition, at)

    def neighbours(self, partition: int, offset: int) -> tuple[str | None, str | None]:
        """The keys of the last object that begins before an offset, and of the first one that does not."""
        at = bisect_left(self._first_offsets, offset)
        before = self._key(partition, at - 1) if at else None
        return before, self._key(partition, at) if at < len(self._first_offsets) else None

    def _key(self, partition: int, at: int) -> str:
        return object_key(partition, self._first_offsets[at], self._hours[at])


class ArchiveReader:
    """The archive that services/archiver writes, as a backfill source."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._segments: dict[int, SegmentIndex] = {}

    async def read(self, ranges: Mapping[TopicPartition, OffsetRange]) -> PartitionBatches:
        """See BackfillSource. Raises ArchiveUnavailable, UnusableObject."""
        segments = await self._call(lambda: index_segments(self._store, {partition.partition for partition in ranges}))
        self._segments |= segments
        async with AsyncExitStack() as stack:
            streams = {
                partition: await stack.enter_async_context(
                    aclosing(self._records(partition.partition, segments[partition.partition], wanted))
                )
                for partition, wanted in ranges.items()
            }
            async for partition, records in merge_by_time(streams):
                yield partition, records

    async def is_gap(self, partition: TopicPartition, wanted: int, found: int) -> bool:
        """See BackfillSource. Raises ArchiveUnavailable.

        An object holds every record from its first to its last one, and says from which offset on it does; an object of
        an earlier archiver does not say so.
        """
        index = self._segments.get(partition.partition, SegmentIndex())
        before, following = index.neighbours(partition.partition, wanted)
        last = await self._extent(before) if before else None
        if last is not None and last.last_offset >= found:
            return True
        extent = await self._extent(following) if following else None
        return extent is not None and extent.first_offset >= found and extent.covers_from <= wanted

    async def _extent(self, key: str) -> Extent | None:
        """Which records the object holds; None where the archiver did not write it."""
        metadata = await self._call(lambda: self._store.metadata(key))
        try:
            return Extent.read(key, metadata)
        except ForeignObject:
            return None

    async def _records(self, partition: int, segments: SegmentIndex, wanted: OffsetRange) -> RecordBatches:
        async with aclosing(self._objects(segments.keys(partition, wanted))) as objects:
            async for key, body in objects:
                for records in decode_object(partition, key, body):
                    if selected := [record for record in records if record.offset >= wanted.start - 1]:
                        yield selected

    async def _objects(self, keys: Iterator[str]) -> AsyncGenerator[tuple[str, bytes], None]:
        """Each object with its key; the next one is prefetched meanwhile."""
        key = next(keys, None)
        fetching = self._fetch(key) if key else None
        try:
            while key and fetching:
                body = await fetching
                following = next(keys, None)
                fetching = self._fetch(following) if following else None
                yield key, body
                key = following
        finally:
            if fetching:
                fetching.cancel()

    def _fetch(self, key: str) -> asyncio.Task[bytes]:
        return asyncio.create_task(self._call(lambda: self._store.get(key)))

    async def _call(self, call: Callable[[], T]) -> T:
        try:
            return await asyncio.to_thread(call)
        except (BotoCoreError, ClientError, NoSuchObject) as error:
            raise ArchiveUnavailable(f"the archive in S3 cannot be read: {type(error).__name__}: {error}") from error


def index_segments(store: ObjectStore, partitions: set[int]) -> dict[int, SegmentIndex]:
    """The archive's objects of these partitions, from one listing: about a thousand objects per request."""
    segments = {partition: SegmentIndex() for partition in partitions}
    foreign = 0
    for key, _size in store.list(PREFIX):
        named, hour_end = partition_and_first_offset(key), hour_end_ms(key)
        if not named or not hour_end:
            foreign += 1
        elif named[0] in segments:
            segments[named[0]].add(named[1], hour_end - _HOUR_MS)
    if foreign:
        logger.warning(
            "ignoring %d objects under %s not written by the archiver (docs/adr/0054)",
            foreign,
            PREFIX,
            extra={"objects": foreign, "prefix": PREFIX},
        )
    return segments


def decode_object(partition: int, key: str, body: bytes) -> Iterator[list[BackfillRecord]]:
    """The records of one object, some thousands at a time. Raises UnusableObject."""
    rest = b""
    for text in _decompressed(key, body):
        *lines, rest = (rest + text).split(b"\n")
        if records := [_record(partition, key, line) for line in lines]:
            yield records
    if rest:
        raise UnusableObject(f"object {key} of the archive ends within a line: restore or delete it")


def _decompressed(key: str, body: bytes) -> Iterator[bytes]:
    decompressor = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
    try:
        text = decompressor.decompress(body, _TEXT_BYTES)
        while text:
            yield text
            text = b"" if decompressor.eof else decompressor.decompress(b"", _TEXT_BYTES)
    except igzip_lib.IsalError as error:  # type: ignore[misc]  # a class, whatever its stub says
        raise UnusableObject(f"object {key} of the archive is damaged: {error}; restore or delete it") from None
    if not decompressor.eof:
        raise UnusableObject(f"object {key} of the archive is cut short: restore or delete it")


def _record(partition: int, key: str, line: bytes) -> BackfillRecord:
    found = read_line(line)
    if found.partition != partition or found.offset is None or found.timestamp is None:
        raise UnusableObject(f"object {key} of the archive holds a line that is none of its partition: {line[:80]!r}")
    return BackfillRecord(found.offset, found.timestamp, found.value)


async def merge_by_time(streams: Mapping[K, RecordBatches]) -> AsyncIterator[tuple[K, Sequence[Record]]]:
    """Merge the batches of several streams by the broker timestamp of their first record.

    So event ids, of which only the newest N are remembered, are compared in about the order in which they arrived.
    """
    # Wait for all, also where one fails: a stream that is still being read could not be closed.
    firsts = await asyncio.gather(*(anext(stream, None) for stream in streams.values()), return_exceptions=True)
    heads: dict[K, Sequence[Record]] = {}
    for key, first in zip(streams, firsts, strict=True):
        if isinstance(first, BaseException):
            raise first
        if first:
            heads[key] = first
    while heads:
        earliest = min(heads, key=lambda key: heads[key][0].timestamp)
        yield earliest, heads.pop(earliest)
        if following := await anext(streams[earliest], None):
            heads[earliest] = following
