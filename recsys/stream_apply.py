"""From records of topic `purchases` to the live state: each accepted line once. Pure; bounded."""

from collections import Counter, deque
from collections.abc import Mapping
from enum import StrEnum

from recsys.catalogue import Catalogue, Facts
from recsys.category_affinity import Categories
from recsys.live_state import LiveState, Purchase
from services.common.events import Purchase as Event
from services.common.events import Rejected, parse, row_of
from services.common.row_watermarks import RecentRowWatermarks

REMEMBERED_IDS = 100_000
SOURCES = 100_000
"""Of a partition, the newest are kept: senders in the wild may take a source for each order."""


class Outcome(StrEnum):
    """What became of a record, as a label of the metric."""

    APPLIED = "applied"
    REPEAT = "repeat"
    INVALID = "invalid"
    PRODUCT = "product"


class Newest:
    """The newest `n` of the ids given to it."""

    def __init__(self, n: int) -> None:
        self._ids: set[str] = set()
        self._order: deque[str] = deque()
        self._n = n

    def __contains__(self, id_: str) -> bool:
        return id_ in self._ids

    def add(self, id_: str) -> None:
        """Remember an id that is not there, and forget the oldest of too many."""
        self._ids.add(id_)
        self._order.append(id_)
        if len(self._order) > self._n:
            self._ids.remove(self._order.popleft())


class Repeats:
    """Which lines were there before: rows against the highest of their source, other ids against the newest ones."""

    def __init__(
        self, rows: Mapping[int, Mapping[str, int]], remembered: int = REMEMBERED_IDS, sources: int = SOURCES
    ) -> None:
        """`rows`: the highest row of each source that the model has, by partition, the newest source last."""
        self._sources = sources
        self._rows = {partition: RecentRowWatermarks(sources, highest) for partition, highest in rows.items()}
        self._newest = Newest(remembered)
        self._replays = Newest(remembered)  # apart: nothing else may push them out

    def is_repeat(self, partition: int, event: Event) -> bool:
        """Whether the line counts already; from now on it does. A line without an id is one of its own."""
        if event.event_id is None:
            return False
        numbered = row_of(event)
        return self._claimed(event.event_id, event) if numbered is None else self._passed(partition, *numbered)

    def remember(self, event: Event) -> None:
        """The model has this line; its row, where it is one, is known from `rows`."""
        if event.event_id is not None and row_of(event) is None:
            self._claimed(event.event_id, event)

    def _claimed(self, id_: str, event: Event) -> bool:
        if id_ in self._replays or id_ in self._newest:
            return True
        (self._replays if event.replay_of else self._newest).add(id_)
        return False

    def _passed(self, partition: int, source: str, row: int) -> bool:
        rows = self._rows.get(partition)
        if rows is None:
            rows = self._rows[partition] = RecentRowWatermarks(self._sources)
        return not rows.advance(source, row)


class Intake:
    """Moves the state of one model on, record by record."""

    def __init__(self, catalogue: Catalogue, categories: Categories, live: LiveState, repeats: Repeats) -> None:
        """`categories` and `live` have as many products as the catalogue has room for."""
        self.catalogue = catalogue
        self.live = live
        self._categories = categories
        self._repeats = repeats
        self.outcomes: Counter[Outcome] = Counter()

    def take(self, partition: int, value: bytes | None, broker_ms: int) -> None:
        """Take in one record, given its broker time in epoch milliseconds."""
        self.outcomes[self._outcome(partition, value, broker_ms)] += 1

    def remember(self, value: bytes | None, broker_ms: int) -> None:
        """Take note of a record before the model's cut-off: it is known already, and a repeat of it will be one."""
        event = parse(value, broker_ms)
        if not isinstance(event, Rejected):
            self._repeats.remember(event)

    def _outcome(self, partition: int, value: bytes | None, broker_ms: int) -> Outcome:
        event = parse(value, broker_ms)
        if isinstance(event, Rejected):
            return Outcome.INVALID
        if self._repeats.is_repeat(partition, event):
            return Outcome.REPEAT
        row = self._row(event)
        if row is None:
            return Outcome.PRODUCT if event.quantity > 0 else Outcome.APPLIED
        self.live.apply(Purchase(event.user_id, row, event.quantity, event.event_time))
        return Outcome.APPLIED

    def _row(self, event: Event) -> int | None:
        """The product's row with the facts that the event tells; a new product gets one on its first sale."""
        row = self.catalogue.row(event.product_id)
        if row is None:
            row = self.catalogue.take(event.product_id) if event.quantity > 0 else None
            if row is None:
                return None
            self._categories.assign(row, event.category_code)
        self.catalogue.tell(
            row, Facts(event.product_name, event.category_code, event.brand, event.price), event.event_time
        )
        return row
