"""From fetched records to script calls: validate, look at the orders, decide, send dead letters, fold."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from aiokafka import TopicPartition

from services.aggregator.batch import BatchBuilder, Decided, RecordSpan, ShardCall
from services.aggregator.budgets import NameBudgets, NameLimits
from services.aggregator.chunk_trace import UNTRACED, ChunkTrace, trace_chunk
from services.aggregator.dead_letter_output import DeadLetterOutput
from services.aggregator.dedup import judge
from services.aggregator.groups import shard_of
from services.aggregator.lines import AcceptedLine
from services.aggregator.names import AS_SENT, Renamed
from services.aggregator.order_book import OrderBook
from services.aggregator.order_counts import KnownOrder
from services.aggregator.partition_state import PartitionState
from services.aggregator.refusals import Refusals
from services.aggregator.store import TableStore
from services.aggregator.validation import RejectedRecord, changed_orders, in_offset_order, validate
from services.common.event_rules import EventRules
from services.common.metrics import AGGREGATOR_REPEATS


class PreparationSettings(Protocol):
    """The part of ApplierSettings that matters here."""

    @property
    def dead_letters_topic(self) -> str: ...
    @property
    def rules(self) -> EventRules: ...
    @property
    def names(self) -> NameLimits: ...


@dataclass(frozen=True, slots=True)
class Looked:
    """A chunk, validated, with what the tables know of its orders. Of dead letters only the records.

    `trace`: the traced records of the chunk.
    """

    span: RecordSpan
    lines: list[AcceptedLine] = field(default_factory=list)
    rejected: list[RejectedRecord] = field(default_factory=list)
    orders: dict[str, KnownOrder] = field(default_factory=dict)
    renamed: Renamed = AS_SENT
    trace: ChunkTrace = UNTRACED


class Preparation:
    """Prepares the calls of one chunk in two steps: only the first one has to wait for Redis."""

    def __init__(
        self,
        store: TableStore,
        batches: BatchBuilder,
        dead_letters: DeadLetterOutput,
        settings: PreparationSettings,
    ) -> None:
        self._store = store
        self._batches = batches
        self._dead_letters = dead_letters
        self._settings = settings
        self.rules = settings.rules
        self.refusals = Refusals()
        self.orders = OrderBook(store)
        self.budgets = NameBudgets(store, settings.names)

    async def look(self, partition: TopicPartition, span: RecordSpan) -> Looked:
        """Validate the records, and read what is known of their orders. Raises RedisError."""
        if partition.topic == self._settings.dead_letters_topic:
            return Looked(span)
        trace = trace_chunk(partition, span.records)
        lines, rejected = validate(span.records, self.rules)
        lines, refused = self.refusals.split(partition, span.records, lines)
        renamed = await self.budgets.apply(lines, self._store.home_shard(partition.partition))
        orders = await self.orders.read(lines, self._batches.calendar, renamed)
        if refused:
            rejected = in_offset_order([*rejected, *refused])
        return Looked(span, lines, rejected, orders, renamed, trace)

    async def calls(self, partition: TopicPartition, state: PartitionState, looked: Looked) -> list[ShardCall]:
        """The calls for a chunk. The state is advanced already: a call that fails drops it.

        Raises KafkaError, TooManyInvalidRecords.
        """
        if partition.topic == self._settings.dead_letters_topic:
            counting = self.refusals.without(partition, looked.span.records)
            calls = self._batches.dead_letters(partition, state, looked.span, counting)
        else:
            calls = await self._purchases(partition, state, looked)
        for call in calls:
            call.advance_state(state.shards[call.shard])
            self.orders.sent(call.delta.orders)
        return calls

    async def _purchases(self, partition: TopicPartition, state: PartitionState, looked: Looked) -> list[ShardCall]:
        records, rejected = looked.span.records, looked.rejected
        verdicts = judge(looked.lines, looked.orders, self._settled_in(state))
        if verdicts.changed:
            rejected = in_offset_order([*rejected, *changed_orders(records, verdicts.changed)])
        if records and not state.needs_backfill:  # records from the archive were observed when they arrived
            self._dead_letters.observe(partition, records, rejected)
        if rejected:
            await self._dead_letters.send(partition, rejected)
        AGGREGATOR_REPEATS.inc(len(verdicts.repeats))
        decided = Decided(verdicts, looked.orders, looked.renamed, looked.trace.traceparents)
        return self._batches.purchases(partition, state, looked.span, decided)

    def _settled_in(self, state: PartitionState) -> Callable[[AcceptedLine], bool | None] | None:
        """See `judge`. One shard applies a batch whole, so that nothing of it is settled before."""
        shards = self._store.shards
        if shards == 1:
            return None
        return lambda line: state.settled(line.offset, shard_of(line.purchase.order_id, shards))
