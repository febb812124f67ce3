"""Applies records of topic `purchases` to the live state: each accepted line once. Pure; bounded."""

from collections import Counter
from enum import StrEnum

from recsys.catalogue import Catalogue, Facts
from recsys.category_affinity import Categories
from recsys.live_state import LiveState, Purchase
from services.common.event_rules import DEFAULT_RULES, EventRules
from services.common.events import Purchase as Event
from services.common.events import Rejected, parse
from services.common.line_identity import LineVerdict, line_tokens

REMEMBERED_LINES = 250_000
"""Lines that are recognised when they come again: the newest before the model's cut-off and since. Older ones are
applied again. A token takes some 60 bytes, and at most twice as many are kept."""


class ApplyOutcome(StrEnum):
    """The outcome of a record, as a label of the metric."""

    APPLIED = "applied"
    REPEAT = "repeat"
    ORDER_CHANGED = "order_changed"
    INVALID = "invalid"
    PRODUCT = "product"
    CANARY = "canary"


_NOT_COUNTED = {
    LineVerdict.REPEAT: ApplyOutcome.REPEAT,
    LineVerdict.ORDER_CHANGED: ApplyOutcome.ORDER_CHANGED,
}


class RecentMap:
    """The newest `n` entries at least, and at most twice as many: the older half is dropped at once."""

    def __init__(self, n: int) -> None:
        self._n = n
        self._new: dict[int, str] = {}
        self._old: dict[int, str] = {}

    def get(self, key: int) -> str | None:
        """The value of a key that is remembered."""
        value = self._new.get(key)
        return self._old.get(key) if value is None else value

    def put(self, key: int, value: str) -> None:
        """Remember an entry."""
        if len(self._new) >= self._n:
            self._old, self._new = self._new, {}
        self._new[key] = value


class Deduplicator:
    """Finds lines that do not count, by the rule of `OrderLines`, as far as lines and orders are remembered."""

    def __init__(self, remembered: int = REMEMBERED_LINES) -> None:
        self._tokens = RecentMap(remembered)
        self._digests = RecentMap(remembered)

    def verdict(self, event: Event) -> LineVerdict:
        """The verdict on a line, which is remembered if it counts. A line without an id always counts."""
        order = hash(event.order_id)
        tokens = [order ^ int.from_bytes(token) for token in line_tokens(event)]
        if any(self._tokens.get(token) is not None for token in tokens):
            return LineVerdict.REPEAT
        digest = event.order_digest
        if digest is not None:
            known = self._digests.get(order)
            if known is None:
                self._digests.put(order, digest)
            elif known != digest:
                return LineVerdict.ORDER_CHANGED
        for token in tokens:
            self._tokens.put(token, "")
        return LineVerdict.COUNTS


class StreamApplier:
    """Updates the state of one model, record by record."""

    def __init__(
        self,
        catalogue: Catalogue,
        categories: Categories,
        live: LiveState,
        dedup: Deduplicator,
        rules: EventRules = DEFAULT_RULES,
    ) -> None:
        """`categories` and `live` have as many products as the catalogue has rows.

        `rules`: what the shop has set of the validation, and who is erased; may be replaced between two records.
        """
        self.catalogue = catalogue
        self.live = live
        self._categories = categories
        self._dedup = dedup
        self.rules = rules
        self.outcomes: Counter[ApplyOutcome] = Counter()

    def apply(self, value: bytes | None, broker_ms: int) -> None:
        """Apply one record, given its broker time in epoch milliseconds."""
        self.outcomes[self._outcome(value, broker_ms)] += 1

    def remember(self, value: bytes | None, broker_ms: int) -> None:
        """Remember a record before the model's cut-off, so that a repeat of it is found."""
        event = parse(value, broker_ms, self.rules)
        if isinstance(event, Event):
            self._dedup.verdict(event)

    def _outcome(self, value: bytes | None, broker_ms: int) -> ApplyOutcome:
        event = parse(value, broker_ms, self.rules)
        if not isinstance(event, Event):
            return ApplyOutcome.INVALID if isinstance(event, Rejected) else ApplyOutcome.CANARY
        verdict = self._dedup.verdict(event)
        if verdict is not LineVerdict.COUNTS:
            return _NOT_COUNTED[verdict]
        row = self._row(event)
        if row is None:
            return ApplyOutcome.PRODUCT if event.quantity > 0 else ApplyOutcome.APPLIED
        self.live.apply(Purchase(event.user_id, row, event.quantity, event.event_time, hash(event.order_id)))
        return ApplyOutcome.APPLIED

    def _row(self, event: Event) -> int | None:
        """The product's row, its facts updated; a new product gets a row on its first sale."""
        known = self.catalogue.row(event.product_id)
        row = self.catalogue.add(event.product_id) if known is None and event.quantity > 0 else known
        if row is None:
            return None
        facts = Facts(event.product_name, event.category_code, event.brand, event.price)
        self.catalogue.update(row, facts, event.event_time)
        if known is None:
            self._categories.assign(row, self.catalogue.categories[row])
        return row
