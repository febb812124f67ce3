"""Reference implementation of a model's features at a cut-off, line by line, and a comparable view of a live state.

Slow and plain, independent of the code that it checks.
"""

import itertools
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from recsys.catalogue import Catalogue, Labels, ProductColumns
from recsys.category_affinity import Categories
from recsys.co_purchases import CoPurchases
from recsys.decayed_counts import HOUR_MS
from recsys.live_state import NEVER_MS, LiveState
from recsys.purchase_history import PastPurchases
from recsys.stream_apply import REMEMBERED_LINES, Deduplicator, StreamApplier
from services.common.events import Purchase as Event
from services.common.events import parse
from services.common.times import format_time
from services.recommender.partition_position import StreamStart

HALF_LIFE = 6 * HOUR_MS
START_MS = 1_600_000_000_000
CATEGORIES = {"food": 0, "toys": 1}


class Record(Protocol):
    """A record of the topic."""

    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def value(self) -> bytes | None: ...


def purchase(
    customer: str | None, product: str, pieces: int = 1, hours: float = 0.0, event_id: str | None = None, **more: str
) -> bytes:
    """The bytes of one purchase line; its time is so many hours after START_MS."""
    event = {
        "event_id": event_id,
        "event_time": format_time(START_MS + round(hours * HOUR_MS)),
        "order_id": f"o-{customer}",
        "product_id": product,
        "user_id": customer,
        "price": "1.50",
        "quantity": pieces,
    }
    return json.dumps(event | more).encode()


@dataclass(frozen=True, slots=True)
class Known:
    """A live state in comparable form: products by id, numbers rounded far below what matters."""

    held: Mapping[str, Mapping[str, tuple[float, int]]]  # customer → product → quantity, newest purchase
    trend: Mapping[str, float]
    last_sold: frozenset[str]
    ties: Mapping[str, Mapping[str, float]]
    facts: Mapping[str, tuple[str, str, str, int | None]]


def known(applier: StreamApplier, customers: Iterable[str], now_ms: int) -> Known:
    """The state of these customers and of every product that was ever sold."""
    catalogue, live = applier.catalogue, applier.live
    ids, trend = catalogue.product_ids, live.trend(HALF_LIFE, now_ms)
    return Known(
        held={customer: held for customer in customers if (held := _held(live, customer, ids))},
        trend={id_: round(count, 9) for id_, count in zip(ids, trend.tolist(), strict=False) if round(count, 9)},
        last_sold=frozenset(ids[row] for row in np.flatnonzero(live.on_sale(now_ms, 1)).tolist()),
        ties={id_: ties for row, id_ in enumerate(ids) if (ties := _ties(live, row, ids))},
        facts={
            id_: (catalogue.names[row], catalogue.categories[row], catalogue.brands[row], catalogue.price(row))
            for row, id_ in enumerate(ids)
        },
    )


def _held(live: LiveState, customer: str, ids: Sequence[str]) -> dict[str, tuple[float, int]]:
    history = live.history(customer)
    columns = (history.rows.tolist(), history.quantity.tolist(), history.event_time_ms.tolist())
    return {ids[row]: (pieces, at_ms) for row, pieces, at_ms in zip(*columns, strict=True)}


def _ties(live: LiveState, row: int, ids: Sequence[str]) -> dict[str, float]:
    others, weights = live.neighbours.weights(row, 1.0, 0.5)
    return {ids[other]: round(w, 9) for other, w in zip(others.tolist(), weights.tolist(), strict=True) if round(w, 9)}


class Model:
    """The features that training computes from the records before a cut-off."""

    def __init__(self, records: Iterable[Record]) -> None:
        self._records = sorted(records, key=lambda record: (record.timestamp, record.partition, record.offset))
        self._lines = list(self._accepted())
        self.products = sorted({event.product_id for event in self._lines})
        self._row = {id_: row for row, id_ in enumerate(self.products)}
        pieces: Counter[tuple[str, str]] = Counter()
        newest: dict[tuple[str, str], int] = {}
        for event in self._lines:
            if event.user_id is not None:
                pieces[event.user_id, event.product_id] += event.quantity
                if event.quantity > 0:
                    key = event.user_id, event.product_id
                    newest[key] = max(newest.get(key, 0), event.event_time)
        self._held = {key: (count, newest[key]) for key, count in sorted(pieces.items()) if count > 0}

    def _accepted(self) -> Iterable[Event]:
        seen: set[object] = set()
        for record in self._records:
            event = parse(record.value, record.timestamp)
            if not isinstance(event, Event):
                continue
            line = event.order_id, event.event_id, event.product_id, event.quantity, event.revenue
            if event.event_id is None or line not in seen:
                seen.add(line)
                yield event

    def start(self) -> StreamStart:
        """The offsets after these records."""
        offsets: dict[int, int] = {}
        for record in self._records:
            offsets[record.partition] = max(offsets.get(record.partition, 0), record.offset + 1)
        return StreamStart(offsets, 0)

    def applier(
        self, spare: int = 50, remembered: int = REMEMBERED_LINES, kind: type[StreamApplier] = StreamApplier
    ) -> StreamApplier:
        """The state as serving begins with it."""
        catalogue = self._catalogue(spare)
        live = LiveState(self._past(), self._co_purchases().padded(catalogue.capacity), [HALF_LIFE])
        at_ms = max((event.event_time for event in self._lines), default=START_MS)
        live.initialise({HALF_LIFE: self._trend(at_ms, catalogue.capacity)}, at_ms, self._last_sold(catalogue.capacity))
        numbers = [CATEGORIES.get(catalogue.categories[row], -1) for row in range(len(self.products))]
        categories = Categories(np.array(numbers, np.int32), np.eye(2), CATEGORIES).padded(catalogue.capacity)
        return kind(catalogue, categories, live, Deduplicator(remembered))

    def _catalogue(self, spare: int) -> Catalogue:
        newest = {e.product_id: e for e in sorted(self._lines, key=lambda event: event.event_time)}
        facts = [newest[id_] for id_ in self.products]
        return Catalogue(
            self.products,
            len(self.products),
            ProductColumns(
                names=_labels([event.product_name for event in facts]),
                categories=_labels([event.category_code for event in facts]),
                brands=_labels([event.brand for event in facts]),
                prices=np.array([event.price for event in facts], np.int64),
                facts_ms=np.array([event.event_time for event in facts], np.int64),
            ),
            spare,
        )

    def _past(self) -> PastPurchases:
        users = sorted({user for user, _ in self._held})
        counts = Counter(user for user, _ in self._held)
        return PastPurchases(
            users={user: number for number, user in enumerate(users)},
            starts=np.array([0, *itertools.accumulate(counts[user] for user in users)], np.int64),
            rows=np.array([self._row[product] for _, product in self._held], np.int32),
            quantity=np.array([pieces for pieces, _ in self._held.values()], np.float64),
            event_time_ms=np.array([at_ms for _, at_ms in self._held.values()], np.int64),
        )

    def _co_purchases(self) -> CoPurchases:
        buyers, common = np.zeros(len(self.products), np.int64), Counter[tuple[int, int]]()
        for _, held in itertools.groupby(self._held, key=lambda key: key[0]):
            rows = [self._row[product] for _, product in held]
            buyers[rows] += 1
            common.update(itertools.permutations(rows, 2))
        pairs = sorted(common)
        starts = [sum(first < row for first, _ in pairs) for row in range(len(self.products) + 1)]
        return CoPurchases(
            np.array(starts, np.int64),
            np.array([second for _, second in pairs], np.int32),
            np.array([common[pair] for pair in pairs], np.int32),
            buyers,
        )

    def _sold(self) -> Iterable[tuple[int, int]]:
        """Row and time of each line sold, but for those that were brought back altogether."""
        for event in self._lines:
            if event.quantity > 0 and (event.user_id is None or (event.user_id, event.product_id) in self._held):
                yield self._row[event.product_id], event.event_time

    def _trend(self, at_ms: int, rows: int) -> np.ndarray[Any, Any]:
        counts = np.zeros(rows)
        for row, sold_ms in self._sold():
            counts[row] += 2.0 ** ((sold_ms - at_ms) / HALF_LIFE)
        return counts

    def _last_sold(self, rows: int) -> np.ndarray[Any, Any]:
        sold = np.full(rows, NEVER_MS, np.int64)
        for event in self._lines:
            if event.quantity > 0:
                row = self._row[event.product_id]
                sold[row] = max(sold[row], event.event_time)
        return sold


def _labels(texts: Sequence[str | None]) -> Labels:
    values = sorted({text or "" for text in texts})
    return Labels(np.array([values.index(text or "") for text in texts], np.int32), values)
