"""From fetched records to script calls: validate, look at the orders, decide, send dead letters, fold."""

from collections.abc import Callable
from typing import Protocol

from aiokafka import TopicPartition

from services.aggregator.batch import BatchBuilder, Decided, RecordSpan, ShardCall
from services.aggregator.budgets import NameBudgets, NameLimits
from services.aggregator.dead_letter_output import DeadLetterOutput
from services.aggregator.dedup import judge
from services.aggregator.groups import shard_of
from services.aggregator.lines import AcceptedLine
from services.aggregator.order_book import OrderBook
from services.aggregator.partition_state import PartitionState
from services.aggregator.refusals import Refusals
from services.aggregator.store import TableStore
from services.aggregator.validation import changed_orders, in_offset_order, validate
from services.common.metrics import AGGREGATOR_REPEATS


class PreparationSettings(Protocol):
    """The part of ApplierSettings that matters here."""

    @property
    def dead_letters_topic(self) -> str: ...
    @property
    def no_customer(self) -> frozenset[str]: ...
    @property
    def names(self) -> NameLimits: ...


class Preparation:
    """Prepares the calls of one chunk. Raises RedisError, KafkaError, TooManyInvalidRecords."""

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
        self.refusals = Refusals()
        self.orders = OrderBook(store)
        self.budgets = NameBudgets(store, settings.names)

    async def calls(self, partition: TopicPartition, state: PartitionState, span: RecordSpan) -> list[ShardCall]:
        """The calls for these records. The state is advanced already: a call that fails drops it."""
        if partition.topic == self._settings.dead_letters_topic:
            counting = self.refusals.without(partition, span.records)
            calls = self._batches.dead_letters(partition, state, span, counting)
        else:
            calls = await self._purchases(partition, state, span)
        for call in calls:
            call.advance_state(state.shards[call.shard])
            self.orders.sent(call.delta.orders)
        return calls

    async def _purchases(self, partition: TopicPartition, state: PartitionState, span: RecordSpan) -> list[ShardCall]:
        records = span.records
        lines, rejected = validate(records, self._settings.no_customer)
        lines, refused = self.refusals.split(partition, records, lines)
        renamed = await self.budgets.apply(lines, self._store.home_shard(partition.partition))
        orders = await self.orders.read(lines, self._batches.calendar, renamed)
        verdicts = judge(lines, orders, self._settled_in(state))
        if verdicts.changed or refused:
            rejected = in_offset_order([*rejected, *refused, *changed_orders(records, verdicts.changed)])
        if records and not state.needs_backfill:  # records from the archive were observed when they arrived
            self._dead_letters.observe(partition, records, rejected)
        if rejected:
            await self._dead_letters.send(partition, rejected)
        AGGREGATOR_REPEATS.inc(len(verdicts.repeats))
        return self._batches.purchases(partition, state, span, Decided(verdicts, orders, renamed))

    def _settled_in(self, state: PartitionState) -> Callable[[AcceptedLine], bool | None] | None:
        """See `judge`. One shard applies a batch whole, so that nothing of it is settled before."""
        shards = self._store.shards
        if shards == 1:
            return None
        return lambda line: state.settled(line.offset, shard_of(line.purchase.order_id, shards))
