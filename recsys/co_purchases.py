"""Co-purchases: products that the same customers bought, by the model and by the stream. NumPy only; bounded.

The same types hold products of the same orders (order pairs): read "order" for "customer" then.

Item-item neighbours as in Deshpande and Karypis, "Item-Based Top-N Recommendation Algorithms" (2004): how often two
products have a customer in common, against how often each was bought. Counts are kept rather than quotients, so that a
new purchase updates the same statistic.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.topk import Float64s, Int64s

_NONE: Mapping[int, int] = {}


@dataclass(frozen=True, slots=True)
class CoPurchases:
    """Product p's neighbours are `rows[starts[p]:starts[p + 1]]`; `counts`: customers that the two have in common."""

    starts: Int64s  # [products + 1]
    rows: NDArray[np.int32]
    counts: NDArray[np.int32]
    buyers: Int64s  # [products], customers who bought each

    def of(self, product: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """One product's neighbours and their counts."""
        span = slice(self.starts[product], self.starts[product + 1])
        return self.rows[span], self.counts[span]

    def padded(self, products: int) -> "CoPurchases":
        """The same with rows for new products, `products` in all."""
        more = products - len(self.buyers)
        return CoPurchases(
            np.pad(self.starts, (0, more), "edge"), self.rows, self.counts, np.pad(self.buyers, (0, more))
        )


def no_co_purchases(products: int) -> CoPurchases:
    """No co-purchases yet."""
    none = np.empty(0, np.int32)
    return CoPurchases(np.zeros(products + 1, np.int64), none, none, np.zeros(products, np.int64))


class NeighbourWeights(NamedTuple):
    """Weights of the neighbours of some products [n each]; `places`: of the product among those asked for.

    A neighbour in both the model and the stream occurs twice; its weight is the sum.
    """

    places: NDArray[np.int64]
    neighbours: NDArray[np.int64]
    weights: Float64s


class Neighbours:
    """Co-purchases of the model and of the stream: at most 2 · `fresh` of the latter for each product, `total` in all.

    Beyond that a product keeps the `fresh` ones with the highest counts, of equal ones the newer.
    """

    def __init__(self, past: CoPurchases, fresh: int, total: int) -> None:
        self._past = past
        self._limit = fresh
        self._total = total
        self._fresh: dict[int, dict[int, int]] = {}
        self._buyers = past.buyers.astype(np.float64)
        self._changes = np.zeros(len(past.buyers))  # for one product at a time, zeros in between
        self._turn = 0
        self.fresh = 0

    def add(self, product: int, held: Sequence[int]) -> None:
        """A customer who has bought `held` bought a new product."""
        self._buyers[product] += 1
        if not held:
            return
        own = self._fresh.setdefault(product, {})
        for other in held:
            theirs = self._fresh.setdefault(other, {})
            self.fresh += _add(own, other, 1) + _add(theirs, product, 1)
            if len(theirs) > 2 * self._limit:
                self._keep(other, self._limit)
        if len(own) > 2 * self._limit:
            self._keep(product, self._limit)
        self._enforce_total()

    def remove(self, product: int, held: Sequence[int]) -> None:
        """A customer who has bought `held` returned the product."""
        self._buyers[product] -= 1
        for other in held:
            self._remove_pair(product, other)
            self._remove_pair(other, product)
        self._enforce_total()

    def weights(self, product: int, shrink: float, balance: float) -> tuple[NDArray[np.int64], Float64s]:
        """The neighbours of a product and their weights: n_ij / ((n_i + s)^(1−b) · (n_j + s)^b).

        Balance 0 is the share of the product's buyers who bought the neighbour too (popular neighbours lead), 1 the
        share of the neighbour's buyers; the shrinkage s lowers pairs that were seen once or twice.
        """
        rows, counts, own, others = self.neighbour_counts(product)
        return rows, counts / ((own + shrink) ** (1 - balance) * (others + shrink) ** balance)

    def weights_each(self, products: NDArray[np.int64], shrink: float, balance: float) -> NeighbourWeights:
        """`weights` of each of these products [n]."""
        asked = products.tolist()
        past = [self._past.of(product) for product in asked]
        fresh = [self._fresh.get(product, _NONE) for product in asked]
        lengths = [len(rows) for rows, _ in past] + [len(counts) for counts in fresh]
        newer = sum(lengths[len(past) :])
        rows = np.concatenate([*(rows for rows, _ in past), np.fromiter(chain(*fresh), np.int64, newer)])
        newer_counts = chain.from_iterable(counts.values() for counts in fresh)
        counts = np.concatenate([*(counts for _, counts in past), np.fromiter(newer_counts, np.float64, newer)])
        places = np.repeat(np.arange(2 * len(asked)) % max(len(asked), 1), lengths)
        own = (self._buyers[products] + shrink) ** (1 - balance)
        others = (self._buyers.take(rows) + shrink) ** balance
        return NeighbourWeights(places, rows, counts / (own.take(places) * others))

    def neighbour_counts(self, product: int) -> tuple[NDArray[np.int64], Float64s, float, Float64s]:
        """The neighbours of a product, the customers in common with each, its own buyers and each neighbour's."""
        rows, counts = self._counts(product)
        return rows, counts, float(self._buyers[product]), self._buyers[rows]

    def together(self, product: int, other: int) -> int:
        """How many customers have both, as far as is counted: a pair that neither product keeps has lost some."""
        return max(self._count(product, other), self._count(other, product))

    def _count(self, product: int, other: int) -> int:
        rows, counts = self._past.of(product)
        return int(counts[rows == other].sum()) + self._fresh.get(product, {}).get(other, 0)

    def _counts(self, product: int) -> tuple[NDArray[np.int64], Float64s]:
        """Neighbours in any order, each once."""
        rows, counts = self._past.of(product)
        fresh = self._fresh.get(product)
        if not fresh:
            return rows.astype(np.int64), counts.astype(np.float64)
        newer, changes = np.fromiter(fresh, np.int64, len(fresh)), self._changes
        changes[newer] = np.fromiter(fresh.values(), np.float64, len(fresh))
        known = counts + changes[rows]
        changes[rows] = 0
        added = changes[newer]  # a change is never 0, except where the model has the neighbour
        changes[newer] = 0
        beyond = np.flatnonzero(added)
        return np.concatenate((rows, newer[beyond])), np.concatenate((known, added[beyond]))

    def _remove_pair(self, product: int, other: int) -> None:
        """One customer in common less; never below 0, where the purchase was already forgotten."""
        rows, counts = self._past.of(product)
        fresh = self._fresh.get(product, {})
        if fresh.get(other, 0) + counts[rows == other].sum() > 0:
            self.fresh += _add(self._fresh.setdefault(product, fresh), other, -1)
            if len(fresh) > 2 * self._limit:
                self._keep(product, self._limit)

    def _keep(self, product: int, limit: int) -> None:
        """Forget a product's weakest fresh neighbours, by the absolute change."""
        fresh = self._fresh[product]
        strongest = sorted(fresh.items(), key=lambda pair: abs(pair[1]))[len(fresh) - limit :]
        self.fresh -= len(fresh) - len(strongest)
        self._fresh[product] = dict(strongest)

    def _enforce_total(self) -> None:
        while self.fresh > self._total:
            self._forget_some()

    def _forget_some(self) -> None:
        """Halve the fresh neighbours of the product whose turn it is: of one only, since answers are waiting."""
        product, self._turn = self._turn, (self._turn + 1) % len(self._buyers)
        if fresh := self._fresh.get(product):
            self._keep(product, len(fresh) // 2)


def _add(counts: dict[int, int], key: int, times: int) -> int:
    """Change a count, which is dropped at zero; returns the change in the number of entries."""
    before = counts.get(key)
    if before is None:
        counts[key] = times
        return 1
    if before + times:
        counts[key] = before + times
        return 0
    del counts[key]
    return -1
