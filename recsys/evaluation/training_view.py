"""The features of a model at a moment, from the purchases before it alone, in NumPy (in Spark: spark/features.py)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.als_settings import AlsSettings
from recsys.category_affinity import MAX_CATEGORIES, Categories
from recsys.co_purchases import CoPurchases
from recsys.decayed_counts import DAY_MS
from recsys.evaluation.pair_counts import Groups, most_in_common, renumbered
from recsys.evaluation.purchase_log import ANONYMOUS, PurchaseLog
from recsys.fold_in import FoldIn
from recsys.live_state import Bounds, LiveState
from recsys.purchase_history import PastPurchases
from recsys.recent_orders import ORDER_PRODUCTS
from recsys.scorer import TrainedParts
from recsys.topk import Float32s, Float64s

POPULAR_DAYS = 7
NEWEST_PRODUCTS = 100
"""Co-purchases are counted from each customer's newest products: pairs grow with the square of their number."""
NEIGHBOURS = 100
"""Neighbours kept for each product."""
CATEGORY_SHRINK = 10.0
"""Added to the buyers of a category, so that the affinities of rarely bought categories are small."""
_CHUNK = 4096


@dataclass(frozen=True, slots=True)
class TrainingView:
    """What all methods know at a moment: the log with the model's product numbers, net purchases, and features."""

    log: PurchaseLog
    moment_ms: int
    scored: int  # products with net purchases of known customers; they come first
    net_purchases: "NetPurchases"
    past: PastPurchases
    co_purchases: CoPurchases
    order_pairs: CoPurchases
    categories: Categories

    @property
    def last(self) -> int:
        """The number of lines before the moment."""
        return self.log.at(self.moment_ms)

    def live_state(self, half_lives_ms: tuple[float, ...]) -> LiveState:
        """The serving state at the moment."""
        live = LiveState(self.past, self.co_purchases, half_lives_ms, Bounds(), self.order_pairs)
        sold = np.flatnonzero((self.log.quantity[: self.last] > 0) & self.not_returned)
        live.warm_up(self.log.rows[sold], self.log.at_ms[sold])
        return live

    @property
    def not_returned(self) -> NDArray[np.bool_]:
        """Which lines [last] are of products that their customer still holds. Anonymous lines always count."""
        log, products = self.log, len(self.log.products)
        known = np.flatnonzero(log.customers[: self.last] != ANONYMOUS)
        keys, net = (
            log.customers[known] * products + log.rows[known],
            self.net_purchases.customers * products + self.net_purchases.rows,
        )
        kept = np.ones(self.last, np.bool_)
        places = np.searchsorted(net, keys)  # sorted by both
        kept[known] = np.append(net, -1)[places] == keys
        return kept

    def trained_parts(self, item_factors: Float32s, als: AlsSettings, popularity: Float64s) -> TrainedParts:
        """The scorer's input with these item factors [scored, rank]."""
        return TrainedParts(
            item_factors, FoldIn(item_factors, als.alpha, als.regularisation), popularity, self.categories
        )

    def popularity(self, days: int | None = POPULAR_DAYS) -> Float64s:
        """Lines sold of each product [products] in the last `days` before the moment; None: in the whole log."""
        first = 0 if days is None else self.log.at(self.moment_ms - days * DAY_MS)
        sold = self.log.rows[first : self.last][self.log.quantity[first : self.last] > 0]
        return np.bincount(sold, minlength=len(self.log.products)).astype(np.float64)


def view_at(log: PurchaseLog, moment_ms: int) -> TrainingView:
    """The view of a log at a moment, epoch ms."""
    bought = np.unique(net_purchases_before(log, log.at(moment_ms)).rows)
    log = log.with_first([log.products[row] for row in bought.tolist()])
    net = net_purchases_before(log, log.at(moment_ms))
    return TrainingView(
        log,
        moment_ms,
        len(bought),
        net,
        past_purchases_of(log, net),
        co_purchases_of(net, len(log.products)),
        order_pairs_of(log, log.at(moment_ms)),
        categories_of(log, net),
    )


@dataclass(frozen=True, slots=True)
class NetPurchases:
    """Net purchases (bought less returned) before a moment: one entry per customer and product, sorted by both."""

    customers: NDArray[np.int64]
    rows: NDArray[np.int64]
    quantity: NDArray[np.float64]
    at_ms: NDArray[np.int64]  # newest purchase


def net_purchases_before(log: PurchaseLog, last: int) -> NetPurchases:
    """The net purchases of known customers in the lines before `last`, only quantities above 0."""
    known = np.flatnonzero(log.customers[:last] != ANONYMOUS)
    keys, places = np.unique(log.customers[known] * len(log.products) + log.rows[known], return_inverse=True)
    sums = np.zeros(len(keys))
    np.add.at(sums, places, log.quantity[known])
    newest = np.zeros(len(keys), np.int64)
    bought = log.quantity[known] > 0
    np.maximum.at(newest, places[bought], log.at_ms[known][bought])
    kept = sums > 0
    customers, rows = np.divmod(keys[kept], len(log.products))
    return NetPurchases(customers, rows, sums[kept], newest[kept])


def past_purchases_of(log: PurchaseLog, net: NetPurchases) -> PastPurchases:
    """The purchase histories that serving starts with."""
    buyers, first = np.unique(net.customers, return_index=True)
    return PastPurchases(
        users={log.users[buyer]: place for place, buyer in enumerate(buyers.tolist())},
        starts=np.append(first, len(net.customers)).astype(np.int64),
        rows=net.rows,
        quantity=net.quantity,
        event_time_ms=net.at_ms,
    )


def categories_of(
    log: PurchaseLog, net: NetPurchases, shrink: float = CATEGORY_SHRINK, most: int = MAX_CATEGORIES
) -> Categories:
    """How often categories are bought by the same customers."""
    of = _most_bought(log.category, net, most)
    number = int(of.max(initial=-1)) + 1
    known = of[net.rows] >= 0
    keys, products = np.unique(net.customers[known] * number + of[net.rows[known]], return_counts=True)
    customers, categories = np.divmod(keys, max(number, 1))
    together = np.zeros((number, number))
    for start in range(0, int(customers.max(initial=-1)) + 1, _CHUNK):
        chosen = slice(*np.searchsorted(customers, (start, start + _CHUNK)))
        bought = np.zeros((_CHUNK, number), np.float32)
        bought[customers[chosen] - start, categories[chosen]] = 1
        together += bought.T @ bought
    buyers = together.diagonal().copy()
    np.fill_diagonal(together, np.bincount(categories[products > 1], minlength=number))
    return Categories(of, together / (buyers + shrink)[:, np.newaxis])


def _most_bought(category: NDArray[np.int32], net: NetPurchases, most: int) -> NDArray[np.int32]:
    """Each product's category; −1 (unknown) where it is not among the `most` categories with most buyers."""
    number = int(category.max(initial=-1)) + 1
    if number <= most:
        return category
    known = category[net.rows] >= 0
    pairs = np.unique(net.customers[known] * number + category[net.rows[known]])
    buyers = np.bincount(pairs % number, minlength=number)
    kept = np.sort(np.argsort(-buyers, kind="stable")[:most])
    renumbered = np.full(number + 1, -1, np.int32)  # the last stands for unknown
    renumbered[kept] = np.arange(most)
    return renumbered[category]


def co_purchases_of(
    net: NetPurchases, products: int, newest: int = NEWEST_PRODUCTS, kept: int = NEIGHBOURS
) -> CoPurchases:
    """For each product the `kept` ones with most customers in common, from each customer's `newest` products."""
    order = np.lexsort((-net.at_ms, net.customers))
    groups = Groups(net.customers[order], net.rows[order])
    return most_in_common(groups, products, newest, kept)


def order_pairs_of(log: PurchaseLog, last: int, most: int = ORDER_PRODUCTS, kept: int = NEIGHBOURS) -> CoPurchases:
    """The same of orders, from the lines before `last`: of an order the first `most` products by their ids.

    Among equal counts the smaller id is kept: a product without a buyer who is known has a row behind all others.
    """
    by_id = np.argsort(np.array(log.products, np.object_), kind="stable")
    rank = np.empty(len(by_id), np.int64)
    rank[by_id] = np.arange(len(by_id))
    sold = np.flatnonzero(log.quantity[:last] > 0)
    orders, ranks = np.divmod(np.unique(log.orders[sold] * len(rank) + rank[log.rows[sold]]), len(rank))
    return renumbered(most_in_common(Groups(orders, ranks), len(rank), most, kept), by_id)
