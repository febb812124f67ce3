"""What the recommender knows beyond its model: the state that follows purchases one by one. NumPy only; bounded.

Its memory is a few numbers a product, and per customer the newest lines, for at most so many customers.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from recsys.co_purchases import CoPurchases, Neighbours
from recsys.decayed_counts import DAY_MS, DecayedCounts
from recsys.event_clock import NEVER_MS, Moment
from recsys.purchase_history import Histories, History, PastPurchases
from recsys.topk import Allowed, Float64s, Int64s, Rows

__all__ = ["NEVER_MS", "Bounds", "LiveState", "Purchase", "Sizes"]


class Purchase(NamedTuple):
    """One line as the state takes it in: a product's row, net pieces (negative: returned), epoch milliseconds."""

    customer: str | None
    product: int
    pieces: int
    at_ms: int


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is remembered of the stream."""

    lines: int = 500  # a customer
    customers: int = 1_000_000
    all_lines: int = 10_000_000
    neighbours: int = 200  # fresh ones a product
    all_neighbours: int = 4_000_000
    pairs: int = 20  # newest products of a customer that a new purchase is paired with


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is remembered of the stream now."""

    customers: int
    lines: int
    neighbours: int
    forgotten: int  # customers, since the model's cut-off


class LiveState:
    """Histories, live popularity and co-purchases, each starting from the model and moved on by `apply`."""

    def __init__(
        self,
        past: PastPurchases,
        co_purchases: CoPurchases,
        half_lives_ms: Iterable[float],
        bounds: Bounds = Bounds(),
    ) -> None:
        products = len(co_purchases.buyers)
        self.neighbours = Neighbours(co_purchases, bounds.neighbours, bounds.all_neighbours)
        self._histories = Histories(past, bounds.lines, bounds.customers, bounds.all_lines)
        self._trends = {half_life: DecayedCounts(products, half_life) for half_life in half_lives_ms}
        self._counts = tuple(self._trends.values())
        self._sold_ms = np.full(products, NEVER_MS, np.int64)
        self._sold_cells = self._sold_ms.data  # the same numbers: one of them is reached in half the time
        self._moment = Moment()
        self._pairs = bounds.pairs

    def seed(self, trends: Mapping[float, Float64s], at_ms: int, sold_ms: Int64s) -> None:
        """Begin with what a model says of its cut-off `at_ms`: the counts [products] of each half-life as they stood
        then, and when each product was sold last [products], NEVER_MS where never."""
        for half_life_ms, counts in trends.items():
            self._trends[half_life_ms].add_counts(counts, at_ms)
        np.maximum(self._sold_ms, sold_ms, out=self._sold_ms)
        self._moment.begin(at_ms)

    def warm_up(self, products: Rows, at_ms: Int64s) -> None:
        """Count sales before the model's cut-off into the popularity; histories and pairs have them from the model."""
        for counts in self._trends.values():
            counts.add_each(products, at_ms)
        np.maximum.at(self._sold_ms, products, at_ms)
        if len(at_ms):
            self._moment.begin(int(at_ms.max()))

    def apply(self, purchase: Purchase) -> None:
        """Take in one line. A line of no piece changes nothing; a return undoes what its customer bought."""
        if purchase.pieces > 0:
            self._bought(*purchase)
        elif purchase.pieces < 0 and purchase.customer is not None:
            self._returned(purchase.customer, purchase.product, -purchase.pieces, purchase.at_ms)

    @property
    def newest_ms(self) -> int:
        """The newest event time that is beyond doubt: the shop's now, whose data may be of another year."""
        return self._moment.newest_ms

    def history(self, customer: str) -> History:
        """What a customer holds now."""
        return self._histories.of(customer)

    def changed(self, customer: str) -> int:
        """A number that is another one after each change of the customer's history."""
        return self._histories.changed(customer)

    def trend(self, half_life_ms: float, now_ms: int) -> Float64s:
        """The live count of each product [products]. Raises KeyError for a half-life that is not followed."""
        return self._trends[half_life_ms].at(now_ms)

    def on_sale(self, now_ms: int, days: int) -> Allowed:
        """A fresh mask [products] of what was sold within the last `days`."""
        recent: Allowed = self._sold_ms >= now_ms - days * DAY_MS
        return recent

    def sizes(self) -> Sizes:
        """How much is remembered."""
        histories = self._histories
        return Sizes(len(histories), histories.lines, self.neighbours.fresh, histories.forgotten)

    def _bought(self, customer: str | None, product: int, pieces: int, at_ms: int) -> None:
        if self._moment.see(at_ms):
            for sold_ms, sold, weight in self._moment.reached():
                self._add(sold, sold_ms, weight)
        self._count(product, at_ms, 1.0)
        self._sold_cells[product] = max(self._sold_cells[product], at_ms)
        if customer is not None:
            beside = self._histories.beside(customer, product, self._pairs)
            if beside is not None:
                self.neighbours.add(product, beside)
            self._histories.add(customer, product, pieces, at_ms)

    def _count(self, product: int, at_ms: int, weight: float) -> None:
        if not self._moment.waits(at_ms, product, weight):
            self._add(product, at_ms, weight)

    def _add(self, product: int, at_ms: int, weight: float) -> None:
        for counts in self._counts:
            counts.add(product, at_ms, weight)

    def _returned(self, customer: str, product: int, pieces: int, at_ms: int) -> None:
        held = self._histories.pieces(customer, product) > 0
        for line in self._histories.take_back(customer, product, pieces, at_ms):
            self._count(product, line.at_ms, -1.0)
        if held:
            beside = self._histories.beside(customer, product, self._pairs)
            if beside is not None:
                self.neighbours.take_back(product, beside)
