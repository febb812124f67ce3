"""Records that the tables cannot take: found by halving a refused chunk, and sent to the dead letters."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from aiokafka import TopicPartition

from services.aggregator.lines import AcceptedLine
from services.aggregator.partition_state import partition_name
from services.aggregator.validation import Record, RejectedRecord
from services.common.events import Reason, Rejected

logger = logging.getLogger(__name__)


class ChunkRefused(Exception):
    """The script refused the calls of a chunk because of what is in it; the message says what."""

    def __init__(self, partition: TopicPartition, chunk: Sequence[Record], why: str) -> None:
        super().__init__(why)
        self.partition = partition
        self.size = len(chunk)
        self.first, self.last = (chunk[0].offset, chunk[-1].offset) if chunk else (0, 0)


@dataclass(slots=True)
class _Search:
    """Looks for records before `end`. `found`: the offset of the newest one, and why it cannot be applied."""

    end: int
    chunk: int
    found: tuple[int, str] | None = None


class Refusals:
    """A search a partition, until the refused chunk is behind the mark. Where one record cannot be applied, its
    neighbours often cannot either: behind the first one, all of the chunk are applied one by one."""

    def __init__(self) -> None:
        self._searches: dict[TopicPartition, _Search] = {}

    def chunk(self, partition: TopicPartition, usual: int, offset: int) -> int:
        """How many records to apply at a time from an offset on."""
        search = self._searches.get(partition)
        return usual if search is None or offset >= search.end else min(usual, search.chunk)

    def narrow(self, refused: ChunkRefused) -> bool:
        """Search in smaller chunks; False where a chunk is still refused without the record that was found."""
        if not refused.size:
            return False
        partition = refused.partition
        search = self._searches.setdefault(partition, _Search(refused.last + 1, refused.size))
        search.end = max(search.end, refused.last + 1)
        search.chunk = max(1, refused.size // 2)
        if refused.size > 1:
            return True
        if search.found is not None and search.found[0] == refused.first:
            return False
        name = f"{partition_name(partition)}/{refused.first}"
        logger.error("%s cannot be applied and becomes a dead letter: %s", name, refused, extra={"record": name})
        search.found = refused.first, str(refused)
        return True

    def passed(self, partition: TopicPartition, mark: int) -> None:
        """All before this offset is applied: where the search was there, it is over."""
        if partition in self._searches and self._searches[partition].end <= mark:
            del self._searches[partition]

    def without(self, partition: TopicPartition, records: Sequence[Record]) -> Sequence[Record]:
        """The records but the one that was found."""
        offset, _ = self._found(partition)
        return [record for record in records if record.offset != offset]

    def split(
        self, partition: TopicPartition, records: Sequence[Record], lines: list[AcceptedLine]
    ) -> tuple[list[AcceptedLine], list[RejectedRecord]]:
        """The lines but the one that was found, and that one as a dead letter."""
        offset, why = self._found(partition)
        if offset is None:
            return lines, []
        refused = [
            RejectedRecord(each, Rejected(Reason.CANNOT_APPLY, why)) for each in records if each.offset == offset
        ]
        return [line for line in lines if line.offset != offset], refused

    def _found(self, partition: TopicPartition) -> tuple[int | None, str]:
        search = self._searches.get(partition)
        return (None, "") if search is None or search.found is None else search.found
