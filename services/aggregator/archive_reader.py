"""What Kafka no longer holds: records of the past, read from the archive in S3.

A listing tells the objects of each partition; they are read one after the other, the next one fetched meanwhile, and
inflated bit by bit, so that memory is bounded by two packed objects a partition.
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
from services.common.archive.keys import PREFIX, hour_end_ms, object_key, partition_and_first_offset
from services.common.archive.lines import read_line
from services.common.object_store import ObjectStore
from services.common.storage_errors import NoSuchObject

logger = logging.getLogger(__name__)

_TEXT_BYTES = 1 << 20  # some 3,000 records
_HOUR_MS = 3_600_000

K = TypeVar("K")
T = TypeVar("T")
Batches = AsyncGenerator[Sequence[Record], None]
# Records of one partition after those of another.
Merged = AsyncGenerator[tuple[TopicPartition, Sequence[Record]], None]


class ArchiveAway(OSError):
    """S3 does not answer, or not with what it has listed: try again later."""


class UnusableObject(Exception):
    """An object of the archive that does not hold what its name says; the message names it."""


class Span(NamedTuple):
    """Offsets of a partition: `start` is the first, `end` the one after the last."""

    start: int
    end: int


class History(Protocol):
    """Where records are that Kafka no longer holds."""

    def read(self, spans: Mapping[TopicPartition, Span]) -> Merged:
        """Records of these spans, by partition in order of offset, of all partitions in about the order of time.

        The record before a span comes with it where there is one, and more than the span may come after it. Where
        records are missing, the next batch begins after them. Raises OSError where the history cannot be asked now.
        """


class HistoricRecord(NamedTuple):
    """A record as the archive holds it: without key and headers. `timestamp` is the broker's, epoch ms."""

    offset: int
    timestamp: int
    value: bytes | None
    key: bytes | None = None
    headers: Sequence[tuple[str, bytes]] = ()


class Chain:
    """The objects of one partition. 16 bytes each: some shops write millions."""

    def __init__(self) -> None:
        self._first_offsets = array("q")
        self._hours = array("q")

    def add(self, first_offset: int, hour_ms: int) -> None:
        """Add an object, in any order."""
        at = bisect_right(self._first_offsets, first_offset)
        self._first_offsets.insert(at, first_offset)
        self._hours.insert(at, hour_ms)

    def keys(self, partition: int, span: Span) -> Iterator[str]:
        """The objects that may hold a record of the span, or the one before it."""
        begin = max(0, bisect_right(self._first_offsets, max(0, span.start - 1)) - 1)
        end = bisect_left(self._first_offsets, span.end)
        for at in range(begin, end):
            yield object_key(partition, self._first_offsets[at], self._hours[at])


class ArchivedHistory:
    """The archive that services/archiver writes, as history."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    async def read(self, spans: Mapping[TopicPartition, Span]) -> Merged:
        """See History. Raises ArchiveAway, UnusableObject."""
        chains = await self._ask(lambda: list_chains(self._store, {partition.partition for partition in spans}))
        async with AsyncExitStack() as stack:
            streams = {
                partition: await stack.enter_async_context(
                    aclosing(self._records(partition.partition, chains[partition.partition], span))
                )
                for partition, span in spans.items()
            }
            async for partition, records in by_time(streams):
                yield partition, records

    async def _records(self, partition: int, chain: Chain, span: Span) -> Batches:
        async with aclosing(self._objects(chain.keys(partition, span))) as objects:
            async for key, packed in objects:
                for records in unpacked(partition, key, packed):
                    if wanted := [record for record in records if record.offset >= span.start - 1]:
                        yield wanted

    async def _objects(self, keys: Iterator[str]) -> AsyncGenerator[tuple[str, bytes], None]:
        """Each object with its key; the next one is fetched while one is worked on."""
        key = next(keys, None)
        fetching = self._fetch(key) if key else None
        try:
            while key and fetching:
                packed = await fetching
                following = next(keys, None)
                fetching = self._fetch(following) if following else None
                yield key, packed
                key = following
        finally:
            if fetching:
                fetching.cancel()

    def _fetch(self, key: str) -> asyncio.Task[bytes]:
        return asyncio.create_task(self._ask(lambda: self._store.get(key)))

    async def _ask(self, call: Callable[[], T]) -> T:
        try:
            return await asyncio.to_thread(call)
        except (BotoCoreError, ClientError, NoSuchObject) as error:
            raise ArchiveAway(f"the archive in S3 cannot be read: {type(error).__name__}: {error}") from error


def list_chains(store: ObjectStore, partitions: set[int]) -> dict[int, Chain]:
    """The archive's objects of these partitions, from one listing: about a thousand objects a request."""
    chains = {partition: Chain() for partition in partitions}
    foreign = 0
    for key, _size in store.list(PREFIX):
        named, hour_end = partition_and_first_offset(key), hour_end_ms(key)
        if not named or not hour_end:
            foreign += 1
        elif named[0] in chains:
            chains[named[0]].add(named[1], hour_end - _HOUR_MS)
    if foreign:
        logger.warning("%d objects below %s are not the archiver's and no history (docs/adr/0054)", foreign, PREFIX)
    return chains


def unpacked(partition: int, key: str, packed: bytes) -> Iterator[list[HistoricRecord]]:
    """The records of one object, some thousands at a time. Raises UnusableObject."""
    rest = b""
    for text in _inflated(key, packed):
        *lines, rest = (rest + text).split(b"\n")
        if records := [_record(partition, key, line) for line in lines]:
            yield records
    if rest:
        raise UnusableObject(f"object {key} of the archive ends within a line: restore or delete it")


def _inflated(key: str, packed: bytes) -> Iterator[bytes]:
    inflater = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
    try:
        text = inflater.decompress(packed, _TEXT_BYTES)
        while text:
            yield text
            text = b"" if inflater.eof else inflater.decompress(b"", _TEXT_BYTES)
    except igzip_lib.IsalError as error:  # type: ignore[misc]  # a class, whatever its stub says
        raise UnusableObject(f"object {key} of the archive is damaged: {error}; restore or delete it") from None
    if not inflater.eof:
        raise UnusableObject(f"object {key} of the archive is cut short: restore or delete it")


def _record(partition: int, key: str, line: bytes) -> HistoricRecord:
    found = read_line(line)
    if found.partition != partition or found.offset is None or found.timestamp is None:
        raise UnusableObject(f"object {key} of the archive holds a line that is none of its partition: {line[:80]!r}")
    return HistoricRecord(found.offset, found.timestamp, found.value)


async def by_time(streams: Mapping[K, Batches]) -> AsyncIterator[tuple[K, Sequence[Record]]]:
    """The batches of several streams in the order of the broker times at which they begin.

    What is compared across partitions (event ids among the newest N) so meets in about the order in which it came.
    """
    # All come to an end, of one kind or the other: a stream that is still being read could not be closed.
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
