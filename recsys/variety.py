"""Variety of an answer: the best products are re-ranked so that they differ. NumPy only.

Maximal marginal relevance (Carbonell and Goldstein, "The Use of MMR", 1998): one place after the other gets the product
with the highest (1 − weight) · relevance − weight · likeness to the most alike product already placed. It works on
more products than are asked for, the exact best of a search, and changes no score.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.catalogue import Catalogue, Labels
from recsys.topk import Float32s, Float64s, Ranked, Rows

PLACES = 10
"""Places that are re-ranked. Those behind them are in order of score."""
POOL = 40
"""Products that are re-ranked at first. It does not depend on k, so that three products are the first of ten."""
MORE = 8
"""A pool without enough different products is enlarged by this factor."""
MOST = 2_560
"""A pool of so many is not enlarged: a filter whose products are all alike must not cost a search of all of them."""
_NEAR_DUPLICATE = 0.98  # cosine of factors


@dataclass(frozen=True, slots=True)
class Variety:
    """How different the products of an answer are.

    `weight`: of likeness against relevance, 0 to 1. `same_brand`, `same_category`: at most so many products of one;
    0: any number. With `alike`, no two products are of the same name and category, or of the same category with nearly
    the same factors. Products whose brand or category is unknown are not limited by it.
    """

    weight: float = 0.0
    same_brand: int = 0
    same_category: int = 0
    alike: bool = True

    @property
    def is_on(self) -> bool:
        """Whether there is anything to do."""
        return self.alike or self.weight > 0 or self.same_brand > 0 or self.same_category > 0


NONE = Variety(alike=False)
"""The best products in order of score."""


@dataclass(frozen=True, slots=True)
class Varied:
    """The places, and how many of them had to break a rule since no other product was left."""

    ranked: Ranked
    broken: int


class VarietyRanker:
    """Re-ranks products of one model."""

    def __init__(self, catalogue: Catalogue, vectors: Float32s) -> None:
        """`vectors`: factors of length 1 [rows, rank], zeros where there are none."""
        self._catalogue = catalogue
        self._vectors = vectors

    def varied(self, pool: Ranked, k: int, wanted: Variety) -> Varied:
        """The k best places from a pool that is in order of score; all of it where it has no more."""
        places = min(k, PLACES, len(pool.rows))
        choice = _Choice(self._catalogue, self._vectors, pool, wanted)
        chosen = [choice.next_place() for _ in range(places)]
        rest = choice.remaining()[: k - places]
        order = np.concatenate((np.array(chosen, np.int64), rest))
        return Varied(Ranked(pool.rows[order], pool.scores[order]), choice.broken)


class _Choice:
    """Which products of a pool [n] are taken so far."""

    def __init__(self, catalogue: Catalogue, vectors: Float32s, pool: Ranked, wanted: Variety) -> None:
        rows = pool.rows
        self._wanted = wanted
        self._vectors = vectors[rows]
        self._names, self._names_known = _column(catalogue.names, rows)
        self._categories, self._categories_known = _column(catalogue.categories, rows)
        self._brands, self._brands_known = _column(catalogue.brands, rows)
        self._merit = (1 - wanted.weight) * _relevance(pool.scores)
        self._likeness = np.zeros(len(rows))
        self._taken = np.zeros(len(rows), np.bool_)
        self._against_rules = np.zeros(len(rows), np.bool_)
        self.broken = 0

    def next_place(self) -> int:
        """Take the best product that keeps the rules; where none is left, the best of the others."""
        left = ~(self._taken | self._against_rules)
        if not left.any():
            self.broken += 1
            left = ~self._taken
        merit = self._merit - self._wanted.weight * self._likeness
        place = int(np.where(left, merit, -np.inf).argmax())
        self._take(place)
        return place

    def remaining(self) -> Rows:
        """The places of the others, in order of score."""
        return np.flatnonzero(~self._taken)

    def _take(self, place: int) -> None:
        wanted = self._wanted
        self._taken[place] = True
        same_category = self._same(self._categories, self._categories_known, place)
        cosine = self._vectors @ self._vectors[place]
        if wanted.weight:
            np.maximum(self._likeness, (np.maximum(cosine, 0.0) + same_category) / 2, out=self._likeness)
        if wanted.alike:
            same_name = self._same(self._names, self._names_known, place)
            self._against_rules |= same_category & (same_name | (cosine >= _NEAR_DUPLICATE))
        if wanted.same_category and np.count_nonzero(same_category & self._taken) >= wanted.same_category:
            self._against_rules |= same_category
        if wanted.same_brand:
            same_brand = self._same(self._brands, self._brands_known, place)
            if np.count_nonzero(same_brand & self._taken) >= wanted.same_brand:
                self._against_rules |= same_brand

    def _same(self, codes: NDArray[np.int32], known: NDArray[np.bool_], place: int) -> NDArray[np.bool_]:
        """Which products have the same text as one, if it is known."""
        same: NDArray[np.bool_] = (codes == codes[place]) & known[place]
        return same


def _column(labels: Labels, rows: Rows) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    codes = labels.codes[rows]
    return codes, codes != labels.unknown


def _relevance(scores: Float64s) -> Float64s:
    """1 for the best score and 0 for the last of the first POOL; below it beyond them."""
    if not len(scores):
        return scores
    lowest = scores[min(POOL, len(scores)) - 1]
    spread = float(scores[0] - lowest)
    relevance: Float64s = (scores - lowest) / spread if spread > 0 else np.zeros(len(scores))
    return relevance
