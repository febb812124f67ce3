"""Applies records of topic `purchases` to the live state: each accepted line once. Pure; bounded."""

from collections import Counter, deque
from collections.abc import Mapping
from enum import StrEnum

from recsys.catalogue import Catalogue, Facts
from recsys.category_affinity import Categories
from recsys.live_state import LiveState, Purchase
from services.common.events import DEFAULT_NO_CUSTOMER, Rejected, parse, row_of
from services.common.events import Purchase as Event
from services.common.row_watermarks import RecentRowWatermarks

DEDUP_WINDOW = 100_000
SOURCES = 100_000
"""Bound on the sources of a partition; the newest are kept: some senders use a source for each order."""


class ApplyOutcome(StrEnum):
    """The outcome of a record, as a label of the metric."""

    APPLIED = "applied"
    REPEAT = "repeat"
    INVALID = "invalid"
    PRODUCT = "product"


class RecentIds:
    """The newest `n` ids."""

    def __init__(self, n: int) -> None:
        self._ids: set[str] = set()
        self._order: deque[str] = deque()
        self._n = n

    def __contains__(self, id_: str) -> bool:
        return id_ in self._ids

    def add(self, id_: str) -> None:
        """Remember a new id, and forget the oldest one beyond `n`."""
        self._ids.add(id_)
        self._order.append(id_)
        if len(self._order) > self._n:
            self._ids.remove(self._order.popleft())


class Deduplicator:
    """Finds repeated lines: a row by the highest one of its source, another id among the newest ids."""

    def __init__(
        self, rows: Mapping[int, Mapping[str, int]], remembered: int = DEDUP_WINDOW, sources: int = SOURCES
    ) -> None:
        """`rows`: the highest row of each source that the model has, by partition, the newest source last."""
        self._sources = sources
        self._rows = {partition: RecentRowWatermarks(sources, highest) for partition, highest in rows.items()}
        self._recent = RecentIds(remembered)
        self._replays = RecentIds(remembered)  # apart: other ids must not evict them

    def is_repeat(self, partition: int, event: Event) -> bool:
        """Whether the line is a repeat; remembers it. A line without an id never is."""
        if event.event_id is None:
            return False
        numbered = row_of(event)
        return (
            self._is_known_id(event.event_id, event) if numbered is None else self._is_known_row(partition, *numbered)
        )

    def remember(self, event: Event) -> None:
        """Remember a line that the model has; rows are known from `rows` already."""
        if event.event_id is not None and row_of(event) is None:
            self._is_known_id(event.event_id, event)

    def _is_known_id(self, id_: str, event: Event) -> bool:
        if id_ in self._replays or id_ in self._recent:
            return True
        (self._replays if event.replay_of else self._recent).add(id_)
        return False

    def _is_known_row(self, partition: int, source: str, row: int) -> bool:
        rows = self._rows.get(partition)
        if rows is None:
            rows = self._rows[partition] = RecentRowWatermarks(self._sources)
        return not rows.advance(source, row)


class StreamApplier:
    """Updates the state of one model, record by record."""

    def __init__(
        self,
        catalogue: Catalogue,
        categories: Categories,
        live: LiveState,
        dedup: Deduplicator,
        no_customer: frozenset[str] = DEFAULT_NO_CUSTOMER,
    ) -> None:
        """`categories` and `live` have as many products as the catalogue has rows.

        `no_customer`: ids that stand for no customer.
        """
        self.catalogue = catalogue
        self.live = live
        self._categories = categories
        self._dedup = dedup
        self._no_customer = no_customer
        self.outcomes: Counter[ApplyOutcome] = Counter()

    def apply(self, partition: int, value: bytes | None, broker_ms: int) -> None:
        """Apply one record, given its broker time in epoch milliseconds."""
        self.outcomes[self._outcome(partition, value, broker_ms)] += 1

    def remember(self, value: bytes | None, broker_ms: int) -> None:
        """Remember a record before the model's cut-off, so that a repeat of it is found."""
        event = parse(value, broker_ms, self._no_customer)
        if not isinstance(event, Rejected):
            self._dedup.remember(event)

    def _outcome(self, partition: int, value: bytes | None, broker_ms: int) -> ApplyOutcome:
        event = parse(value, broker_ms, self._no_customer)
        if isinstance(event, Rejected):
            return ApplyOutcome.INVALID
        if self._dedup.is_repeat(partition, event):
            return ApplyOutcome.REPEAT
        row = self._row(event)
        if row is None:
            return ApplyOutcome.PRODUCT if event.quantity > 0 else ApplyOutcome.APPLIED
        self.live.apply(Purchase(event.user_id, row, event.quantity, event.event_time))
        return ApplyOutcome.APPLIED

    def _row(self, event: Event) -> int | None:
        """The product's row, its facts updated; a new product gets a row on its first sale."""
        row = self.catalogue.row(event.product_id)
        if row is None:
            row = self.catalogue.add(event.product_id) if event.quantity > 0 else None
            if row is None:
                return None
            self._categories.assign(row, event.category_code)
        self.catalogue.update(
            row, Facts(event.product_name, event.category_code, event.brand, event.price), event.event_time
        )
        return row
