"""The score of a product for a customer, composed of factors, popularity, co-purchases and categories. NumPy only.

The static terms are one inner product, [customer's vector | weight] · [product's factors | log popularity]. The terms
that follow the stream are added to it, and the exact search of `topk` finds the best of the sum.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.basket_weights import OrderTerm
from recsys.category_affinity import Categories
from recsys.decayed_counts import HOUR_MS, decay_factor
from recsys.fold_in import FoldIn
from recsys.live_state import LiveState
from recsys.purchase_history import History
from recsys.score_weights import ScoreWeights
from recsys.topk import Allowed, Float32s, Float64s, InnerProductIndex, Int64s, Ranked, Rows

MAX_FOLDED_PRODUCTS = 2_000
"""Scores use so many of a customer's newest products: a reseller's 50,000 must not delay everybody's answers."""


@dataclass(frozen=True, slots=True)
class TrainedParts:
    """What training produced. `popularity` [products] ≥ 0; the first `len(item_factors)` products have factors."""

    item_factors: Float32s
    fold_in: FoldIn
    popularity: Float64s
    categories: Categories
    items: InnerProductIndex = field(init=False, repr=False)  # [factors | ln(1 + popularity)] of every product

    def __post_init__(self) -> None:
        index = InnerProductIndex(_with_popularity(self.item_factors, self.popularity))
        object.__setattr__(self, "items", index)


@dataclass(slots=True)
class Customer:
    """A customer, or a basket, as the scorer sees them; valid until the next purchase.

    `contributions` [n, rank]: of each purchase to the vector, computed on first use. `neighbour_terms` belong to the
    answer in progress: computed for its scores, reused for its reasons.
    """

    history: History  # the newest MAX_FOLDED_PRODUCTS products
    counted: Int64s  # places in the history of the purchases that neighbours and categories use, oldest first
    vector: Float32s  # [rank], folded in; zeros for an unknown user, or where factors are unused
    contributions: Float32s | None = None
    neighbour_terms: "tuple[SharedScores, _NeighbourTerms] | None" = None


class _NeighbourTerms(NamedTuple):
    """What purchases, by their places in the history, add to the scores of their neighbours [n each].

    A pair may occur twice, with two summands.
    """

    places: NDArray[np.int64]
    products: NDArray[np.int64]
    added: Float64s


@dataclass(frozen=True, slots=True)
class SharedScores:
    """The terms that all customers share at `now_ms`."""

    now_ms: int
    scores: Float64s  # [products], the live term
    shares: Float64s  # [products], within their categories
    on_sale: Allowed  # [products], not to be written to


@dataclass(frozen=True, slots=True)
class Explanation:
    """The terms of the scores of some products [n].

    A score is the sum of the first six. `purchases` [n, p], the contribution of each purchase, sums to factors +
    neighbours + categories + repeats; `together` [n, p] sums to neighbours.
    """

    factors: Float64s
    popularity: Float64s
    live: Float64s
    neighbours: Float64s
    categories: Float64s
    repeats: Float64s
    purchases: Float64s
    together: Float64s

    @property
    def personal(self) -> Float64s:
        """The terms that come from the customer's purchases [n]."""
        return self.factors + self.neighbours + self.categories + self.repeats

    @property
    def popular(self) -> Float64s:
        """The terms that are the same for everybody [n]."""
        return self.popularity + self.live

    @property
    def scores(self) -> Float64s:
        """The scores [n]."""
        return self.personal + self.popular


class ComposedScorer:
    """Scores by one model and its weights; histories and live state are passed in."""

    def __init__(self, trained: TrainedParts, weights: ScoreWeights, orders: OrderTerm | None = None) -> None:
        """`orders`: the term of baskets, which adds to the neighbours."""
        self.weights = weights
        self._orders = orders if orders is not None and orders.weight else None
        self._fold_in = trained.fold_in
        self._categories = trained.categories
        self._scored, self._rank = trained.item_factors.shape
        self._items = trained.items

    @property
    def uses_orders(self) -> bool:
        """Whether products of the same orders are a term."""
        return self._orders is not None

    @property
    def categories(self) -> Categories:
        """The category of each product; new products are assigned theirs."""
        return self._categories

    def customer(self, history: History) -> Customer:
        """A customer with this history (empty: an unknown user)."""
        history = history.newest(MAX_FOLDED_PRODUCTS)
        counted = np.argsort(history.event_time_ms, kind="stable")[-self.weights.purchases :]
        return Customer(history, counted, self._vector(history))

    def shared_scores(self, live: LiveState, now_ms: int) -> SharedScores:
        """The terms that are the same for everybody at `now_ms`."""
        counts = np.zeros(len(self._items))
        for term in self.weights.trends:
            counts += term.weight * live.trend(term.half_life_h * HOUR_MS, now_ms)
        scores = self.weights.live * np.log1p(counts)
        for term in self.weights.baseline_trends:
            scores -= term.weight * np.log1p(live.trend(term.half_life_h * HOUR_MS, now_ms))
        # The shares take time: computed only where categories have a weight.
        shares = self._categories.shares(counts) if self.weights.categories else np.zeros(len(counts))
        on_sale = live.on_sale(now_ms, self.weights.sold_within_days)
        return SharedScores(now_ms, scores, shares, on_sale)

    def masks_bought(self, asked: bool | None) -> bool:
        """Whether bought products are left out: as one request asks, else as the weights say."""
        return self.weights.mask_bought if asked is None else asked

    def allowed(
        self, history: History, shared: SharedScores, passing: Allowed | None = None, mask_bought: bool | None = None
    ) -> Allowed:
        """A new mask [products]: sold lately, within `passing`, and not bought by the customer where that is masked.

        `mask_bought` overrides the weights for one request.
        """
        mask = shared.on_sale.copy() if passing is None else shared.on_sale & passing
        if self.masks_bought(mask_bought):
            mask[history.rows] = False
        return mask

    def top_k_each(
        self, customers: Sequence[Customer], live: LiveState, shared: SharedScores, k: int, allowed: Sequence[Allowed]
    ) -> Iterator[Ranked]:
        """The k best of the allowed products for each customer."""
        queries = np.empty((len(customers), self._rank + 1), np.float32)
        for query, customer in zip(queries, customers, strict=True):
            query[:] = self._query(customer, shared.now_ms)
        added = [self._added(customer, live, shared) for customer in customers]
        return self._items.top_k_each(queries, k, allowed, added)

    def explain(self, customer: Customer, live: LiveState, shared: SharedScores, rows: Rows) -> Explanation:
        """The terms of the scores of `rows` [n], and what each purchase of the history contributes to them."""
        history, recency = customer.history, self._recency(customer, shared.now_ms)
        query = self._query(customer, shared.now_ms)
        user_query = query.copy()
        user_query[-1] = 0
        neighbours = self._together(self._take_neighbour_terms(customer, recency, live, shared), len(history), rows)
        counted = customer.counted
        categories = np.zeros((len(history), len(rows)))
        categories[counted] = (
            self._category_affinity(customer, recency)[:, self._categories.of[rows]] * shared.shares[rows]
        )
        repeats = (history.rows[:, np.newaxis] == rows) * self._repeats(history, recency)[:, np.newaxis]
        return Explanation(
            factors=self._items.scores(user_query, rows),
            popularity=self._items.scores(query - user_query, rows),
            live=shared.scores[rows],
            neighbours=neighbours.sum(axis=0),
            categories=categories.sum(axis=0),
            repeats=repeats.sum(axis=0),
            purchases=self._factors(customer, rows, shared.now_ms) + (neighbours + categories + repeats).T,
            together=neighbours.T,
        )

    def _vector(self, history: History) -> Float32s:
        trained = history.rows < self._scored
        if not self.weights.factors or not trained.any():
            return np.zeros(self._rank, np.float32)
        return self._fold_in.vector(history.rows[trained], history.quantity[trained])

    def _query(self, customer: Customer, now_ms: int) -> Float32s:
        """[weight of factors · the customer's vector | weight of popularity], in the columns of the index."""
        query = np.empty(self._rank + 1, np.float32)
        query[:-1] = self._factor_weight(customer, now_ms) * customer.vector
        query[-1] = self.weights.popularity
        return query

    def _factor_weight(self, customer: Customer, now_ms: int) -> float:
        """The weight of the factors, by the time since the newest purchase."""
        if not self.weights.factor_decay or not len(customer.counted):
            return self.weights.factors
        age_ms = np.float64(max(now_ms - int(customer.history.event_time_ms[customer.counted[-1]]), 0))
        decay = sum(term.weight * 2.0 ** (-age_ms / (term.half_life_h * HOUR_MS)) for term in self.weights.factor_decay)
        return float(self.weights.factors * decay)

    def _factors(self, customer: Customer, rows: Rows, now_ms: int) -> Float64s:
        """What each purchase contributes to the inner products of `rows`: [rows, purchases]."""
        if not self.weights.factors or not len(customer.history):
            return np.zeros((len(rows), len(customer.history)))
        if customer.contributions is None:
            customer.contributions = self._contributions(customer.history)
        factors = self._items.vectors[rows, :-1].astype(np.float64)
        return self._factor_weight(customer, now_ms) * (factors @ customer.contributions.T)

    def _contributions(self, history: History) -> Float32s:
        contributions, trained = np.zeros((len(history), self._rank), np.float32), history.rows < self._scored
        if trained.any():
            contributions[trained] = self._fold_in.contributions(history.rows[trained], history.quantity[trained])
        return contributions

    def _added(self, customer: Customer, live: LiveState, shared: SharedScores) -> Float64s:
        """The terms of the scores [products] that are not in the inner product; not to be written to."""
        history = customer.history
        if not len(history):
            return shared.scores
        recency = self._recency(customer, shared.now_ms)
        terms = self._neighbour_terms(customer, recency, live)
        customer.neighbour_terms = shared, terms
        added = shared.scores + np.bincount(terms.products, terms.added, minlength=len(shared.scores))
        added[history.rows] += self._repeats(history, recency)
        if self.weights.categories:
            # Products without a category (-1) find the additional column of zeros.
            added += self._category_affinity(customer, recency).sum(axis=0)[self._categories.of] * shared.shares
        return added

    def _recency(self, customer: Customer, now_ms: int) -> Float64s:
        """The recency weight of each purchase of the history; 0 beyond the newest `purchases`."""
        recency, counted = np.zeros(len(customer.history)), customer.counted
        age_ms = np.maximum(now_ms - customer.history.event_time_ms[counted], 0)
        for term in self.weights.recency:
            recency[counted] += term.weight * decay_factor(age_ms, term.half_life_h * HOUR_MS)
        return recency

    def _neighbour_terms(self, customer: Customer, recency: Float64s, live: LiveState) -> _NeighbourTerms:
        """Of the purchases that have a weight, and of the orders of a basket."""
        given = self.weights
        places = np.flatnonzero(recency if given.neighbours else np.empty(0))
        pairs = live.neighbours.weights_each(customer.history.rows[places], given.shrink, given.balance)
        owners = places[pairs.places]
        terms = _NeighbourTerms(owners, pairs.neighbours, given.neighbours * recency[owners] * pairs.weights)
        return terms if self._orders is None else _joined(terms, self._order_terms(self._orders, customer, live))

    def _order_terms(self, given: OrderTerm, customer: Customer, live: LiveState) -> _NeighbourTerms:
        """Of the counted products of a basket."""
        places = customer.counted
        pairs = live.order_pairs.weights_each(customer.history.rows[places], given.shrink, given.balance)
        return _NeighbourTerms(places[pairs.places], pairs.neighbours, given.weight * pairs.weights)

    def _take_neighbour_terms(
        self, customer: Customer, recency: Float64s, live: LiveState, shared: SharedScores
    ) -> _NeighbourTerms:
        """Those of the scores of this answer; not kept any longer."""
        kept, customer.neighbour_terms = customer.neighbour_terms, None
        return kept[1] if kept is not None and kept[0] is shared else self._neighbour_terms(customer, recency, live)

    def _together(self, terms: _NeighbourTerms, purchases: int, rows: Rows) -> Float64s:
        """What each purchase contributes to the scores of some products through neighbours: [purchases, rows]."""
        together, column_of = np.zeros((purchases, len(rows))), np.full(len(self._items), -1)
        column_of[rows] = np.arange(len(rows))
        columns = column_of[terms.products]
        shown = columns >= 0
        np.add.at(together, (terms.places[shown], columns[shown]), terms.added[shown])
        return together

    def _repeats(self, history: History, recency: Float64s) -> Float64s:
        """What each purchase contributes to the score of its own product."""
        return self.weights.repeats * recency * np.log1p(history.quantity)

    def _category_affinity(self, customer: Customer, recency: Float64s) -> Float64s:
        """What each counted purchase adds per share of a category: [counted, categories + 1], the last for none."""
        counted = customer.counted
        affinity = self._categories.user_affinity(customer.history.rows[counted], recency[counted])
        return np.column_stack((self.weights.categories * affinity, np.zeros(len(counted))))


def _joined(one: _NeighbourTerms, other: _NeighbourTerms) -> _NeighbourTerms:
    return _NeighbourTerms(*(np.concatenate(columns) for columns in zip(one, other, strict=True)))


def _with_popularity(item_factors: Float32s, popularity: Float64s) -> Float32s:
    """[factors | ln(1 + popularity)] of every product; products without factors have zeros."""
    items = np.zeros((len(popularity), item_factors.shape[1] + 1), np.float32)
    items[: len(item_factors), :-1] = item_factors
    items[:, -1] = np.log1p(popularity)
    return items
