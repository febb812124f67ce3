"""The archiver's state of one assigned partition."""

import asyncio
from collections.abc import Sequence

from services.archiver.open_object import ConsumedRecord, OpenObject
from services.archiver.segments import SegmentRef
from services.archiver.start import LogMismatch, StartPosition, report_lost
from services.common.archive.keys import Extent


class PartitionArchiver:
    """Either busy (a job finds its start position or writes its object) or ready to take records from `position` on."""

    def __init__(self, partition: int) -> None:
        self.partition = partition
        self.position = 0
        self.archived = 0
        self.open: OpenObject | None = None
        self.job: asyncio.Task[None] | None = None
        self.last: SegmentRef | None = None
        self._complete_to = 0  # after the last record taken: the next object holds everything from here on
        self._overlap: Extent | None = None
        self._begun = False

    @property
    def fetch_from(self) -> int | None:
        """The offset to fetch next; None while the start position is not known."""
        if not self._begun:
            return None
        return self._overlap.last_offset if self._overlap else self.position

    @property
    def ready(self) -> bool:
        """Whether it takes records."""
        return self.job is None

    def begin(self, start: StartPosition) -> int:
        """Begin at this position; returns the offset to fetch from.

        That is one record early where there is an archived one: the overlap shows that the log is the archived one.
        """
        self.position = self.archived = self._complete_to = start.offset
        self.last = start.after
        overlap = start.after.extent if start.after and start.after.extent.next_offset == start.offset else None
        self._overlap = overlap
        self._begun = True
        return overlap.last_offset if overlap else start.offset

    def take(self, records: Sequence[ConsumedRecord], end: int, now_s: float) -> None:
        """Add fetched records, in order, to the open object. Raises LogMismatch.

        `end`: the offset up to which there are no others: markers of transactions and aborted records are none.
        """
        if self._overlap is not None:
            if not records:
                return
            records = self._without_overlap(records, self._overlap)
            self._overlap = None
        if records:
            self._check_order(records[0].offset)
            if self.open is None:
                self.open = OpenObject(self.partition, now_s, self._complete_to)
            self.open.append(records)
            self._complete_to = records[-1].offset + 1
        self.position = max(self.position, end)

    def misses(self, records: Sequence[ConsumedRecord]) -> bool:
        """Whether the fetched records leave out some offsets: of records that expired, or of none."""
        first = next((record.offset for record in records if record.offset >= self.position), self.position)
        return first > self.position

    def expire(self, begin: int) -> None:
        """The log begins at this offset now. What lies before it and was not read is lost: that is logged, counted."""
        if self._overlap and self._overlap.last_offset < begin:
            self._overlap = None
        if begin > self.position:
            report_lost(self.partition, self.position, begin)
            self.position = self._complete_to = begin

    def is_due(self, now_s: float, max_bytes: int, max_age_s: float) -> bool:
        """Whether the open object has to be closed, by size or age."""
        return self.open is not None and (self.open.size >= max_bytes or now_s - self.open.opened_s >= max_age_s)

    def open_seconds(self, now_s: float) -> float:
        """Seconds since the first record of the open object arrived; 0 without one."""
        return now_s - self.open.opened_s if self.open else 0.0

    def close(self) -> OpenObject | None:
        """Return the open object and start without one."""
        closed, self.open = self.open, None
        return closed

    @property
    def passed(self) -> bool:
        """Whether all that was read after the last object are markers of transactions and aborted records."""
        return self.ready and self.open is None and self._overlap is None and self.position > self.archived

    def on_archived(self, segment: SegmentRef, ours: Extent) -> int | None:
        """The object is in the archive, this or another archiver's. Returns the offset to seek to, None to go on."""
        self.last = segment
        if segment.extent.last_offset == ours.last_offset:
            self.archived = self.position
            return None
        self.archived = self._complete_to = segment.extent.next_offset
        self.position = self.archived
        self._overlap = segment.extent
        return segment.extent.last_offset

    def cancel(self) -> None:
        """Drop everything: the next owner reads it again."""
        self.open = None
        if self.job is not None:
            self.job.cancel()

    def _without_overlap(self, records: Sequence[ConsumedRecord], overlap: Extent) -> Sequence[ConsumedRecord]:
        first = records[0]
        if first.offset > overlap.last_offset:  # it expired just now
            return records
        if (first.offset, first.timestamp) != (overlap.last_offset, overlap.last_timestamp_ms):
            raise LogMismatch(
                f"partition {self.partition}: the record at offset {first.offset} is not the one that was archived: "
                "the topic was recreated, so it needs a new bucket"
            )
        return records[1:]

    def _check_order(self, offset: int) -> None:
        if offset < self.position:
            raise LogMismatch(
                f"partition {self.partition}: the log goes back from offset {self.position} to {offset}: "
                "the topic was recreated or has lost records"
            )
