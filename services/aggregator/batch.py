"""Builds the script calls that bring each shard past a batch of records."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from aiokafka import TopicPartition

from services.aggregator.dedup import Verdicts, count_dead_letters
from services.aggregator.fold import Fold, FoldContext, ShardDelta
from services.aggregator.groups import shard_of
from services.aggregator.lines import AcceptedLine
from services.aggregator.names import AS_SENT, Renamed
from services.aggregator.order_counts import KnownOrder
from services.aggregator.partition_state import PartitionState, partition_name
from services.aggregator.payload import BatchEffects, OffsetAdvance, Payload
from services.aggregator.store import ShardState, TableStore
from services.aggregator.uncounted import encode_runs
from services.aggregator.validation import Record
from services.common.calendar import Calendar
from services.common.event_clock import QUORUM, NewestEvents
from services.common.tables import MINUTES_KEPT_SECONDS


@dataclass(frozen=True, slots=True)
class Decided:
    """What a batch comes to: its lines by verdict, its orders with the lines that count, names over budget.

    `traceparents`: of the traced records, by offset.
    """

    verdicts: Verdicts
    orders: Mapping[str, KnownOrder]
    renamed: Renamed = AS_SENT
    traceparents: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ShardCall:
    """One script call: what it adds to one shard, and how it moves the shard's mark (applied offset).

    `payload` is all of it as the script takes it.
    """

    shard: int
    advance: OffsetAdvance
    delta: ShardDelta
    effects: BatchEffects
    payload: Payload

    def advance_state(self, state: ShardState) -> None:
        """Bring a shard's state past this call."""
        state.orders_mark = max(state.orders_mark, self.advance.next)
        if self.advance.of_orders:
            return
        state.mark = self.advance.next
        state.last_timestamp_ms = self.effects.last_timestamp_ms
        state.rows.update(self.effects.rows)
        state.file_rows.update(self.effects.file_rows)


async def check_figures(store: TableStore, calls: Sequence[ShardCall]) -> None:
    """Raise BatchRefused where a shard would refuse its figures, before anything of the calls is written."""
    for call in calls:
        if not call.advance.of_orders:
            await store.check(call.shard, call.advance, call.payload)


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

    def chunks(self, size: Callable[[int], int]) -> Iterator["RecordSpan"]:
        """The span in parts, each up to where the next one begins. `size`: how many records from an offset on."""
        start = 0
        while start < len(self.records):
            following = start + size(self.records[start].offset)
            end = self.records[following].offset if following < len(self.records) else self.end
            yield RecordSpan(self.records[start:following], end)
            start = following


class BatchBuilder:
    """Folds records into the calls of each shard. Knows the shards' minute floors, below which no minute is kept."""

    def __init__(self, store: TableStore, calendar: Calendar) -> None:
        self._store = store
        self.calendar = calendar
        self._floors = [0] * store.shards
        self._requested_floor = 0
        self._newest = NewestEvents()

    def use(self, calendar: Calendar) -> None:
        """Build for the store's new generation from now on."""
        self.calendar = calendar
        self.set_floors([0] * self._store.shards)

    def set_floors(self, floors: Sequence[int], newest_events: Iterable[int] = ()) -> None:
        """Minute floors (epoch seconds) and times of the newest events (epoch ms) as read from the shards."""
        self._floors, self._requested_floor = list(floors), 0
        self._newest.begin(newest_events)

    def raise_floor(self, shard: int, floor: int) -> None:
        """The minute floor of one shard (epoch seconds) after a call."""
        self._floors[shard] = floor

    def purchases(
        self, partition: TopicPartition, state: PartitionState, span: RecordSpan, decided: Decided
    ) -> list[ShardCall]:
        """Calls for records of the purchases topic, in the order in which they must be made."""
        counted = decided.verdicts.counted
        name = partition_name(partition)
        newest = self._observe(counted, name)
        effects = self._effects()
        folds = _Folds(counted, self._context(partition, decided))
        calls: list[ShardCall] = []
        if self._store.shards == 1:
            advance = OffsetAdvance(name, state.shards[0].mark, span.end)
            delta = folds.past(advance.expected).whole(decided.orders)
            delta.newest_events = newest
            return [self._call(0, advance, delta, effects(span.last_timestamp_ms(state.shards[0])))]
        for number, shard in state.shards.items():
            if shard.orders_mark < span.end:
                advance = OffsetAdvance(name, shard.orders_mark, span.end, of_orders=True)
                delta = folds.past(shard.orders_mark).orders_of(number, decided.orders)
                uncounted = self._uncounted(decided.verdicts, number, shard.orders_mark)
                calls.append(self._call(number, advance, delta, BatchEffects(None, uncounted=uncounted)))
        for number, shard in state.shards.items():
            if shard.mark < span.end:
                advance = OffsetAdvance(name, shard.mark, span.end)
                delta = folds.figures_past(shard.mark)[number]
                if number == self._store.home_shard(partition.partition):
                    delta.newest_events = newest
                calls.append(self._call(number, advance, delta, effects(span.last_timestamp_ms(shard))))
        return calls

    def _uncounted(self, verdicts: Verdicts, shard: int, mark: int) -> str:
        counts = {line.offset: True for line in verdicts.counted if self._is_of(line, shard, mark)}
        for line in (*verdicts.repeats, *verdicts.changed):
            if self._is_of(line, shard, mark):
                counts[line.offset] = False
        return encode_runs(sorted(counts.items()))

    def _is_of(self, line: AcceptedLine, shard: int, mark: int) -> bool:
        return line.offset >= mark and shard_of(line.purchase.order_id, self._store.shards) == shard

    def dead_letters(
        self, partition: TopicPartition, state: PartitionState, span: RecordSpan, counting: Sequence[Record]
    ) -> list[ShardCall]:
        """The call that counts those records of the dead-letter topic that can be, in the partition's home shard."""
        home = self._store.home_shard(partition.partition)
        shard = state.shards[home]
        counted = count_dead_letters(counting, shard.rows, shard.file_rows, len(shard.file_rows))
        advance = OffsetAdvance(partition_name(partition), shard.mark, span.end)
        effects = BatchEffects(span.last_timestamp_ms(shard), counted.rows, file_rows=sorted(counted.file_rows))
        return [self._call(home, advance, ShardDelta(dead_letters=counted.reasons), effects)]

    def _call(self, shard: int, advance: OffsetAdvance, delta: ShardDelta, effects: BatchEffects) -> ShardCall:
        return ShardCall(shard, advance, delta, effects, self._store.payload(shard, advance, delta, effects))

    def _context(self, partition: TopicPartition, decided: Decided) -> FoldContext:
        return FoldContext(
            partition_name(partition),
            self._store.home_shard(partition.partition),
            self._store.shards,
            self.calendar,
            min(self._floors),
            decided.renamed,
            decided.traceparents,
        )

    def _observe(self, lines: Sequence[AcceptedLine], partition: str) -> list[tuple[int, str]]:
        """Tell the event clock; returns time and record of the events that it depends on, none where it stands."""
        oldest_ms = self._newest.oldest_ms
        news = sorted((at, line.offset) for line in lines if (at := line.purchase.event_time) > oldest_ms)[-QUORUM:]
        self._newest.observe(at_ms for at_ms, _ in news)
        return [(at_ms, f"{partition}/{offset}") for at_ms, offset in news]

    def _effects(self) -> Callable[[int], BatchEffects]:
        """The effects of a batch, given the broker time of its last record.

        The floor follows the shop's present, which no single event moves; before it is known there is none.
        """
        floor = max(0, (self._newest.watermark_ms or 0) // 60_000 * 60 - MINUTES_KEPT_SECONDS)
        expired = self._expired_tables(floor)
        return lambda last_timestamp_ms: BatchEffects(last_timestamp_ms, {}, floor, expired)

    def _expired_tables(self, floor: int) -> list[str]:
        """Minute tables that fall below this floor, except those that a call in flight removes."""
        known = max(min(self._floors), self._requested_floor)
        self._requested_floor = max(known, floor)
        return self.calendar.minute_tables(known, floor) if 0 < known < floor else []


class _Folds:
    """The lines of a batch past a mark, folded: once, except after a crash between two shards' scripts."""

    def __init__(self, lines: Sequence[AcceptedLine], context: FoldContext) -> None:
        self._lines = lines
        self._context = context
        self._folds: dict[int, Fold] = {}
        self._figures: dict[int, list[ShardDelta]] = {}

    def past(self, mark: int) -> Fold:
        if mark not in self._folds:
            self._folds[mark] = Fold([line for line in self._lines if line.offset >= mark], self._context)
        return self._folds[mark]

    def figures_past(self, mark: int) -> list[ShardDelta]:
        if mark not in self._figures:
            self._figures[mark] = self.past(mark).figures()
        return self._figures[mark]
