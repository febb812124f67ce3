"""Builds the script calls that bring each shard past a batch of records. Pure, except that event ids are claimed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from aiokafka import TopicPartition

from services.aggregator.dedup import count_dead_letters, deduplicate, ids_to_claim, replayed_ids
from services.aggregator.fold import AcceptedLine, FoldContext, ShardDelta, fold
from services.aggregator.partition_state import PartitionState, partition_name
from services.aggregator.payload import BatchEffects, OffsetAdvance
from services.aggregator.store import ShardState, TableStore
from services.aggregator.validation import Record
from services.common.calendar import Calendar
from services.common.event_clock import QUORUM, NewestEvents
from services.common.metrics import AGGREGATOR_REPEATS
from services.common.tables import MINUTES_KEPT_SECONDS


@dataclass(frozen=True, slots=True)
class ShardCall:
    """One script call: what it adds to one shard, and how it moves the shard's mark (applied offset)."""

    shard: int
    advance: OffsetAdvance
    delta: ShardDelta
    effects: BatchEffects


@dataclass(frozen=True, slots=True)
class RecordSpan:
    """Records of one partition that follow each other, and the offset (exclusive) up to which there are no others.

    There may be none at all: markers of transactions and aborted records take offsets and are no records.
    """

    records: Sequence[Record]
    end: int

    def last_timestamp_ms(self, shard: ShardState) -> int:
        """Broker time of the record before the end; 0 where no record was ever applied."""
        return self.records[-1].timestamp if self.records else shard.last_timestamp_ms or 0


class BatchBuilder:
    """Folds records into the calls of each shard. Knows the shards' minute floors, below which no minute is kept."""

    def __init__(self, store: TableStore, calendar: Calendar) -> None:
        self._store = store
        self._calendar = calendar
        self._floors = [0] * store.shards
        self._requested_floor = 0
        self._newest = NewestEvents()

    def use(self, calendar: Calendar) -> None:
        """Build for the store's new generation from now on."""
        self._calendar = calendar
        self.set_floors([0] * self._store.shards)

    def set_floors(self, floors: Sequence[int], newest_events: Iterable[int] = ()) -> None:
        """Minute floors (epoch seconds) and times of the newest events (epoch ms) as read from the shards."""
        self._floors, self._requested_floor = list(floors), 0
        self._newest.begin(newest_events)

    def raise_floor(self, shard: int, floor: int) -> None:
        """The minute floor of one shard (epoch seconds) after a call."""
        self._floors[shard] = floor

    async def purchases(
        self, partition: TopicPartition, state: PartitionState, span: RecordSpan, lines: Sequence[AcceptedLine]
    ) -> list[ShardCall]:
        """Calls for records of the purchases topic; `lines` are the valid ones. Raises RedisError."""
        name = partition_name(partition)
        wanted = ids_to_claim(lines, name)
        owners = await self._store.claim(wanted, replayed_ids(lines)) if wanted else {}
        calls: list[ShardCall] = []
        for mark, shards in state.shards_by_mark():
            if mark >= span.end:
                continue
            pending = [line for line in lines if line.offset >= mark]
            fresh, rows = deduplicate(pending, state.shards[shards[0]].rows, owners, name)
            AGGREGATOR_REPEATS.inc(len(pending) - len(fresh))
            deltas = fold(fresh, self._context(partition))
            if not calls:  # the lowest mark: the groups after it have no other lines
                deltas[self._store.home_shard(partition.partition)].newest_events = self._observe(fresh, name)
            timestamp_ms = span.last_timestamp_ms(state.shards[shards[0]])
            effects = self._effects(rows, timestamp_ms)
            advance = OffsetAdvance(name, mark, span.end)
            calls += [ShardCall(shard, advance, deltas[shard], effects) for shard in shards]
        return calls

    def dead_letters(self, partition: TopicPartition, state: PartitionState, span: RecordSpan) -> list[ShardCall]:
        """The call that counts records of the dead-letter topic, in the partition's home shard."""
        home = self._store.home_shard(partition.partition)
        shard = state.shards[home]
        reasons, rows = count_dead_letters(span.records, shard.rows)
        advance = OffsetAdvance(partition_name(partition), shard.mark, span.end)
        effects = BatchEffects(rows, 0, (), span.last_timestamp_ms(shard))
        return [ShardCall(home, advance, ShardDelta(dead_letters=reasons), effects)]

    def _context(self, partition: TopicPartition) -> FoldContext:
        store = self._store
        home = store.home_shard(partition.partition)
        return FoldContext(partition_name(partition), home, store.shards, self._calendar, min(self._floors))

    def _observe(self, lines: Sequence[AcceptedLine], partition: str) -> list[tuple[int, str]]:
        """Tell the event clock; returns time and record of the events that it depends on, none where it stands."""
        oldest_ms = self._newest.oldest_ms
        news = sorted((at, line.offset) for line in lines if (at := line.purchase.event_time) > oldest_ms)[-QUORUM:]
        self._newest.observe(at_ms for at_ms, _ in news)
        return [(at_ms, f"{partition}/{offset}") for at_ms, offset in news]

    def _effects(self, rows: Mapping[str, int], last_timestamp_ms: int) -> BatchEffects:
        """The floor follows the shop's present, which no single event moves; before it is known there is none."""
        floor = max(0, (self._newest.watermark_ms or 0) // 60_000 * 60 - MINUTES_KEPT_SECONDS)
        return BatchEffects(rows, floor, self._expired_tables(floor), last_timestamp_ms)

    def _expired_tables(self, floor: int) -> list[str]:
        """Minute tables that fall below this floor, except those that a call in flight removes."""
        known = max(min(self._floors), self._requested_floor)
        self._requested_floor = max(known, floor)
        return self._calendar.minute_tables(known, floor) if 0 < known < floor else []
