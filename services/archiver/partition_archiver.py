"""One assigned partition, and what the archiver is doing with it."""

import asyncio
from collections.abc import Sequence

from services.archiver.open_object import ConsumedRecord, OpenObject
from services.archiver.segments import Link
from services.archiver.start import OtherLog, Start, report_lost
from services.common.archive.keys import Extent


class Lane:
    """Either busy (a job finds its start or writes its object) or ready to take records from `position` on."""

    def __init__(self, partition: int) -> None:
        self.partition = partition
        self.position = 0
        self.archived = 0
        self.open: OpenObject | None = None
        self.job: asyncio.Task[None] | None = None
        self._proof: Extent | None = None
        self._begun = False

    @property
    def fetch_from(self) -> int | None:
        """The offset to fetch next; None while its start is not found."""
        if not self._begun:
            return None
        return self._proof.last_offset if self._proof else self.position

    @property
    def ready(self) -> bool:
        """Whether it takes records."""
        return self.job is None

    def begin(self, start: Start) -> int:
        """Begin at the start found; answers the offset to fetch from.

        That is one record early where there is an archived one: it proves that the log is the one that was archived.
        """
        self.position = self.archived = start.offset
        proof = start.after.extent if start.after and start.after.extent.next_offset == start.offset else None
        self._proof = proof
        self._begun = True
        return proof.last_offset if proof else start.offset

    def take(self, records: Sequence[ConsumedRecord], now_s: float) -> None:
        """Add fetched records, in order, to the open object. Raises OtherLog."""
        if self._proof is not None:
            records = self._prove(records, self._proof)
            self._proof = None
        if not records:
            return
        self._check_order(records[0].offset)
        if self.open is None:
            self.open = OpenObject(self.partition, now_s)
        self.open.append(records)
        self.position = records[-1].offset + 1

    def due(self, now_s: float, max_bytes: int, max_age_s: float) -> bool:
        """Whether its open object is to be closed."""
        return self.open is not None and (self.open.size >= max_bytes or now_s - self.open.opened_s >= max_age_s)

    def open_for(self, now_s: float) -> float:
        """Seconds since the first record of the open object came; 0 without one."""
        return now_s - self.open.opened_s if self.open else 0.0

    def close(self) -> OpenObject | None:
        """Hand over the open object."""
        closed, self.open = self.open, None
        return closed

    def archived_to(self, link: Link) -> int | None:
        """The object is in the archive, ours or another's; answers where to go back or on to if that is elsewhere."""
        self.archived = link.extent.next_offset
        if self.position == self.archived:
            return None
        self.position = self.archived
        self._proof = link.extent
        return link.extent.last_offset

    def cancel(self) -> None:
        """Drop everything: the next owner reads it again."""
        self.open = None
        if self.job is not None:
            self.job.cancel()

    def _prove(self, records: Sequence[ConsumedRecord], proof: Extent) -> Sequence[ConsumedRecord]:
        first = records[0]
        if first.offset > proof.last_offset:  # it left the log just now
            return records
        if (first.offset, first.timestamp) != (proof.last_offset, proof.last_timestamp_ms):
            raise OtherLog(
                f"partition {self.partition}: the record at offset {first.offset} is not the one that was archived: "
                "the topic was created anew, so it needs a new bucket"
            )
        return records[1:]

    def _check_order(self, offset: int) -> None:
        if offset < self.position:
            raise OtherLog(
                f"partition {self.partition}: the log goes back from offset {self.position} to {offset}: "
                "the topic was created anew or has lost records"
            )
        report_lost(self.partition, self.position, offset)
