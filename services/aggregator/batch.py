"""Builds the script calls that bring each shard past a batch of records. Pure, except that event ids are claimed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aiokafka import TopicPartition

from services.aggregator.dedup import count_dead_letters, deduplicate, ids_to_claim, replayed_ids
from services.aggregator.fold import AcceptedLine, FoldContext, ShardDelta, fold
from services.aggregator.partition_state import PartitionState, partition_name
from services.aggregator.payload import BatchEffects, OffsetAdvance
from services.aggregator.store import TableStore
from services.aggregator.validation import Record
from services.common.calendar import Calendar
from services.common.metrics import AGGREGATOR_REPEATS
from services.common.tables import MINUTES_KEPT_SECONDS


@dataclass(frozen=True, slots=True)
class ShardCall:
    """One script call: what it adds to one shard, and how it moves the shard's mark (applied offset)."""

    shard: int
    advance: OffsetAdvance
    delta: ShardDelta
    effects: BatchEffects


class BatchBuilder:
    """Folds records into the calls of each shard. Knows the shards' minute floors, below which no minute is kept."""

    def __init__(self, store: TableStore, calendar: Calendar) -> None:
        self._store = store
        self._calendar = calendar
        self._floors = [0] * store.shards
        self._requested_floor = 0

    def use(self, calendar: Calendar) -> None:
        """Build for the store's new generation from now on."""
        self._calendar = calendar
        self.set_floors([0] * self._store.shards)

    def set_floors(self, floors: Sequence[int]) -> None:
        """Minute floors (epoch seconds) as read from the shards."""
        self._floors, self._requested_floor = list(floors), 0

    def raise_floor(self, shard: int, floor: int) -> None:
        """The minute floor of one shard (epoch seconds) after a call."""
        self._floors[shard] = floor

    async def purchases(
        self, partition: TopicPartition, state: PartitionState, records: Sequence[Record], lines: Sequence[AcceptedLine]
    ) -> list[ShardCall]:
        """Calls for records of the purchases topic; `lines` are the valid ones. Raises RedisError."""
        name = partition_name(partition)
        wanted = ids_to_claim(lines, name)
        owners = await self._store.claim(wanted, replayed_ids(lines)) if wanted else {}
        next_offset = records[-1].offset + 1
        calls: list[ShardCall] = []
        for mark, shards in state.shards_by_mark():
            if mark >= next_offset:
                continue
            pending = [line for line in lines if line.offset >= mark]
            fresh, rows = deduplicate(pending, state.shards[shards[0]].rows, owners, name)
            AGGREGATOR_REPEATS.inc(len(pending) - len(fresh))
            deltas = fold(fresh, self._context(partition))
            newest = max((line.purchase.event_time for line in fresh), default=0)
            effects = self._effects(records, rows, newest)
            advance = OffsetAdvance(name, mark, next_offset)
            calls += [ShardCall(shard, advance, deltas[shard], effects) for shard in shards]
        return calls

    def dead_letters(
        self, partition: TopicPartition, state: PartitionState, records: Sequence[Record]
    ) -> list[ShardCall]:
        """The call that counts records of the dead-letter topic, in the partition's home shard."""
        home = self._store.home_shard(partition.partition)
        shard = state.shards[home]
        reasons, rows = count_dead_letters(records, shard.rows)
        advance = OffsetAdvance(partition_name(partition), shard.mark, records[-1].offset + 1)
        return [ShardCall(home, advance, ShardDelta(dead_letters=reasons), self._effects(records, rows, 0))]

    def _context(self, partition: TopicPartition) -> FoldContext:
        store = self._store
        home = store.home_shard(partition.partition)
        return FoldContext(partition_name(partition), home, store.shards, self._calendar, min(self._floors))

    def _effects(self, records: Sequence[Record], rows: Mapping[str, int], newest_event: int) -> BatchEffects:
        floor = max(0, newest_event // 60_000 * 60 - MINUTES_KEPT_SECONDS)
        return BatchEffects(rows, floor, self._expired_tables(floor), records[-1].timestamp)

    def _expired_tables(self, floor: int) -> list[str]:
        """Minute tables that fall below this floor, except those that a call in flight removes."""
        known = max(min(self._floors), self._requested_floor)
        self._requested_floor = max(known, floor)
        return self._calendar.minute_tables(known, floor) if 0 < known < floor else []
