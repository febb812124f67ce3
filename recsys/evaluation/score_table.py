"""The score terms of all candidate products, question by question: weights are evaluated by array operations.

A search compares hundreds of weights, and answering a window with each of them takes minutes. Nearly everything in an
answer is independent of the weights: the customer's factors, the live counts, the co-purchases. One pass over the
window computes these terms for the products that could lead with some weights (`score_table_builder`). A trial is then
a few array operations. `ScoreTable.scores` gives what `ComposedScorer` gives (a test compares them); the final round of
the search asks the scorer itself.
"""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.decayed_counts import HOUR_MS, decay_factor
from recsys.score_weights import DecayTerm, ScoreWeights
from recsys.topk import Float64s, Int64s

HALF_LIVES_H = (1.0, 2.0, 6.0, 12.0, 24.0, 72.0, 168.0, 720.0, 2160.0)
"""Half-lives of the live counts in a table by default: those of the weights' trends must be among them."""
Terms = NDArray[np.float32]  # [questions, candidates]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class ScoreTable:
    """Questions with a hit among their candidates; `asked` counts all questions. Padded candidates score −∞.

    A link is a co-purchase relation from one of the customer's purchases to a candidate.
    """

    asked: int
    gap_ms: Int64s  # [questions]
    targets: Int64s  # [questions]
    rows: Int64s  # [questions, candidates]
    present: Flags  # [questions, candidates]
    hits: tuple[Int64s, Int64s]  # question and candidate of each hit
    factors: dict[str, Terms]  # by the model's name
    popularity: Terms
    counts: dict[float, Terms]  # by half-life in hours
    totals: dict[float, Terms]
    category: NDArray[np.int32]  # [questions, candidates]; the number of categories for none
    category_affinity: Float64s  # [categories + 1, categories + 1]; zeros for none
    links: Float64s  # [4, links]: customers in common, buyers of the purchase, buyers of the candidate, age
    link_candidate: Int64s  # [links]: question · candidates + candidate
    purchases: Float64s  # [2, purchases]: category, age
    purchase_question: Int64s  # [purchases]: the question
    _cache: dict[object, Terms] = field(default_factory=dict, repr=False, compare=False)
    _decays: dict[float, Float64s] = field(default_factory=dict, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.targets)

    def part(self, step: int) -> "ScoreTable":
        """The table of every `step`-th question; `asked` is their share of all."""
        width = self.rows.shape[1]
        question, place = self.hits
        link_question, link_place = np.divmod(self.link_candidate, max(width, 1))
        hit, link, purchase = (some % step == 0 for some in (question, link_question, self.purchase_question))
        return replace(
            self,
            asked=-(-self.asked // step),
            gap_ms=self.gap_ms[::step],
            targets=self.targets[::step],
            rows=self.rows[::step],
            present=self.present[::step],
            hits=(question[hit] // step, place[hit]),
            factors={name: terms[::step] for name, terms in self.factors.items()},
            popularity=self.popularity[::step],
            counts={hours: terms[::step] for hours, terms in self.counts.items()},
            totals={hours: terms[::step] for hours, terms in self.totals.items()},
            category=self.category[::step],
            links=self.links[:, link],
            link_candidate=link_question[link] // step * width + link_place[link],
            purchases=self.purchases[:, purchase],
            purchase_question=self.purchase_question[purchase] // step,
            _cache={},
            _decays={},
        )

    def values(self, weights: ScoreWeights, model: str) -> dict[str, float]:
        """HR@3 and NDCG@10 over all questions."""
        scores, (question, place) = self.scores(weights, model), self.hits
        own = scores[question, place][:, np.newaxis]
        ahead = scores[question] > own
        equal = (scores[question] == own) & (np.arange(scores.shape[1]) < place[:, np.newaxis])
        rank = (ahead | equal).sum(axis=1)
        gains = np.concatenate((1 / np.log2(np.arange(10) + 2), [0.0]))
        ideal = np.cumsum(gains)[np.minimum(self.targets, 10) - 1]
        gained = np.bincount(question, gains[np.minimum(rank, 10)], minlength=len(self.targets)) / ideal
        found = np.bincount(question, rank < 3, minlength=len(self.targets)) > 0
        asked = max(self.asked, 1)
        return {"hr@3": float(found.sum() / asked), "ndcg@10": float(gained.sum() / asked)}

    def scores(self, weights: ScoreWeights, model: str) -> Terms:
        """The score of each candidate, as the serving scorer composes it."""
        trend = sum((self.counts[part.half_life_h] * np.float32(part.weight) for part in weights.trends), _ZERO)
        scores = weights.live * np.log1p(trend) + weights.popularity * self.popularity
        for part in weights.baseline_trends:
            scores -= part.weight * self._logarithm(part.half_life_h)
        personal = np.zeros_like(scores)
        if weights.factors:
            personal += weights.factors * self._factor_weight(weights)[:, np.newaxis] * self.factors[model]
        for part in weights.recency if weights.neighbours else ():
            neighbours = self._neighbours(part.half_life_h, weights.shrink, weights.balance)
            personal += weights.neighbours * part.weight * neighbours
        if weights.categories:
            total = sum((self.totals[part.half_life_h] * np.float32(part.weight) for part in weights.trends), _ZERO)
            share = np.divide(trend, total, out=np.zeros_like(trend), where=total > 0)
            for part in weights.recency:
                personal += weights.categories * part.weight * self._affinity(part.half_life_h) * share
        scores += personal * (self.gap_ms <= weights.personal_ms)[:, np.newaxis]
        return np.where(self.present, scores, np.float32(-np.inf))

    def _factor_weight(self, weights: ScoreWeights) -> NDArray[np.float32]:
        if not weights.factor_decay:
            return np.ones(len(self.gap_ms), np.float32)
        return _recency(weights.factor_decay, self.gap_ms).astype(np.float32)

    def _logarithm(self, half_life_h: float) -> Terms:
        key = ("logarithm", half_life_h)
        if key not in self._cache:
            self._cache[key] = np.log1p(self.counts[half_life_h])
        return self._cache[key]

    def _neighbours(self, half_life_h: float, shrink: float, balance: float) -> Terms:
        weights = self.links[0] * self._link_decay(half_life_h)
        weights /= self._own_buyers.powers(shrink, 1 - balance) * self._other_buyers.powers(shrink, balance)
        sums = np.bincount(self.link_candidate, weights, minlength=self.rows.size)
        return sums.reshape(self.rows.shape).astype(np.float32)

    def _link_decay(self, half_life_h: float) -> Float64s:
        """Of each link; candidates share few half-lives."""
        if half_life_h not in self._decays:
            self._decays[half_life_h] = decay_factor(self.links[3], half_life_h * HOUR_MS)
        return self._decays[half_life_h]

    @cached_property
    def _own_buyers(self) -> "_FewValues":
        return _FewValues.of(self.links[1])

    @cached_property
    def _other_buyers(self) -> "_FewValues":
        return _FewValues.of(self.links[2])

    def _affinity(self, half_life_h: float) -> Terms:
        """The affinity of each question's customer to the category of each candidate."""
        key = ("affinity", half_life_h)
        if key not in self._cache:
            category, age_ms = self.purchases
            places = self.purchase_question * len(self.category_affinity) + category.astype(np.int64)
            weights = decay_factor(age_ms, half_life_h * HOUR_MS)
            bought = np.bincount(places, weights, minlength=len(self.targets) * len(self.category_affinity))
            affinity = bought.reshape(-1, len(self.category_affinity)) @ self.category_affinity
            self._cache[key] = np.take_along_axis(affinity, self.category, axis=1).astype(np.float32)
        return self._cache[key]


class _FewValues(NamedTuple):
    """Numbers of which many are equal: a power is computed once for each distinct one."""

    distinct: Float64s
    places: Int64s

    @staticmethod
    def of(numbers: Float64s) -> "_FewValues":
        distinct, places = np.unique(numbers, return_inverse=True)
        return _FewValues(distinct, places)

    def powers(self, added: float, exponent: float) -> Float64s:
        """(number + added) ** exponent of each number."""
        powers: Float64s = ((self.distinct + added) ** exponent)[self.places]
        return powers


_ZERO = np.float32(0.0)


def _recency(fading: tuple[DecayTerm, ...], age_ms: Int64s) -> Float64s:
    weights = np.zeros(len(age_ms))
    for part in fading:
        weights += part.weight * decay_factor(np.maximum(age_ms, 0), part.half_life_h * HOUR_MS)
    return weights
