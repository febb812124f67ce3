"""Substitutes, which meet the same need as a product, and complements, which are bought with it. NumPy only.

Substitutes are products like it: by category, name, brand and price, and by behaviour with popularity taken out. Two
cola brands are seldom in one order, but the same things are bought with them. Complements are the opposite: products of
the same orders that meet another need.
"""

from dataclasses import dataclass

import numpy as np

from recsys.catalogue import Catalogue
from recsys.co_purchases import CoPurchases, Neighbours
from recsys.likeness import CatalogueLikeness
from recsys.topk import Allowed, Float32s, Float64s, Int64s, Ranked, Rows, largest, largest_above_zero, unit_vectors

PARTS = ("category", "name", "brand", "factors", "orders", "price", "sold")
_EVIDENCE = 5
"""The first parts say that products are alike; the others only choose among those that are."""
_CANDIDATES = 200
"""Products that are compared by what they are bought with: so many best by the other parts, and by evidence alone."""
_NO_ROWS: Rows = np.empty(0, np.int64)
_TOGETHER_SHRINK, _TOGETHER_BALANCE = 20.0, 0.5


@dataclass(frozen=True, slots=True)
class LikenessWeights:
    """Weights of the parts of a likeness, each part within 0 to 1."""

    category: float = 1.0
    name: float = 0.5
    brand: float = 0.1
    factors: float = 0.5
    orders: float = 1.0
    price: float = 0.1
    sold: float = 0.6


@dataclass(frozen=True, slots=True)
class Substitutes:
    """Products [n] by likeness, best first, and the weighted parts [parts, n] whose sum it is."""

    ranked: Ranked
    parts: Float64s


class OrderProfiles:
    """What products are bought with, popularity taken out: n_ij / √n_j over the neighbours j, of length 1.

    A cosine of two profiles is high where the same unusual products are in their orders.
    """

    def __init__(self, pairs: CoPurchases) -> None:
        self._pairs = pairs
        self._damped = 1 / np.sqrt(np.maximum(pairs.buyers, 1)).astype(np.float32)
        squares: Float64s = self._entries(slice(None)).astype(np.float64) ** 2
        self._lengths = np.sqrt(_sums(squares, pairs.starts[:-1], pairs.starts[1:]))

    def likeness(self, product: int, rows: Rows) -> Float64s:
        """The cosine of a product's profile with those of others [rows]."""
        pairs, own = self._pairs, slice(self._pairs.starts[product], self._pairs.starts[product + 1])
        query = np.zeros(len(self._damped), np.float64)
        query[pairs.rows[own]] = self._entries(own)
        first, last = pairs.starts[rows], pairs.starts[rows + 1]
        places = _ranges(first, last)
        found = self._damped[pairs.rows[places]] * pairs.counts[places] * query[pairs.rows[places]]
        ends = np.cumsum(last - first)
        dots = _sums(found, ends - (last - first), ends)
        lengths = self._lengths[rows] * self._lengths[product]
        cosines: Float64s = np.divide(dots, lengths, out=np.zeros(len(rows)), where=lengths > 0)
        return cosines

    def _entries(self, span: slice) -> Float64s:
        entries: Float64s = self._pairs.counts[span] * self._damped[self._pairs.rows[span]]
        return entries


class ProductLikeness:
    """Finds the substitutes of a product of one model."""

    def __init__(
        self,
        catalogue: Catalogue,
        vectors: Float32s,
        pairs: CoPurchases,
        popularity: Float64s,
        weights: LikenessWeights = LikenessWeights(),
    ) -> None:
        """`vectors`: `centred` factors [rows, rank]; `pairs`: the model's order pairs; `popularity` [rows] ≥ 0."""
        self.weights = weights
        self.vectors = vectors
        self.catalogue = CatalogueLikeness(catalogue)
        self._profiles = OrderProfiles(pairs)
        self._sold = np.log1p(popularity) / max(np.log1p(popularity.max(initial=0.0)), 1e-9)

    def substitutes(self, product: int, k: int, allowed: Allowed, shown: Rows = _NO_ROWS) -> Substitutes:
        """The k allowed products most like a row: likeness descending, then row ascending; no two have the same name.

        Products named as one of `shown` are left out. A product that only sells well at a like price is none, and one
        for another need does not take the place of a repeated name: then there are fewer.
        """
        rows, repeated = np.flatnonzero(allowed), False
        if len(shown):
            new = ~np.isin(self.catalogue.distinct_names(rows), self.catalogue.distinct_names(shown))
            rows, repeated = rows[new], not new.all()
        parts = self._parts(product, rows)
        chosen = self._candidates(parts, k)
        found = self._best(product, k, rows[chosen], parts[:, chosen], repeated)
        if len(found.ranked.rows) == k or len(chosen) == len(rows):
            return found
        # The candidates have fewer names than that: compare the best product of each name for this need.
        near = self._is_near(product, rows)
        each = _best_of_each(self.catalogue.distinct_names(rows[near]), parts[:, near].sum(axis=0))
        rows = np.union1d(rows[near][each], found.ranked.rows)
        parts = self._parts(product, rows)
        chosen = self._candidates(parts, k)
        return self._best(product, k, rows[chosen], parts[:, chosen], repeated)

    def _best(self, product: int, k: int, rows: Rows, parts: Float64s, repeated: bool) -> Substitutes:
        """The k best of some candidates, whose parts [parts, rows] have no orders yet."""
        parts[PARTS.index("orders")] = self.weights.orders * self._profiles.likeness(product, rows)
        evident = parts[:_EVIDENCE].sum(axis=0) > 0
        scores = np.where(evident, parts.sum(axis=0), 0.0)
        order = np.argsort(-scores, kind="stable")[: int(evident.sum())]
        best = order[self._has_its_place(product, rows[order], repeated)][:k]
        return Substitutes(Ranked(rows[best], scores[best]), parts[:, best])

    def _has_its_place(self, product: int, rows: Rows, repeated: bool) -> Allowed:
        """Which of these rows, best first, have a name of their own, and are near where a name before was repeated."""
        names = self.catalogue.distinct_names(rows)
        first = np.zeros(len(rows), np.bool_)
        first[np.unique(names, return_index=True)[1]] = True
        behind = np.logical_or.accumulate(~first) | repeated
        placed: Allowed = first & (~behind | self._is_near(product, rows))
        return placed

    def _is_near(self, product: int, rows: Rows) -> Allowed:
        """Products of the same category [rows]; where it is unknown, with a word of the name in common."""
        if self.catalogue.has_category(product):
            return self.catalogue.same_need(product, rows)
        near: Allowed = self.catalogue.name(product, rows) > 0
        return near

    @staticmethod
    def _candidates(parts: Float64s, k: int) -> Int64s:
        """The places of those to compare by their orders: the best by all other parts, and by what makes them alike.

        By all parts alone, popular products would push out those that are alike in part.
        """
        by_all, by_evidence = parts.sum(axis=0), parts[:_EVIDENCE].sum(axis=0)
        return np.union1d(largest(by_all, max(_CANDIDATES, k)), largest_above_zero(by_evidence, _CANDIDATES))

    def _parts(self, product: int, rows: Rows) -> Float64s:
        """The weighted parts [parts, rows], without what is bought with them."""
        weights, facts = self.weights, self.catalogue
        factors = np.maximum(self.vectors @ self.vectors[product], 0.0)[rows].astype(np.float64)
        return np.array(
            [
                weights.category * facts.category(product, rows),
                weights.name * facts.name(product, rows),
                weights.brand * facts.brand(product, rows),
                weights.factors * factors,
                np.zeros(len(rows)),
                weights.price * facts.price(product, rows),
                weights.sold * self._sold[rows],
            ]
        )

    def complements(self, product: int, k: int, allowed: Allowed, pairs: Neighbours) -> Ranked:
        """The k allowed products most bought with a row, those for the same need left out.

        score(j) = n_ij / ((n_i + s)^(1−b) · (n_j + s)^b) with b = ½, the cosine of orders: nearer to 0 it
        is what is in every second basket, nearer to 1 what sells only with i.
        """
        rows, weights = pairs.weights(product, _TOGETHER_SHRINK, _TOGETHER_BALANCE)
        kept = allowed[rows] & (weights > 0) & ~self.catalogue.same_need(product, rows)
        rows, weights = rows[kept], weights[kept]
        best = np.lexsort((rows, -weights))[:k]
        return Ranked(rows[best], weights[best])


def centred(item_factors: Float32s, rows: int) -> Float32s:
    """Factors of length 1, less their mean, of length 1 again; `rows` in all, zeros where there are no factors.

    What all products have in common is popularity; without it a cosine compares what they are bought for (Mu and
    Viswanath, "All-but-the-Top", 2018).
    """
    vectors = np.zeros((rows, item_factors.shape[1]), np.float32)
    known = np.flatnonzero(item_factors.any(axis=1))
    if len(known):
        unit = unit_vectors(item_factors[known])
        vectors[known] = unit_vectors(unit - unit.mean(axis=0, dtype=np.float64).astype(np.float32))
    return vectors


def _best_of_each(names: Int64s, scores: Float64s) -> Int64s:
    """The place of the best of each name, best first; of equal ones the first."""
    order = np.argsort(-scores, kind="stable")
    _, first = np.unique(names[order], return_index=True)
    best: Int64s = order[np.sort(first)]
    return best


def _ranges(first: Rows, last: Rows) -> Rows:
    """All numbers of the ranges first[i] to last[i], one after the other."""
    lengths = last - first
    ends = np.cumsum(lengths)
    numbers: Rows = np.arange(int(lengths.sum())) + np.repeat(first - (ends - lengths), lengths)
    return numbers


def _sums(values: Float64s, first: Rows, last: Rows) -> Float64s:
    """The sum of each range of `values`."""
    total = np.concatenate(([0.0], np.cumsum(values, dtype=np.float64)))
    sums: Float64s = total[last] - total[first]
    return sums
