"""Keys, metadata, open objects and partition archivers."""

import gzip
from dataclasses import replace
from typing import NamedTuple

import pytest

from services.archiver.open_object import OpenObject
from services.archiver.partition_archiver import PartitionArchiver
from services.archiver.segments import SegmentRef
from services.archiver.start import LogMismatch, StartPosition
from services.common.archive.keys import Extent, ForeignObject, hour_end_ms, object_key, partition_and_first_offset


class Record(NamedTuple):
    offset: int
    timestamp: int
    value: bytes | None


def records(start: int, end: int) -> list[Record]:
    return [Record(offset, 1_587_729_039_000 + offset, b'{"n":%d}' % offset) for offset in range(start, end)]


def segment(first: int, last: int) -> SegmentRef:
    return SegmentRef("key", Extent(first, 1_587_729_039_000 + first, last, 1_587_729_039_000 + last))


def test_the_key_names_hour_partition_and_first_offset() -> None:
    key = object_key(3, 12, 1_587_729_039_999)
    assert key == "raw/purchases/2020/04/24/11/3-00000000000000000012.json.gz"
    assert partition_and_first_offset(key) == (3, 12)
    assert partition_and_first_offset("raw/purchases/2020/04/24/11/firehose-1-2020.json.gz") is None


def test_the_hour_of_an_object_ends_where_its_path_says() -> None:
    path = "s3a://bucket/raw/purchases/2023/11/14/22/purchases-1-2023-11-14-22-13-20.json.gz"
    assert hour_end_ms(path) == 1_700_002_800_000  # 2023-11-14T23:00:00Z


@pytest.mark.parametrize("path", ["s3a://bucket/raw/purchases/some.json", "raw/2023/13/14/22/x", "raw/2023/11/14/x"])
def test_a_path_without_an_hour_tells_no_time(path: str) -> None:
    assert hour_end_ms(path) is None


def test_metadata_is_read_back() -> None:
    extent = Extent(1, 2, 3, 4)
    for each in (extent, replace(extent, covers=0)):
        assert Extent.read("key", each.metadata()) == each
    assert extent.covers_from == 1
    assert extent.next_offset == 4


@pytest.mark.parametrize("metadata", [{}, {"first-offset": "1"}, Extent(1, 2, 3, 4).metadata() | {"last-offset": "x"}])
def test_an_object_of_another_writer_is_told(metadata: dict[str, str]) -> None:
    with pytest.raises(ForeignObject, match="raw/x"):
        Extent.read("raw/x", metadata)


def test_an_open_object_is_one_gzip_of_all_lines() -> None:
    opened = OpenObject(1, opened_s=0.0, covers_from=4)
    opened.append(records(5, 8))
    opened.append(records(8, 9))
    lines = gzip.decompress(opened.finish()).split(b"\n")
    assert [line[:26] for line in lines[:-1]] == [b'{"partition":1,"offset":%d,' % offset for offset in range(5, 9)]
    assert lines[-1] == b""
    assert opened.extent == replace(segment(5, 8).extent, covers=4)
    assert opened.size > 0


def test_a_partition_archiver_without_an_archive_begins_at_the_start() -> None:
    archiver = PartitionArchiver(0)
    assert archiver.begin(StartPosition(0, None)) == 0
    archiver.take(records(0, 3), 3, 10.0)
    assert archiver.position == 3
    assert archiver.is_due(10.9, 10_000, 1.0) is False
    assert archiver.is_due(11.0, 10_000, 1.0) is True


def test_markers_of_transactions_belong_to_the_object_before_them() -> None:
    """Offsets 3 and 4 are a commit marker and an aborted record, 8 another marker."""
    archiver = PartitionArchiver(0)
    archiver.begin(StartPosition(0, None))
    archiver.take(records(0, 3), 5, 0.0)
    first = archiver.close()
    assert first
    assert archiver.on_archived(SegmentRef("key", first.extent), first.extent) is None
    assert (archiver.position, archiver.archived, archiver.passed) == (5, 5, False)
    assert not archiver.misses(records(5, 8))
    archiver.take(records(5, 8), 8, 0.0)
    second = archiver.close()
    assert second
    assert second.extent.covers_from == 3
    archiver.on_archived(SegmentRef("key", second.extent), second.extent)
    archiver.take([], 9, 0.0)
    assert archiver.passed


def test_a_partition_archiver_is_due_by_size() -> None:
    archiver = PartitionArchiver(0)
    archiver.begin(StartPosition(0, None))
    assert archiver.is_due(0.0, 0, 3600) is False
    archiver.take(records(0, 3), 3, 0.0)
    assert archiver.is_due(0.0, 0, 3600) is True


def test_a_partition_archiver_reads_the_last_archived_record_again_as_a_proof() -> None:
    archiver = PartitionArchiver(0)
    assert archiver.begin(StartPosition(10, segment(5, 9))) == 9
    archiver.take(records(9, 12), 12, 0.0)
    closed = archiver.close()
    assert closed is not None
    assert closed.extent.first_offset == 10


def test_a_partition_archiver_refuses_a_log_with_another_record_there() -> None:
    archiver = PartitionArchiver(0)
    archiver.begin(StartPosition(10, segment(5, 9)))
    with pytest.raises(LogMismatch, match="offset 9"):
        archiver.take([Record(9, 1, b"{}")], 10, 0.0)


def test_a_partition_archiver_refuses_a_log_that_goes_back() -> None:
    archiver = PartitionArchiver(0)
    archiver.begin(StartPosition(0, None))
    archiver.take(records(0, 5), 5, 0.0)
    with pytest.raises(LogMismatch, match="from offset 5 to 0"):
        archiver.take(records(0, 2), 2, 0.0)


def test_a_partition_archiver_goes_on_after_a_gap_that_retention_left() -> None:
    archiver = PartitionArchiver(0)
    archiver.begin(StartPosition(10, segment(5, 9)))
    assert archiver.misses(records(20, 22))
    archiver.expire(20)
    assert archiver.fetch_from == 20
    archiver.take(records(20, 22), 22, 0.0)
    assert archiver.position == 22
    closed = archiver.close()
    assert closed
    assert closed.extent.covers_from == 20


@pytest.mark.parametrize(("theirs", "goes_to"), [(segment(0, 4), None), (segment(0, 2), 2), (segment(0, 9), 9)])
def test_a_partition_archiver_follows_what_was_archived(theirs: SegmentRef, goes_to: int | None) -> None:
    """Exactly ours: go on. Another archiver's shorter or longer object: go to its end, one record early."""
    archiver = PartitionArchiver(0)
    archiver.begin(StartPosition(0, None))
    archiver.take(records(0, 5), 5, 0.0)
    closed = archiver.close()
    assert closed
    assert archiver.on_archived(theirs, closed.extent) == goes_to
    assert archiver.position == archiver.archived == theirs.extent.next_offset
