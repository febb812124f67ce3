"""One score from everything that is known: factors, popularity, co-purchases, categories. NumPy only.

The model's part is one inner product, [customer's vector | weight] · [product's factors | log popularity]; what follows
the stream is added to it, and the exact search of `scoring` finds the best of the sum.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.category_affinity import Categories
from recsys.decayed_counts import HOUR_MS, halvings
from recsys.fold_in import FoldIn
from recsys.live_state import LiveState
from recsys.purchase_history import History
from recsys.score_weights import Composition
from recsys.topk import Allowed, Float32s, Float64s, InnerProductIndex, Int64s, Ranked, Rows

FOLDED = 2_000
"""A customer's newest products that scores look at: a reseller's 50,000 must not hold up everybody's answers."""


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


@dataclass(slots=True)
class Customer:
    """A customer, or a basket, as the scorer sees them: true until the next purchase.

    `parts` [n, rank] is what each purchase brought into the vector; made when it is first asked for. `ties` belong to
    the answer under way: made for its scores, and taken by its reasons.
    """

    history: History  # the newest FOLDED products
    counted: Int64s  # places in the history, of the purchases that neighbours and categories look to, oldest first
    vector: Float32s  # [rank], folded in; zeros for a stranger, or where factors are unused
    parts: Float32s | None = None
    ties: "tuple[Moment, _Ties] | None" = None


class _Ties(NamedTuple):
    """What purchases, by their places in the history, add to the scores of their neighbours [n each]. The same pair may
    be there twice, with two parts of its sum."""

    places: NDArray[np.int64]
    products: NDArray[np.int64]
    added: Float64s


@dataclass(frozen=True, slots=True)
class Moment:
    """What all customers share at one moment."""

    now_ms: int
    scores: Float64s  # [products], the live part
    shares: Float64s  # [products], within their categories
    on_sale: Allowed  # [products], not to be written to


@dataclass(frozen=True, slots=True)
class Explanation:
    """The parts of the scores of some products [n]. A score is the sum of its six parts; what the purchases [n, p]
    contribute sums to factors + neighbours + categories + repeats, `together` [n, p] alone to neighbours."""

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
        """What the customer's purchases add [n]."""
        return self.factors + self.neighbours + self.categories + self.repeats

    @property
    def popular(self) -> Float64s:
        """What everybody gets [n]."""
        return self.popularity + self.live

    @property
    def scores(self) -> Float64s:
        """The scores [n]."""
        return self.personal + self.popular


class ComposedScorer:
    """Answers from one model and a composition; what changes with every purchase is passed in."""

    def __init__(self, knowledge: Knowledge, composition: Composition) -> None:
        self.composition = composition
        self._fold_in = knowledge.fold_in
        self._categories = knowledge.categories
        self._scored, self._rank = knowledge.item_factors.shape
        self._items = knowledge.items

    @property
    def categories(self) -> Categories:
        """Which category each product belongs to; new products are given theirs."""
        return self._categories

    def customer(self, history: History) -> Customer:
        """Someone who holds this (nothing: a stranger)."""
        history = history.newest(FOLDED)
        counted = np.argsort(history.at_ms, kind="stable")[-self.composition.purchases :]
        return Customer(history, counted, self._vector(history))

    def moment(self, live: LiveState, now_ms: int) -> Moment:
        """What is the same for everybody at `now_ms`."""
        counts = np.zeros(len(self._items))
        for part in self.composition.trends:
            counts += part.weight * live.trend(part.half_life_h * HOUR_MS, now_ms)
        scores = self.composition.live * np.log1p(counts)
        for part in self.composition.steady:
            scores -= part.weight * np.log1p(live.trend(part.half_life_h * HOUR_MS, now_ms))
        # Only where categories weigh anything are the shares worth their time.
        shares = self._categories.shares(counts) if self.composition.categories else np.zeros(len(counts))
        on_sale = live.on_sale(now_ms, self.composition.sold_within_days)
        return Moment(now_ms, scores, shares, on_sale)

    def masks_bought(self, asked: bool | None) -> bool:
        """Whether bought products are left out: as asked for by one request, or as the shop has chosen."""
        return self.composition.mask_bought if asked is None else asked

    def allowed(
        self, history: History, moment: Moment, passing: Allowed | None = None, mask_bought: bool | None = None
    ) -> Allowed:
        """A fresh mask [products]: sold lately, within `passing`, and not held by the customer where that is masked.

        `mask_bought` overrides the shop's setting for one request.
        """
        mask = moment.on_sale.copy() if passing is None else moment.on_sale & passing
        if self.masks_bought(mask_bought):
            mask[history.rows] = False
        return mask

    def top_k(self, history: History, live: LiveState, now_ms: int, k: int, allowed: Allowed) -> Ranked:
        """The k best of the allowed products for a customer who holds `history` (nothing: a stranger) at `now_ms`."""
        return next(self.top_k_each([self.customer(history)], live, self.moment(live, now_ms), k, [allowed]))

    def top_k_each(
        self, customers: Sequence[Customer], live: LiveState, moment: Moment, k: int, allowed: Sequence[Allowed]
    ) -> Iterator[Ranked]:
        """`top_k` of each customer."""
        queries = np.empty((len(customers), self._rank + 1), np.float32)
        for query, customer in zip(queries, customers, strict=True):
            query[:] = self._query(customer, moment.now_ms)
        added = [self._added(customer, live, moment) for customer in customers]
        return self._items.top_k_each(queries, k, allowed, added)

    def explain(self, customer: Customer, live: LiveState, moment: Moment, rows: Rows) -> Explanation:
        """Of what the scores of `rows` [n] are made, and what each purchase of the history contributes to them."""
        history, weights = customer.history, self._recency(customer, moment.now_ms)
        query = self._query(customer, moment.now_ms)
        taste = query.copy()
        taste[-1] = 0
        neighbours = self._together(self._taken_ties(customer, weights, live, moment), len(history), rows)
        counted = customer.counted
        categories = np.zeros((len(history), len(rows)))
        categories[counted] = self._leanings(customer, weights)[:, self._categories.of[rows]] * moment.shares[rows]
        repeats = (history.rows[:, np.newaxis] == rows) * self._repeats(history, weights)[:, np.newaxis]
        return Explanation(
            factors=self._items.scores(taste, rows),
            popularity=self._items.scores(query - taste, rows),
            live=moment.scores[rows],
            neighbours=neighbours.sum(axis=0),
            categories=categories.sum(axis=0),
            repeats=repeats.sum(axis=0),
            purchases=self._factors(customer, rows, moment.now_ms) + (neighbours + categories + repeats).T,
            together=neighbours.T,
        )

    def _vector(self, history: History) -> Float32s:
        trained = history.rows < self._scored
        if not self.composition.factors or not trained.any():
            return np.zeros(self._rank, np.float32)
        return self._fold_in.vector(history.rows[trained], history.pieces[trained])

    def _query(self, customer: Customer, now_ms: int) -> Float32s:
        """[weight of factors · the customer's vector | weight of popularity], as the index has its columns."""
        query = np.empty(self._rank + 1, np.float32)
        query[:-1] = self._trust(customer, now_ms) * customer.vector
        query[-1] = self.composition.popularity
        return query

    def _trust(self, customer: Customer, now_ms: int) -> float:
        """The weight of the factors, by the time since the newest purchase."""
        if not self.composition.fade or not len(customer.counted):
            return self.composition.factors
        age_ms = np.float64(max(now_ms - int(customer.history.at_ms[customer.counted[-1]]), 0))
        fading = sum(part.weight * 2.0 ** (-age_ms / (part.half_life_h * HOUR_MS)) for part in self.composition.fade)
        return float(self.composition.factors * fading)

    def _factors(self, customer: Customer, rows: Rows, now_ms: int) -> Float64s:
        """What each purchase adds to the inner products of `rows`: [rows, purchases]."""
        if not self.composition.factors or not len(customer.history):
            return np.zeros((len(rows), len(customer.history)))
        if customer.parts is None:
            customer.parts = self._parts(customer.history)
        factors = self._items.vectors[rows, :-1].astype(np.float64)
        return self._trust(customer, now_ms) * (factors @ customer.parts.T)

    def _parts(self, history: History) -> Float32s:
        parts, trained = np.zeros((len(history), self._rank), np.float32), history.rows < self._scored
        if trained.any():
            parts[trained] = self._fold_in.parts(history.rows[trained], history.pieces[trained])
        return parts

    def _added(self, customer: Customer, live: LiveState, moment: Moment) -> Float64s:
        """The part of the scores [products] beside the inner product; not to be written to."""
        history = customer.history
        if not len(history):
            return moment.scores
        weights = self._recency(customer, moment.now_ms)
        ties = self._ties(customer, weights, live)
        customer.ties = moment, ties
        added = moment.scores + np.bincount(ties.products, ties.added, minlength=len(moment.scores))
        added[history.rows] += self._repeats(history, weights)
        if self.composition.categories:
            # The one column more, of zeros, is what products without a category (-1) find.
            added += self._leanings(customer, weights).sum(axis=0)[self._categories.of] * moment.shares
        return added

    def _recency(self, customer: Customer, now_ms: int) -> Float64s:
        """How much each purchase of the history counts: nothing beyond the newest `purchases`."""
        weights, counted = np.zeros(len(customer.history)), customer.counted
        age_ms = np.maximum(now_ms - customer.history.at_ms[counted], 0)
        for part in self.composition.recency:
            weights[counted] += part.weight * halvings(age_ms, part.half_life_h * HOUR_MS)
        return weights

    def _ties(self, customer: Customer, weights: Float64s, live: LiveState) -> _Ties:
        """Of the purchases that count."""
        shape = self.composition
        places = np.flatnonzero(weights if shape.neighbours else np.empty(0))
        ties = live.neighbours.weights_each(customer.history.rows[places], shape.shrink, shape.balance)
        owners = places[ties.places]
        return _Ties(owners, ties.neighbours, shape.neighbours * weights[owners] * ties.strengths)

    def _taken_ties(self, customer: Customer, weights: Float64s, live: LiveState, moment: Moment) -> _Ties:
        """Those that the scores of this moment were made of, which are not kept any longer."""
        kept, customer.ties = customer.ties, None
        return kept[1] if kept is not None and kept[0] is moment else self._ties(customer, weights, live)

    def _together(self, ties: _Ties, purchases: int, rows: Rows) -> Float64s:
        """What each purchase adds to the scores of some products: [purchases, rows]."""
        together, column_of = np.zeros((purchases, len(rows))), np.full(len(self._items), -1)
        column_of[rows] = np.arange(len(rows))
        columns = column_of[ties.products]
        shown = columns >= 0
        np.add.at(together, (ties.places[shown], columns[shown]), ties.added[shown])
        return together

    def _repeats(self, history: History, weights: Float64s) -> Float64s:
        """What each purchase adds to the score of its own product."""
        return self.composition.repeats * weights * np.log1p(history.pieces)

    def _leanings(self, customer: Customer, weights: Float64s) -> Float64s:
        """What each purchase that counts adds per share of a category: [counted, categories + 1], the last for none."""
        counted = customer.counted
        leanings = self._categories.leanings(customer.history.rows[counted], weights[counted])
        return np.column_stack((self.composition.categories * leanings, np.zeros(len(counted))))


def _with_popularity(item_factors: Float32s, popularity: Float64s) -> Float32s:
    """[factors | ln(1 + popularity)] of every product; products without factors have zeros."""
    items = np.zeros((len(popularity), item_factors.shape[1] + 1), np.float32)
    items[: len(item_factors), :-1] = item_factors
    items[:, -1] = np.log1p(popularity)
    return items
