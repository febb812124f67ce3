"""The archive as a backfill source: which objects are read, what they hold, how partitions are merged."""

import time
import tracemalloc
from collections.abc import AsyncGenerator, Iterator, Sequence
from typing import NamedTuple, cast

import pytest
from aiokafka import TopicPartition
from botocore.exceptions import EndpointConnectionError

from services.aggregator.archive_reader import (
    ArchiveReader,
    ArchiveUnavailable,
    BackfillRecord,
    OffsetRange,
    SegmentIndex,
    UnusableObject,
    decode_object,
    merge_by_time,
)
from services.archiver.open_object import OpenObject
from services.common.archive.keys import Extent, object_key
from services.common.object_store import ObjectStore
from services.common.storage_errors import NoSuchObject

HOUR = 3_600_000
START = 1_790_000_000_000
VALUES = [b"{}", None, b"", b"no json", b"\xff", b'{"price":1.10,"price":2}', b"null", b"[" * 70 + b"]" * 70]


class Consumed(NamedTuple):
    offset: int
    timestamp: int
    value: bytes | None


def consumed(start: int, end: int, every_ms: int = 1000) -> list[Consumed]:
    return [Consumed(n, START + n * every_ms, VALUES[n % len(VALUES)]) for n in range(start, end)]


def packed(partition: int, records: Sequence[Consumed]) -> tuple[str, bytes]:
    """Key and body as the archiver writes them."""
    opened = OpenObject(partition, 0.0, records[0].offset)
    opened.append(records)
    return opened.key, opened.finish()


class Bucket:
    """The calls of an object store that are used here. `failing`: keys that cannot be read."""

    def __init__(self, *objects: tuple[str, bytes]) -> None:
        self.objects = dict(sorted(objects))
        self.asked: list[str] = []
        self.extents: dict[str, Extent] = {}
        self.failing: Exception | None = None

    def list(self, prefix: str) -> Iterator[tuple[str, int]]:
        return ((key, len(body)) for key, body in self.objects.items() if key.startswith(prefix))

    def metadata(self, key: str) -> dict[str, str]:
        return self.extents[key].metadata()

    def get(self, key: str) -> bytes:
        self.asked.append(key)
        if self.failing:
            raise self.failing
        return self.objects[key]


async def read(bucket: Bucket, spans: dict[int, OffsetRange]) -> list[tuple[int, BackfillRecord]]:
    history = ArchiveReader(cast(ObjectStore, bucket))
    wanted = {TopicPartition("purchases", partition): span for partition, span in spans.items()}
    return [
        (partition.partition, cast(BackfillRecord, record))
        async for partition, records in history.read(wanted)
        for record in records
    ]


async def test_records_come_back_as_they_were() -> None:
    bucket = Bucket(packed(2, consumed(0, 5)), packed(2, consumed(5, 20)), ("raw/purchases/2020/01/01/00/x.gz", b""))
    found = await read(bucket, {2: OffsetRange(0, 20)})
    assert [record[:3] for _, record in found] == consumed(0, 20)
    assert {partition for partition, _ in found} == {2}


async def test_only_objects_of_the_span_are_read() -> None:
    """The record before the span is part of it; what comes after it in its last object is not cut off."""
    objects = [packed(0, consumed(at, at + 10, HOUR // 3)) for at in range(0, 100, 10)]
    bucket = Bucket(*objects, packed(1, consumed(0, 100)))
    found = await read(bucket, {0: OffsetRange(40, 55)})
    assert [record.offset for _, record in found] == list(range(39, 60))
    assert bucket.asked == [key for key, _ in objects[3:6]]


async def test_objects_of_other_writers_are_ignored_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    firehose = "raw/purchases/2026/09/21/14/tillstream-1-2026-09-21-14-00-00-0a1b.gz"
    bucket = Bucket(packed(0, consumed(0, 5)), packed(1, consumed(0, 5)), (firehose, b""))
    assert len(await read(bucket, {0: OffsetRange(0, 5)})) == 5
    assert "ignoring 1 objects under raw/purchases/ not written by the archiver" in caplog.text


@pytest.mark.parametrize(
    ("span", "expected"), [(OffsetRange(0, 1), [0]), (OffsetRange(10, 11), [0, 10]), (OffsetRange(11, 99), [10, 30])]
)
def test_a_chain_names_the_objects_of_a_span(span: OffsetRange, expected: list[int]) -> None:
    chain = SegmentIndex()
    for first_offset in (30, 0, 10):
        chain.add(first_offset, START // HOUR * HOUR)
    assert list(chain.keys(3, span)) == [object_key(3, first_offset, START) for first_offset in expected]


async def test_partitions_follow_each_other_by_time() -> None:
    """Partition 1 was written while partition 0 was."""
    bucket = Bucket(*(packed(n, consumed(at, at + 10)) for at in range(0, 50, 10) for n in (0, 1)))
    found = await read(bucket, {0: OffsetRange(0, 50), 1: OffsetRange(0, 50)})
    assert [(partition, record.offset // 10) for partition, record in found[::10]] == [
        (n, at) for at in range(5) for n in (0, 1)
    ]


async def test_the_next_of_two_streams_is_the_one_that_is_older() -> None:
    async def stream(*timestamps: int) -> AsyncGenerator[Sequence[BackfillRecord], None]:
        for timestamp in timestamps:
            yield [BackfillRecord(0, timestamp, None)]

    merged = merge_by_time({"a": stream(1, 5, 6), "b": stream(2, 3, 9), "c": stream()})
    assert [key async for key, _ in merged] == ["a", "b", "b", "a", "a", "b"]


async def test_s3_that_is_unavailable_or_a_deleted_object_can_be_retried() -> None:
    bucket = Bucket(packed(0, consumed(0, 5)))
    for failure in (EndpointConnectionError(endpoint_url="http://s3"), NoSuchObject("gone")):
        bucket.failing = failure
        with pytest.raises(ArchiveUnavailable):
            await read(bucket, {0: OffsetRange(0, 5)})


async def test_one_object_that_cannot_be_read_ends_the_reading_of_the_others_cleanly() -> None:
    """S3 that comes back fails some requests sooner than others: seeds 40023 and 41030 of the fault trials."""

    class Slow(Bucket):
        def get(self, key: str) -> bytes:
            if "/1-" in key:
                time.sleep(0.1)
                return super().get(key)
            raise NoSuchObject("gone")

    bucket = Slow(packed(0, consumed(0, 5)), packed(1, consumed(0, 5)))
    with pytest.raises(ArchiveUnavailable):
        await read(bucket, {0: OffsetRange(0, 5), 1: OffsetRange(0, 5)})


def test_an_object_that_is_damaged_is_named() -> None:
    key, body = packed(0, consumed(0, 5_000))
    for broken in (body[:-20], b"no gzip" + body, body[:500] + bytes(100) + body[600:]):
        with pytest.raises(UnusableObject, match=key):
            list(decode_object(0, key, broken))
    with pytest.raises(UnusableObject, match="none of its partition"):
        list(decode_object(1, key, body))


def test_an_object_is_inflated_bit_by_bit() -> None:
    """An object of 100 MB of text does not show in memory."""
    large = [record._replace(value=b'{"filler":"%s"}' % (b"x" * 2_000)) for record in consumed(0, 50_000)]
    key, body = packed(0, large)
    tracemalloc.start()
    try:
        assert sum(len(records) for records in decode_object(0, key, body)) == len(large)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20e6


@pytest.mark.parametrize(
    ("wanted", "found", "is_gap"),
    [
        (5, 7, True),  # markers between two objects: the second one covers them
        (6, 7, True),
        (5, 8, False),  # the record at 7 was not read
        (9, 10, True),  # within an object
        (12, 20, False),  # the third object does not say what lies before it
        (4, 7, False),  # the record at 4 was not read
        (22, 30, False),  # the archive ends
    ],
)
async def test_an_object_says_from_which_offset_on_it_holds_every_record(wanted: int, found: int, is_gap: bool) -> None:
    """Objects of the records 0 to 4, 7 to 11 without 9 (from offset 5 on), and 20 to 21, of an earlier archiver."""
    objects = [packed(0, consumed(start, end)) for start, end in ((0, 5), (7, 12), (20, 22))]
    bucket = Bucket(*objects)
    extents = (Extent(0, 0, 4, 0, 0), Extent(7, 0, 11, 0, 5), Extent(20, 0, 21, 0))
    bucket.extents = {key: extent for (key, _body), extent in zip(objects, extents, strict=True)}
    reader = ArchiveReader(cast(ObjectStore, bucket))
    partition = TopicPartition("purchases", 0)
    async for _ in reader.read({partition: OffsetRange(0, 22)}):
        pass
    assert await reader.is_gap(partition, wanted, found) is is_gap
