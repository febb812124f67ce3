"""One score from everything that is known: factors, popularity, co-purchases, categories. NumPy only.

The model's part is one inner product, [customer's vector | weight] · [product's factors | log popularity]; what follows
the stream is added to it, and the exact search of `scoring` finds the best of the sum.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from services.recommender.categories import Categories
from services.recommender.composition import Composition
from services.recommender.decay import HOUR_MS, halvings
from services.recommender.foldin import FoldIn
from services.recommender.history import History
from services.recommender.live import LiveState
from services.recommender.scoring import Allowed, Float32s, Float64s, InnerProductIndex, Ranked, Rows


@dataclass(frozen=True, slots=True)
class Knowledge:
    """A model's part; `popularity` [products] is 0 or more, the first `len(item_factors)` products have factors."""

    item_factors: Float32s
    fold_in: FoldIn
    popularity: Float64s
    categories: Categories
    items: InnerProductIndex = field(init=False, repr=False)  # [factors | ln(1 + popularity)] of every product

    def __post_init__(self) -> None:
        index = InnerProductIndex(_with_popularity(self.item_factors, self.popularity))
        object.__setattr__(self, "items", index)


@dataclass(frozen=True, slots=True)
class Popular:
    """What all customers share at one moment: the live part of the scores, and shares within categories [products]."""

    scores: Float64s
    shares: Float64s


@dataclass(frozen=True, slots=True)
class Explanation:
    """The parts of the scores of some products [n]. A score is the sum of its six parts; what the purchases [n, p]
    contribute sums to factors + neighbours + categories + repeats."""

    factors: Float64s
    popularity: Float64s
    live: Float64s
    neighbours: Float64s
    categories: Float64s
    repeats: Float64s
    purchases: Float64s

    @property
    def scores(self) -> Float64s:
        """The scores [n]."""
        return self.factors + self.popularity + self.live + self.neighbours + self.categories + self.repeats


class ComposedScorer:
    """Answers from one model and a composition; what changes with every purchase is passed in."""

    def __init__(self, knowledge: Knowledge, composition: Composition) -> None:
        self.composition = composition
        self._fold_in = knowledge.fold_in
        self._categories = knowledge.categories
        self._scored, self._rank = knowledge.item_factors.shape
        self._items = knowledge.items

    def allowed(
        self,
        history: History,
        live: LiveState,
        now_ms: int,
        passing: Allowed | None = None,
        mask_bought: bool | None = None,
    ) -> Allowed:
        """A fresh mask [products]: sold lately, within `passing`, and not held by the customer where that is masked.

        `mask_bought` overrides the shop's setting for one request.
        """
        mask = live.on_sale(now_ms, self.composition.sold_within_days)
        if passing is not None:
            mask &= passing
        if self.composition.mask_bought if mask_bought is None else mask_bought:
            mask[history.rows] = False
        return mask

    def vector(self, history: History) -> Float32s:
        """The customer's factors [rank], folded in from the history; zeros for a stranger, or where factors are unused.

        They change only with the customer's purchases, so they can be kept until the next one and passed in.
        """
        trained = history.rows < self._scored
        if not self.composition.factors or not trained.any():
            return np.zeros(self._rank, np.float32)
        return self._fold_in.vector(history.rows[trained], history.pieces[trained])

    def popular(self, live: LiveState, now_ms: int) -> Popular:
        """What every answer at `now_ms` has in common; it can be kept for a moment and passed in."""
        counts = np.zeros(len(self._items))
        for part in self.composition.trends:
            counts += part.weight * live.trend(part.half_life_h * HOUR_MS, now_ms)
        scores = self.composition.live * np.log1p(counts)
        for part in self.composition.steady:
            scores -= part.weight * np.log1p(live.trend(part.half_life_h * HOUR_MS, now_ms))
        # Only where categories weigh anything are the shares worth their time.
        shares = self._categories.shares(counts) if self.composition.categories else np.zeros(len(counts))
        return Popular(scores, shares)

    def top_k(
        self,
        history: History,
        live: LiveState,
        now_ms: int,
        k: int,
        allowed: Allowed,
        *,
        vector: Float32s | None = None,
        popular: Popular | None = None,
    ) -> Ranked:
        """The k best of the allowed products for a customer who holds `history` (nothing: a stranger) at `now_ms`.

        `vector` and `popular` spare their computation.
        """
        vectors = None if vector is None else [vector]
        return next(self.top_k_each([history], live, now_ms, k, [allowed], vectors=vectors, popular=popular))

    def top_k_each(
        self,
        histories: Sequence[History],
        live: LiveState,
        now_ms: int,
        k: int,
        allowed: Sequence[Allowed],
        *,
        vectors: Sequence[Float32s] | None = None,
        popular: Popular | None = None,
    ) -> Iterator[Ranked]:
        """`top_k` of each customer."""
        popular = self.popular(live, now_ms) if popular is None else popular
        vectors = [self.vector(history) for history in histories] if vectors is None else vectors
        queries = [self._query(*known, now_ms) for known in zip(histories, vectors, strict=True)]
        added = [self._added(history, live, now_ms, popular) for history in histories]
        return self._items.top_k_each(np.array(queries, np.float32).reshape(-1, self._rank + 1), k, allowed, added)

    def explain(
        self,
        history: History,
        live: LiveState,
        now_ms: int,
        rows: Rows,
        *,
        vector: Float32s | None = None,
        popular: Popular | None = None,
    ) -> Explanation:
        """Of what the scores of `rows` [n] are made, and what each purchase of the history contributes to them."""
        popular = self.popular(live, now_ms) if popular is None else popular
        query = self._query(history, self.vector(history) if vector is None else vector, now_ms)
        taste, weights = query.copy(), self._recency(history, now_ms)
        taste[-1] = 0
        neighbours = np.zeros((len(history), len(rows)))
        for place, products, ties in self._ties(history, weights, live):
            neighbours[place] = self._spread(products, ties)[rows]
        categories = self._leanings(history, weights)[:, self._categories.of[rows]] * popular.shares[rows]
        repeats = (history.rows[:, np.newaxis] == rows) * self._repeats(history, weights)[:, np.newaxis]
        return Explanation(
            factors=self._items.scores(taste, rows),
            popularity=self._items.scores(query - taste, rows),
            live=popular.scores[rows],
            neighbours=neighbours.sum(axis=0),
            categories=categories.sum(axis=0),
            repeats=repeats.sum(axis=0),
            purchases=self._factors(history, rows, now_ms) + (neighbours + categories + repeats).T,
        )

    def _query(self, history: History, vector: Float32s, now_ms: int) -> Float32s:
        """[weight of factors · the customer's vector | weight of popularity], as the index has its columns."""
        query = np.empty(self._rank + 1, np.float32)
        query[:-1] = self._trust(history, now_ms) * vector
        query[-1] = self.composition.popularity
        return query

    def _trust(self, history: History, now_ms: int) -> float:
        """The weight of the factors, by the time since the newest purchase."""
        if not self.composition.fade or not len(history):
            return self.composition.factors
        age_ms = np.float64(max(now_ms - int(history.at_ms.max()), 0))
        fading = sum(part.weight * 2.0 ** (-age_ms / (part.half_life_h * HOUR_MS)) for part in self.composition.fade)
        return float(self.composition.factors * fading)

    def _factors(self, history: History, rows: Rows, now_ms: int) -> Float64s:
        """What each purchase adds to the inner products of `rows`: [rows, purchases]."""
        added, trained, known = np.zeros((len(rows), len(history))), history.rows < self._scored, rows < self._scored
        if self.composition.factors and trained.any() and known.any():
            parts = self._fold_in.contributions(history.rows[trained], history.pieces[trained], rows[known])
            added[np.ix_(known, trained)] = self._trust(history, now_ms) * parts
        return added

    def _added(self, history: History, live: LiveState, now_ms: int, popular: Popular) -> Float64s:
        """The part of the scores [products] beside the inner product."""
        added = popular.scores.copy()
        weights = self._recency(history, now_ms)
        for _, products, ties in self._ties(history, weights, live):
            added[products] += ties
        added[history.rows] += self._repeats(history, weights)
        if self.composition.categories and len(history):
            # The one column more, of zeros, is what products without a category (-1) find.
            added += self._leanings(history, weights).sum(axis=0)[self._categories.of] * popular.shares
        return added

    def _recency(self, history: History, now_ms: int) -> Float64s:
        """How much each purchase of the history counts: nothing beyond the newest `purchases`."""
        weights = np.zeros(len(history))
        newest = np.argsort(history.at_ms, kind="stable")[-self.composition.purchases :]
        age_ms = np.maximum(now_ms - history.at_ms[newest], 0)
        for part in self.composition.recency:
            weights[newest] += part.weight * halvings(age_ms, part.half_life_h * HOUR_MS)
        return weights

    def _ties(
        self, history: History, weights: Float64s, live: LiveState
    ) -> Iterator[tuple[int, NDArray[np.int64], Float64s]]:
        """For each purchase that counts: its place in the history, its neighbours, what it adds to their scores."""
        shape = self.composition
        for place in np.flatnonzero(weights).tolist() if shape.neighbours else ():
            products, ties = live.neighbours.weights(int(history.rows[place]), shape.shrink, shape.balance)
            yield place, products, shape.neighbours * weights[place] * ties

    def _repeats(self, history: History, weights: Float64s) -> Float64s:
        """What each purchase adds to the score of its own product."""
        return self.composition.repeats * weights * np.log1p(history.pieces)

    def _leanings(self, history: History, weights: Float64s) -> Float64s:
        """What each purchase adds per share of a category: [purchases, categories + 1], the last for none."""
        leanings = self.composition.categories * self._categories.leanings(history.rows, weights)
        return np.column_stack((leanings, np.zeros(len(history))))

    def _spread(self, products: NDArray[np.int64], values: Float64s) -> Float64s:
        spread = np.zeros(len(self._items))
        spread[products] = values
        return spread


def _with_popularity(item_factors: Float32s, popularity: Float64s) -> Float32s:
    """[factors | ln(1 + popularity)] of every product; products without factors have zeros."""
    items = np.zeros((len(popularity), item_factors.shape[1] + 1), np.float32)
    items[: len(item_factors), :-1] = item_factors
    items[:, -1] = np.log1p(popularity)
    return items
