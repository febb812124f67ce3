"""Live state: histories, popularity, co-purchases and order pairs, updated purchase by purchase. NumPy only; bounded.

It takes a few numbers a product, and per customer the newest lines, for a bounded number of customers.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from recsys.co_purchases import CoPurchases, Neighbours, no_co_purchases
from recsys.decayed_counts import DAY_MS, DecayedCounts
from recsys.event_clock import EventClock
from recsys.purchase_history import Histories, History, PastPurchases
from recsys.recent_orders import RecentOrders
from recsys.topk import Allowed, Float64s, Int64s, Rows
from services.common.event_clock import NEVER_MS

__all__ = ["NEVER_MS", "Bounds", "LiveState", "Purchase", "Sizes"]


class Purchase(NamedTuple):
    """One purchase line: the product's row, quantity (negative: returned), event time in epoch milliseconds.

    `order`: a number that lines of the same order share; None: of an order of its own.
    """

    customer: str | None
    product: int
    quantity: int
    event_time_ms: int
    order: int | None = None


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bounds on the memory of the stream."""

    lines: int = 500  # a customer
    customers: int = 1_000_000
    all_lines: int = 10_000_000
    neighbours: int = 200  # fresh ones a product
    all_neighbours: int = 4_000_000
    pairs: int = 20  # newest products of a customer that a new purchase is paired with
    all_order_pairs: int = 2_000_000  # fresh ones, of products bought in the same orders
    orders: int = 20_000  # newest ones, whose further lines are paired with those before


@dataclass(frozen=True, slots=True)
class Sizes:
    """Size of the memory of the stream."""

    customers: int
    lines: int
    neighbours: int
    order_pairs: int
    forgotten: int  # customers, since the model's cut-off


class LiveState:
    """Histories, live popularity and co-purchases: each starts from the model, and `apply` updates it."""

    def __init__(
        self,
        past: PastPurchases,
        co_purchases: CoPurchases,
        half_lives_ms: Iterable[float],
        bounds: Bounds = Bounds(),
        order_pairs: CoPurchases | None = None,
    ) -> None:
        """`co_purchases`: of customers. `order_pairs`: the same of orders; None: of the stream alone."""
        products = len(co_purchases.buyers)
        self.neighbours = Neighbours(co_purchases, bounds.neighbours, bounds.all_neighbours)
        self.order_pairs = Neighbours(
            order_pairs or no_co_purchases(products), bounds.neighbours, bounds.all_order_pairs
        )
        self._orders = RecentOrders(bounds.orders)
        self._histories = Histories(past, bounds.lines, bounds.customers, bounds.all_lines)
        self._trends = {half_life: DecayedCounts(products, half_life) for half_life in half_lives_ms}
        self._counts = tuple(self._trends.values())
        self._sold_ms = np.full(products, NEVER_MS, np.int64)
        self._sold_cells = self._sold_ms.data  # the same numbers: one of them is reached in half the time
        self._clock = EventClock()
        self._pairs = bounds.pairs

    def initialise(self, trends: Mapping[float, Float64s], cut_off_ms: int, sold_ms: Int64s) -> None:
        """Start from a model.

        `trends`: by half-life, the counts [products] at the cut-off. `sold_ms`: when each product was sold last
        [products], NEVER_MS where never.
        """
        for half_life_ms, counts in trends.items():
            self._trends[half_life_ms].add_counts(counts, cut_off_ms)
        np.maximum(self._sold_ms, sold_ms, out=self._sold_ms)
        self._clock.begin(cut_off_ms)

    def warm_up(self, products: Rows, event_time_ms: Int64s) -> None:
        """Count sales before the model's cut-off into the popularity; histories and co-purchases have them already."""
        for counts in self._trends.values():
            counts.add_each(products, event_time_ms)
        np.maximum.at(self._sold_ms, products, event_time_ms)
        if len(event_time_ms):
            self._clock.begin(int(event_time_ms.max()))

    def apply(self, purchase: Purchase) -> None:
        """Apply one line. Quantity 0 changes nothing; a return undoes what its customer bought.

        Order pairs stay: what was returned was bought together all the same.
        """
        if purchase.quantity > 0:
            self._bought(*purchase)
        elif purchase.quantity < 0 and purchase.customer is not None:
            self._returned(purchase.customer, purchase.product, -purchase.quantity, purchase.event_time_ms)

    @property
    def watermark_ms(self) -> int:
        """The event-time watermark: the shop's present time, which may be of another year."""
        return self._clock.watermark_ms

    def history(self, customer: str) -> History:
        """The net purchases of a customer."""
        return self._histories.of(customer)

    def customers(self) -> list[str]:
        """Everybody with a history; some may be named twice."""
        return self._histories.customers()

    def forget(self, customer: str) -> None:
        """Remove a customer's history. What products were bought together stays."""
        self._histories.forget(customer)

    def changed(self, customer: str) -> int:
        """A number that differs after each change of the customer's history."""
        return self._histories.changed(customer)

    def trend(self, half_life_ms: float, now_ms: int) -> Float64s:
        """The live count of each product [products]. Raises KeyError for a half-life that is not followed."""
        return self._trends[half_life_ms].at(now_ms)

    def on_sale(self, now_ms: int, days: int) -> Allowed:
        """A fresh mask [products] of what was sold within the last `days`."""
        recent: Allowed = self._sold_ms >= now_ms - days * DAY_MS
        return recent

    def never_sold(self) -> Allowed:
        """A fresh mask [products] of what was never sold."""
        never: Allowed = self._sold_ms == NEVER_MS
        return never

    def sizes(self) -> Sizes:
        """How much is remembered."""
        histories = self._histories
        return Sizes(
            len(histories), histories.lines, self.neighbours.fresh, self.order_pairs.fresh, histories.forgotten
        )

    def _bought(self, customer: str | None, product: int, quantity: int, event_time_ms: int, order: int | None) -> None:
        if self._clock.observe(event_time_ms):
            for sold_ms, sold, weight in self._clock.due():
                self._add(sold, sold_ms, weight)
        self._count(product, event_time_ms, 1.0)
        self._sold_cells[product] = max(self._sold_cells[product], event_time_ms)
        together = () if order is None else self._orders.add(order, product)
        if together is not None:
            self.order_pairs.add(product, together)
        if customer is not None:
            candidates = self._histories.co_purchase_candidates(customer, product, self._pairs)
            if candidates is not None:
                self.neighbours.add(product, candidates)
            self._histories.add(customer, product, quantity, event_time_ms)

    def _count(self, product: int, event_time_ms: int, weight: float) -> None:
        if not self._clock.defer(event_time_ms, product, weight):
            self._add(product, event_time_ms, weight)

    def _add(self, product: int, event_time_ms: int, weight: float) -> None:
        for counts in self._counts:
            counts.add(product, event_time_ms, weight)

    def _returned(self, customer: str, product: int, quantity: int, event_time_ms: int) -> None:
        held = self._histories.quantity(customer, product) > 0
        for line in self._histories.apply_return(customer, product, quantity, event_time_ms):
            self._count(product, line.event_time_ms, -1.0)
        if held:
            candidates = self._histories.co_purchase_candidates(customer, product, self._pairs)
            if candidates is not None:
                self.neighbours.remove(product, candidates)
