"""The terms of the scores of baskets, question by question, so that weights are compared by array operations.

As recsys/evaluation/score_table.py for customers. Candidates of all questions stand one after the other in flat arrays.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.basket_weights import BasketWeights
from recsys.co_purchases import Neighbours
from recsys.decayed_counts import HOUR_MS
from recsys.evaluation.baskets import BasketProtocol, BasketQuestion, each_basket_question
from recsys.evaluation.training_view import TrainingView
from recsys.live_state import LiveState
from recsys.topk import Allowed, Float64s, Int64s, largest_above_zero

HALF_LIVES_H = (6.0, 24.0, 168.0, 720.0)
"""Half-lives of the live counts in a table."""
BY_PAIRS, BY_POPULARITY = 120, 60
"""Candidates of a question by each way to count pairs, and by each half-life."""
Column = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Links:
    """Pairs of a basket's product i with a candidate j: n_ij, n_i, n_j and the candidate [links each]."""

    together: Column
    own: Column
    others: Column
    candidate: Int64s

    def term(self, shrink: float, balance: float, candidates: int) -> Float64s:
        """Σ n_ij / ((n_i + s)^(1−b) · (n_j + s)^b) of each candidate."""
        weights = self.together / ((self.own + shrink) ** (1 - balance) * (self.others + shrink) ** balance)
        return np.bincount(self.candidate, weights, minlength=candidates).astype(np.float64)


@dataclass(frozen=True, slots=True)
class BasketTable:
    """Questions whose target is among their candidates; `asked` counts all questions."""

    asked: int
    question: Int64s  # [candidates]
    hit: Int64s  # [questions] the candidate that is the target
    counts: dict[float, Column]  # [candidates] by half-life in hours
    orders: Links
    customers: Links

    def values(self, weights: BasketWeights) -> dict[str, float]:
        """HR@3 and NDCG@10 over all questions."""
        scores = self.scores(weights)
        own = scores[self.hit][self.question]
        before = np.arange(len(scores)) < self.hit[self.question]
        rank = np.bincount(self.question, (scores > own) | ((scores == own) & before), len(self.hit))
        gains = np.where(rank < 10, 1 / np.log2(rank + 2), 0.0)
        asked = max(self.asked, 1)
        return {"hr@3": float((rank < 3).sum() / asked), "ndcg@10": float(gains.sum() / asked)}

    def scores(self, weights: BasketWeights) -> Float64s:
        """The score of each candidate [candidates], as the serving scorer composes it."""
        others, orders = weights.others, weights.orders
        counts = np.zeros(len(self.question))
        for term in others.trends if others.live else ():
            counts += term.weight * self.counts[term.half_life_h]
        scores = others.live * np.log1p(counts)
        if orders.weight:
            scores += orders.weight * self.orders.term(orders.shrink, orders.balance, len(scores))
        if others.neighbours:
            recency = sum(term.weight for term in others.recency)
            scores += others.neighbours * recency * self.customers.term(others.shrink, others.balance, len(scores))
        return scores


@dataclass(frozen=True, slots=True)
class _Question:
    """The columns of one question: C candidates; links [4, L] with the place of the candidate first."""

    hit: int
    counts: Float64s  # [half-lives, C]
    orders: Float64s
    customers: Float64s


def tabulate_baskets(view: TrainingView, until_ms: int, protocol: BasketProtocol) -> BasketTable:
    """The table of a sample of the orders from the view's moment to `until_ms`."""
    live = view.live_state(tuple(hours * HOUR_MS for hours in HALF_LIVES_H))
    asked, kept = 0, list[_Question]()
    for one in each_basket_question(view, until_ms, live, protocol, "basket table"):
        asked += 1
        question = _question(one, live, protocol)
        if question is not None:
            kept.append(question)
    return _table(asked, kept)


def _question(one: BasketQuestion, live: LiveState, protocol: BasketProtocol) -> _Question | None:
    """One question with the candidates that could lead its answer; None where the target is not one of them."""
    allowed = live.on_sale(one.at_ms, protocol.candidate_days)
    allowed[one.basket] = False
    counts = np.array([live.trend(hours * HOUR_MS, one.at_ms) for hours in HALF_LIVES_H])
    kinds = ((live.order_pairs, 0.5), (live.order_pairs, 0.0), (live.neighbours, 0.5))
    found = [largest_above_zero(_strength(known, one.basket, balance, allowed), BY_PAIRS) for known, balance in kinds]
    found += [largest_above_zero(np.where(allowed, merit, 0.0), BY_POPULARITY) for merit in counts]
    rows = np.unique(np.concatenate(found))
    hit = np.searchsorted(rows, one.target)
    if hit == len(rows) or rows[hit] != one.target:
        return None
    place_of = np.full(len(allowed), -1)
    place_of[rows] = np.arange(len(rows))
    pairs = (_links(known, one.basket, place_of) for known in (live.order_pairs, live.neighbours))
    return _Question(int(hit), counts[:, rows], *pairs)


def _strength(known: Neighbours, basket: Int64s, balance: float, allowed: Allowed) -> Float64s:
    pairs = known.weights_each(basket, 20.0, balance)
    return np.where(allowed, np.bincount(pairs.neighbours, pairs.weights, minlength=len(allowed)), 0.0)


def _links(known: Neighbours, basket: Int64s, place_of: Int64s) -> Float64s:
    """Place of the candidate, n_ij, n_i, n_j: [4, L]."""
    parts = [np.empty((4, 0))]
    for product in basket.tolist():
        rows, together, own, others = known.neighbour_counts(product)
        places = place_of[rows]
        led = places >= 0
        parts.append(np.array([places[led], together[led], np.full(int(led.sum()), own), others[led]]))
    return np.concatenate(parts, axis=1)


def _table(asked: int, kept: Sequence[_Question]) -> BasketTable:
    sizes = np.array([one.counts.shape[1] for one in kept], np.int64)
    starts = np.cumsum(sizes) - sizes
    counts = np.concatenate([np.empty((len(HALF_LIVES_H), 0)), *(one.counts for one in kept)], axis=1)
    return BasketTable(
        asked=asked,
        question=np.repeat(np.arange(len(kept)), sizes),
        hit=starts + np.array([one.hit for one in kept], np.int64),
        counts={hours: counts[place].astype(np.float32) for place, hours in enumerate(HALF_LIVES_H)},
        orders=_joined([one.orders for one in kept], starts),
        customers=_joined([one.customers for one in kept], starts),
    )


def _joined(links: Sequence[Float64s], starts: Int64s) -> Links:
    whole = np.concatenate([np.empty((4, 0)), *links], axis=1)
    first = np.repeat(starts, [part.shape[1] for part in links])
    together, own, others = whole[1:].astype(np.float32)
    return Links(together, own, others, whole[0].astype(np.int64) + first)
