"""Products that the same customers bought: counts from the model, and fresh ones from the stream. NumPy only; bounded.

Item-item neighbours as in Deshpande and Karypis, "Item-Based Top-N Recommendation Algorithms" (2004): how often two
products have a customer in common, against how often each was bought. The counts are kept rather than the quotients,
so that a purchase of this second changes the very same statistic.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.recommender.history import History
from services.recommender.scoring import Float64s, Int64s


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


def no_co_purchases(products: int) -> CoPurchases:
    """A shop about which nothing is known yet."""
    none = np.empty(0, np.int32)
    return CoPurchases(np.zeros(products + 1, np.int64), none, none, np.zeros(products, np.int64))


class Neighbours:
    """The model's co-purchases and at most `fresh` newer neighbours of each product."""

    def __init__(self, past: CoPurchases, fresh: int) -> None:
        self._past = past
        self._limit = fresh
        self._fresh: dict[int, dict[int, int]] = {}
        self._buyers = past.buyers.astype(np.float64)

    def add(self, product: int, held: History) -> None:
        """A customer who holds these products has bought a new one."""
        self._buyers[product] += 1
        for other in held.rows.tolist():
            self._count(product, other, 1)
            self._count(other, product, 1)

    def take_back(self, product: int, held: History) -> None:
        """The customer does not hold the product any more."""
        self._buyers[product] -= 1
        for other in held.rows.tolist():
            self._count(product, other, -1)
            self._count(other, product, -1)

    def weights(self, product: int, shrink: float, balance: float) -> tuple[NDArray[np.int64], Float64s]:
        """The neighbours of a product and how strongly each is tied to it: n_ij / ((n_i + s)^(1−b) · (n_j + s)^b).

        Balance 0 is the share of the product's buyers who bought the neighbour too (popular neighbours lead), 1 the
        share of the neighbour's buyers; the shrinkage s keeps pairs seen once or twice from looking certain.
        """
        rows, counts, own, others = self.tied(product)
        return rows, counts / ((own + shrink) ** (1 - balance) * (others + shrink) ** balance)

    def tied(self, product: int) -> tuple[NDArray[np.int64], Float64s, float, Float64s]:
        """The neighbours of a product, the customers in common with each, its own buyers and each neighbour's."""
        rows, counts = self._counts(product)
        return rows, counts, float(self._buyers[product]), self._buyers[rows]

    def _counts(self, product: int) -> tuple[NDArray[np.int64], Float64s]:
        rows, counts = self._past.of(product)
        fresh = self._fresh.get(product)
        if not fresh:
            return rows.astype(np.int64), counts.astype(np.float64)
        both, places = np.unique(np.concatenate((rows, list(fresh))), return_inverse=True)
        sums = np.zeros(len(both))
        np.add.at(sums, places, np.concatenate((counts, list(fresh.values()))))
        return both.astype(np.int64), sums

    def _count(self, product: int, other: int, times: int) -> None:
        fresh = self._fresh.setdefault(product, {})
        fresh[other] = fresh.get(other, 0) + times
        if fresh[other] == 0:
            del fresh[other]
        elif len(fresh) > self._limit:
            del fresh[min(fresh, key=fresh.__getitem__)]
