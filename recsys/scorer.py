"""The score of a product for a customer, composed of factors, popularity, co-purchases and categories. NumPy only.

The customer's vector · the product's factors is one inner product. The other terms are added to it, and the exact
search of `blocked_index` finds the best of the sum: few products have a term of neighbours or repeats, and the largest
shared term of a block of products is computed once for all customers.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.basket_weights import OrderTerm
from recsys.blocked_index import Added, BlockedIndex
from recsys.category_affinity import Categories
from recsys.decayed_counts import HOUR_MS, decay_factor
from recsys.fold_in import FoldIn
from recsys.live_state import LiveState
from recsys.purchase_history import History
from recsys.score_weights import ScoreWeights
from recsys.topk import Allowed, Float32s, Float64s, Int64s, Ranked, Rows

MAX_FOLDED_PRODUCTS = 2_000
"""Scores use so many of a customer's newest products: a reseller's 50,000 must not delay everybody's answers."""


@dataclass(frozen=True, slots=True)
class TrainedParts:
    """What training produced. `popularity` [products] ≥ 0; the first `len(item_factors)` products have factors."""

    item_factors: Float32s
    fold_in: FoldIn
    popularity: Float64s
    categories: Categories
    items: BlockedIndex = field(init=False, repr=False)  # factors of every product; zeros where there are none

    def __post_init__(self) -> None:
        more = len(self.popularity) - len(self.item_factors)
        object.__setattr__(self, "items", BlockedIndex(np.pad(self.item_factors, ((0, more), (0, 0)))))


@dataclass(slots=True)
class Customer:
    """A customer, or a basket, as the scorer sees them; valid until the next purchase.

    `terms` belong to the answer in progress: computed for its scores, reused for its reasons.
    """

    history: History  # the newest MAX_FOLDED_PRODUCTS products
    counted: Int64s  # places in the history of the purchases that neighbours and categories use, oldest first
    vector: Float32s  # [rank], folded in; zeros for an unknown user, or where factors are unused
    terms: "tuple[SharedScores, _PersonalTerms] | None" = None


class _NeighbourTerms(NamedTuple):
    """What purchases, by their places in the history, add to the scores of their neighbours [n each].

    A pair may occur twice, with two summands.
    """

    places: NDArray[np.int64]
    products: NDArray[np.int64]
    added: Float64s

    def largest(self, product: int) -> int:
        """The place of the purchase that adds most to a product, which has at least one of them."""
        own = np.flatnonzero(self.products == product)
        return int(np.bincount(self.places[own], self.added[own]).argmax())


@dataclass(frozen=True, slots=True)
class _PersonalTerms:
    """What the purchases of a customer add to scores, except for the factors."""

    neighbours_of: _NeighbourTerms
    neighbours: Float64s  # [products], their sums
    repeats: Float64s  # [purchases], of each purchase to its own product
    affinity: Float64s  # [categories + 1], of each share of a category; the last for none


@dataclass(frozen=True, slots=True)
class SharedScores:
    """The terms that all customers share at `now_ms`."""

    now_ms: int
    scores: Float64s  # [products], the sum of the terms of popularity and of the stream
    shares: Float64s  # [products], within their categories
    on_sale: Allowed  # [products], not to be written to
    score_bounds: Float64s  # [blocks of the index], of the scores
    share_bounds: Float64s  # [blocks of the index], of the shares' absolute values


@dataclass(frozen=True, slots=True)
class Explanation:
    """The terms of the scores of some products [n]; a score is their sum."""

    factors: Float64s
    popular: Float64s  # the same for everybody
    neighbours: Float64s
    categories: Float64s
    repeats: Float64s
    bought_together: Callable[[int], int]
    """A product with neighbours → the place in the history of the purchase that adds most to it."""

    @property
    def personal(self) -> Float64s:
        """The terms that come from the customer's purchases [n]."""
        return self.factors + self.neighbours + self.categories + self.repeats

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
        self._popularity = weights.popularity * np.log1p(trained.popularity)
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
        weights, counts, scores = self.weights, np.zeros(len(self._items)), self._popularity.copy()
        for term in weights.trends if weights.live or weights.categories else ():
            counts += term.weight * live.trend(term.half_life_h * HOUR_MS, now_ms)
        if weights.live:
            scores += weights.live * np.log1p(counts)
        for term in weights.baseline_trends:
            scores -= term.weight * np.log1p(live.trend(term.half_life_h * HOUR_MS, now_ms))
        # The shares take time: computed only where categories have a weight.
        shares = self._categories.shares(counts) if weights.categories else np.zeros(len(counts))
        on_sale = live.on_sale(now_ms, weights.sold_within_days)
        bounds = self._items.bounds(scores), self._items.bounds(np.abs(shares))
        return SharedScores(now_ms, scores, shares, on_sale, *bounds)

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
        for customer, mask in zip(customers, allowed, strict=True):
            query, added = self._query(customer, shared.now_ms), self._added(customer, live, shared)
            yield self._items.top_k(query, k, mask, added)

    def explain(self, customer: Customer, live: LiveState, shared: SharedScores, rows: Rows) -> Explanation:
        """The terms of the scores of `rows` [n]."""
        terms, history = self._take_terms(customer, live, shared), customer.history
        return Explanation(
            factors=self._items.scores(self._query(customer, shared.now_ms), rows),
            popular=shared.scores[rows],
            neighbours=terms.neighbours[rows],
            categories=terms.affinity[self._categories.of[rows]] * shared.shares[rows],
            repeats=terms.repeats @ (history.rows[:, np.newaxis] == rows),
            bought_together=terms.neighbours_of.largest,
        )

    def _vector(self, history: History) -> Float32s:
        trained = history.rows < self._scored
        if not self.weights.factors or not trained.any():
            return np.zeros(self._rank, np.float32)
        return self._fold_in.vector(history.rows[trained], history.quantity[trained])

    def _query(self, customer: Customer, now_ms: int) -> Float32s:
        """The customer's vector by the weight of the factors."""
        return np.float32(self._factor_weight(customer, now_ms)) * customer.vector

    def _factor_weight(self, customer: Customer, now_ms: int) -> float:
        """The weight of the factors, by the time since the newest purchase."""
        age_ms = self._away_ms(customer, now_ms)
        if age_ms > self.weights.personal_ms:
            return 0.0
        if not self.weights.factor_decay or not len(customer.counted):
            return self.weights.factors
        decay = sum(term.weight * 2.0 ** (-age_ms / (term.half_life_h * HOUR_MS)) for term in self.weights.factor_decay)
        return float(self.weights.factors * decay)

    def _away_ms(self, customer: Customer, now_ms: int) -> np.float64:
        """The age of the newest purchase; 0 without any."""
        newest = int(customer.history.event_time_ms[customer.counted[-1]]) if len(customer.counted) else now_ms
        return np.float64(max(now_ms - newest, 0))

    def _added(self, customer: Customer, live: LiveState, shared: SharedScores) -> Added:
        """The terms that are not in the inner product."""
        history = customer.history
        if not len(history):
            return Added(shared.scores.take, shared.score_bounds, history.rows)
        terms = self._personal_terms(customer, live, shared.now_ms)
        customer.terms = shared, terms
        personal = terms.neighbours
        if self.weights.repeats:
            personal = personal.copy()
            personal[history.rows] += terms.repeats
        affinity, of, categories = terms.affinity, self._categories.of, bool(self.weights.categories)

        def added(rows: Rows) -> Float64s:
            scores = shared.scores.take(rows) + personal.take(rows)
            return scores + affinity[of.take(rows)] * shared.shares.take(rows) if categories else scores

        bounds = shared.score_bounds + np.abs(affinity).max() * shared.share_bounds
        return Added(added, bounds, np.flatnonzero(personal != 0))

    def _personal_terms(self, customer: Customer, live: LiveState, now_ms: int) -> _PersonalTerms:
        recency = self._recency(customer, now_ms)
        close = recency if self._away_ms(customer, now_ms) <= self.weights.personal_ms else np.zeros(len(recency))
        terms = self._neighbour_terms(customer, close, live)
        sums = np.bincount(terms.products, terms.added, minlength=len(self._items))
        return _PersonalTerms(
            terms,
            sums.astype(np.float64, copy=False),  # without terms they are integers
            self._repeats(customer.history, recency),
            self._category_affinity(customer, close),
        )

    def _take_terms(self, customer: Customer, live: LiveState, shared: SharedScores) -> _PersonalTerms:
        """Those of the scores of this answer; not kept any longer."""
        kept, customer.terms = customer.terms, None
        return (
            kept[1] if kept is not None and kept[0] is shared else self._personal_terms(customer, live, shared.now_ms)
        )

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

    def _repeats(self, history: History, recency: Float64s) -> Float64s:
        """What each purchase contributes to the score of its own product."""
        return self.weights.repeats * recency * np.log1p(history.quantity)

    def _category_affinity(self, customer: Customer, recency: Float64s) -> Float64s:
        """What the counted purchases add per share of a category: [categories + 1], the last for none."""
        affinity = np.zeros(len(self._categories.affinity) + 1)
        if self.weights.categories:
            counted = customer.counted
            sums = self._categories.user_affinity(customer.history.rows[counted], recency[counted])
            affinity[:-1] = self.weights.categories * sums
        return affinity


def _joined(one: _NeighbourTerms, other: _NeighbourTerms) -> _NeighbourTerms:
    return _NeighbourTerms(*(np.concatenate(columns) for columns in zip(one, other, strict=True)))
