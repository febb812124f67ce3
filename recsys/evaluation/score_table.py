"""The parts of the scores of the products that could be shown, question by question: weights are tried on numbers.

A search compares hundreds of compositions, and to answer a window with each of them takes minutes. Nearly everything
that an answer is made of does not depend on the weights, though: the customer's factors, the live counts, who bought
what together. One pass over the window writes these down for the products that might lead by some composition; a trial
is a few array operations then. `Table.scores` gives what `ComposedScorer` gives (a test holds it to that); the last
word on what was found is the scorer's own.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from recsys.decayed_counts import HOUR_MS, halvings
from recsys.evaluation.holdout import each_question
from recsys.evaluation.rolling import Protocol, targets_of, time_since_last_purchase
from recsys.evaluation.training_view import TrainingView
from recsys.purchase_history import History
from recsys.score_weights import Composition, Fading
from recsys.scorer import ComposedScorer, Knowledge
from recsys.topk import Float64s, Int64s

HALF_LIVES_H = (1.0, 2.0, 6.0, 12.0, 24.0, 72.0, 168.0, 720.0, 2160.0)
"""Of the live counts that are written down by default: a composition's trends must be among them."""
RISING_H = ((12.0, 2160.0), (24.0, 2160.0), (168.0, 2160.0))
"""What sells now against what sells for long puts products forward, too."""
PURCHASES = Composition().purchases
POPULAR_CANDIDATES, FACTOR_CANDIDATES, CO_PURCHASE_CANDIDATES, CATEGORY_CANDIDATES = 120, 60, 100, 40
"""How many products each part may put forward for a question."""
FRESH_MS = HOUR_MS
"""How long the popular ones put forward stay the same; their counts are those of the question's moment."""
Tied = tuple[Int64s, Float64s, float, Float64s]
"""Neighbours of a product, customers in common, its buyers, theirs."""
Parts = NDArray[np.float32]  # [questions, candidates]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Question:
    """What one question adds: C candidates, T ties of purchases with candidates, P purchases."""

    gap_ms: int
    targets: int
    rows: Int64s  # [C]
    hit: Flags  # [C]
    factors: list[Float64s]  # of each model, [C]
    counts: Float64s  # [half-lives, C]
    totals: Float64s  # [half-lives, C]: of the candidate's category
    ties: Float64s  # [4, T]: together, buyers of the one, buyers of the other, age
    tied: Int64s  # [T] places among the candidates
    bought: Float64s  # [2, P]: category, age


@dataclass(frozen=True)
class Table:
    """Questions of which something can be found; `asked` counts the others too. Padded candidates score −∞."""

    asked: int
    gap_ms: Int64s  # [questions]
    targets: Int64s  # [questions]
    rows: Int64s  # [questions, candidates]
    present: Flags  # [questions, candidates]
    hits: tuple[Int64s, Int64s]  # question and candidate of each hit
    factors: dict[str, Parts]  # by the model's name
    popularity: Parts
    counts: dict[float, Parts]  # by half-life in hours
    totals: dict[float, Parts]
    category: NDArray[np.int32]  # [questions, candidates]; the number of categories for none
    leads: Float64s  # [categories + 1, categories + 1]: ties of categories, zeros for none
    ties: Float64s  # [4, ties]
    tied: Int64s  # [ties]: question · candidates + candidate
    bought: Float64s  # [2, purchases]
    buyer: Int64s  # [purchases]: the question
    _kept: dict[object, Parts] = field(default_factory=dict, repr=False, compare=False)

    def values(self, composition: Composition, model: str) -> dict[str, float]:
        """HR@3 and NDCG@10 over all that was asked."""
        scores, (question, place) = self.scores(composition, model), self.hits
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

    def scores(self, composition: Composition, model: str) -> Parts:
        """The score of each candidate, as the serving scorer composes it."""
        trend = sum((self.counts[part.half_life_h] * np.float32(part.weight) for part in composition.trends), _ZERO)
        scores = composition.live * np.log1p(trend) + composition.popularity * self.popularity
        for part in composition.steady:
            scores -= part.weight * self._logarithm(part.half_life_h)
        if composition.factors:
            scores += composition.factors * self._trust(composition)[:, np.newaxis] * self.factors[model]
        for part in composition.recency if composition.neighbours else ():
            tied = self._neighbours(part.half_life_h, composition.shrink, composition.balance)
            scores += composition.neighbours * part.weight * tied
        if composition.categories:
            total = sum((self.totals[part.half_life_h] * np.float32(part.weight) for part in composition.trends), _ZERO)
            share = np.divide(trend, total, out=np.zeros_like(trend), where=total > 0)
            for part in composition.recency:
                scores += composition.categories * part.weight * self._leaning(part.half_life_h) * share
        return np.where(self.present, scores, np.float32(-np.inf))

    def _trust(self, composition: Composition) -> NDArray[np.float32]:
        if not composition.fade:
            return np.ones(len(self.gap_ms), np.float32)
        return _recency(composition.fade, self.gap_ms).astype(np.float32)

    def _logarithm(self, half_life_h: float) -> Parts:
        key = ("logarithm", half_life_h)
        if key not in self._kept:
            self._kept[key] = np.log1p(self.counts[half_life_h])
        return self._kept[key]

    def _neighbours(self, half_life_h: float, shrink: float, balance: float) -> Parts:
        together, own, other, age_ms = self.ties
        weights = together * halvings(age_ms, half_life_h * HOUR_MS)
        weights /= (own + shrink) ** (1 - balance) * (other + shrink) ** balance
        sums = np.bincount(self.tied, weights, minlength=self.rows.size)
        return sums.reshape(self.rows.shape).astype(np.float32)

    def _leaning(self, half_life_h: float) -> Parts:
        """How much each question leans towards the category of each candidate."""
        key = ("leaning", half_life_h)
        if key not in self._kept:
            category, age_ms = self.bought
            places = self.buyer * len(self.leads) + category.astype(np.int64)
            weights = halvings(age_ms, half_life_h * HOUR_MS)
            held = np.bincount(places, weights, minlength=len(self.targets) * len(self.leads))
            leanings = held.reshape(-1, len(self.leads)) @ self.leads
            self._kept[key] = np.take_along_axis(leanings, self.category, axis=1).astype(np.float32)
        return self._kept[key]


_ZERO = np.float32(0.0)


def tabulate(
    view: TrainingView,
    until_ms: int,
    models: Mapping[str, Knowledge],
    *,
    half_lives_h: tuple[float, ...] = HALF_LIVES_H,
    shares: tuple[float, float],
    seed: int,
) -> tuple[Table, Table]:
    """What `shares` of the orders of warm and of cold customers ask from the background's moment to `until_ms`.

    Neighbours and categories look to the newest PURCHASES.
    """
    log, first, last = view.log, view.last, view.log.at(until_ms)
    builder = _QuestionBuilder(view, models, half_lives_h)
    live = builder.live
    chance = np.random.default_rng(seed)
    asked, noted = [0, 0], (list[_Question](), list[_Question]())
    with tqdm(total=last - first, desc="table of parts", unit=" lines", unit_scale=True) as bar:
        for order in log.each_order(first, last):
            drawn, customer = chance.random(), log.user(order.first)
            if customer is not None and drawn < max(shares):
                history = live.history(customer)
                group = 0 if len(history) else 1
                targets = targets_of(log, slice(order.first, order.last), history, new_only=True)
                if len(targets) and drawn < shares[group]:
                    asked[group] += 1
                    question = builder.question(history, int(log.at_ms[order.first]), targets)
                    if question.hit.any():
                        noted[group].append(question)
            for purchase in log.purchases(order):
                live.apply(purchase)
            bar.update(order.last - order.first)
    names, knowledge = list(models), next(iter(models.values()))
    warm, cold = (
        _table(number, some, names, knowledge, half_lives_h) for number, some in zip(asked, noted, strict=True)
    )
    return warm, cold


def tabulate_holdout(
    view: TrainingView,
    until_ms: int,
    models: Mapping[str, Knowledge],
    *,
    half_lives_h: tuple[float, ...] = HALF_LIVES_H,
    share: float,
    seed: int,
) -> Table:
    """What a share of the warm customers ask who are answered once, at the background's moment."""
    builder = _QuestionBuilder(view, models, half_lives_h)
    protocol = Protocol(who="warm", sample=share, seed=seed)
    asked, noted = 0, list[_Question]()
    for one in each_question(view, until_ms, builder.live, protocol):
        asked += 1
        question = builder.question(one.history, view.moment_ms, one.targets)
        if question.hit.any():
            noted.append(question)
    return _table(asked, noted, list(models), next(iter(models.values())), half_lives_h)


class _QuestionBuilder:
    """Writes questions down."""

    def __init__(self, view: TrainingView, models: Mapping[str, Knowledge], half_lives_h: tuple[float, ...]) -> None:
        shape = Composition(factors=1.0)
        self.live = view.live_state(tuple(hours * HOUR_MS for hours in half_lives_h))
        self._half_lives_h = half_lives_h
        self._scorers = [ComposedScorer(knowledge, shape) for knowledge in models.values()]
        self._items = [knowledge.item_factors.astype(np.float32) for knowledge in models.values()]
        self._popularity = next(iter(models.values())).popularity
        self._categories = view.categories
        self._none = len(self._categories.ties)
        self._of = np.where(self._categories.of >= 0, self._categories.of, self._none)
        self._popular: Int64s = np.empty(0, np.int64)
        self._popular_ms = -FRESH_MS

    def question(self, history: History, now_ms: int, targets: Int64s) -> _Question:
        """One question, with what could lead its answer."""
        allowed = self.live.on_sale(now_ms, Protocol().candidate_days)
        allowed[history.rows] = False
        counts = np.array([self.live.trend(hours * HOUR_MS, now_ms) for hours in self._half_lives_h])
        factors = [self._factors(place, history) for place in range(len(self._items))]
        newest = history.newest(PURCHASES)
        neighbours = [self.live.neighbours.tied(row) for row in newest.rows.tolist()]
        rows = np.unique(
            np.concatenate(
                (
                    self._popular_candidates(counts, now_ms),
                    *(_best(scores, FACTOR_CANDIDATES) for scores in factors if scores.any()),
                    self._co_purchase_candidates(neighbours, allowed),
                    self._category_candidates(newest, counts, allowed),
                )
            )
        )
        rows = rows[allowed[rows]]
        age_ms = np.maximum(now_ms - newest.at_ms, 0)
        tied, ties = _ties(neighbours, age_ms, rows, len(allowed))
        return _Question(
            time_since_last_purchase(history, now_ms),
            len(targets),
            rows,
            np.isin(rows, targets),
            [scores[rows] for scores in factors],
            counts[:, rows],
            np.array([self._totals(some)[self._of[rows]] for some in counts]),
            ties,
            tied,
            np.array([self._of[newest.rows], age_ms], np.float64),
        )

    def _factors(self, place: int, history: History) -> Float64s:
        scores = np.zeros(len(self._of))
        vector, items = self._scorers[place].customer(history).vector, self._items[place]
        if vector.any():
            scores[: len(items)] = items @ vector
        return scores

    def _popular_candidates(self, counts: Float64s, now_ms: int) -> Int64s:
        """Popular by some half-life, or risen most against a longer one."""
        if now_ms - self._popular_ms >= FRESH_MS:
            logs = dict(zip(self._half_lives_h, np.log1p(counts), strict=True))
            risen = [logs[short] - 0.4 * logs[long] for short, long in RISING_H]
            merits = (*counts, *risen, self._popularity)
            self._popular = np.unique(np.concatenate([_best(merit, POPULAR_CANDIDATES) for merit in merits]))
            self._popular_ms = now_ms
        return self._popular

    def _co_purchase_candidates(self, neighbours: list[Tied], allowed: Flags) -> Int64s:
        strength = np.zeros(len(allowed))
        for rows, together, own, others in neighbours:
            strength[rows] += together / np.sqrt((own + 10) * (others + 10))
        return _best(np.where(allowed, strength, 0.0), CO_PURCHASE_CANDIDATES)

    def _category_candidates(self, newest: History, counts: Float64s, allowed: Flags) -> Int64s:
        if not len(newest) or not self._none:
            return np.empty(0, np.int64)
        leaning = self._categories.leanings(newest.rows, np.ones(len(newest))).sum(axis=0)
        merit = np.append(leaning, 0.0)[self._of] * self._categories.shares(counts[4])
        return _best(np.where(allowed, merit, 0.0), CATEGORY_CANDIDATES)

    def _totals(self, counts: Float64s) -> Float64s:
        totals = np.bincount(self._of, counts, minlength=self._none + 1).astype(np.float64)
        totals[self._none] = 0.0
        return totals


def _best(merit: Float64s, n: int) -> Int64s:
    """The `n` rows of most merit; those without any are not among them."""
    if n < len(merit):
        rows: Int64s = np.argpartition(merit, -n)[-n:].astype(np.int64)
        return rows[merit[rows] > 0]
    return np.flatnonzero(merit > 0).astype(np.int64)


def _ties(neighbours: list[Tied], age_ms: Int64s, rows: Int64s, products: int) -> tuple[Int64s, Float64s]:
    """The ties that lead to candidates: which of them, and [together, own, other's buyers, age]."""
    if not neighbours:
        return np.empty(0, np.int64), np.empty((4, 0))
    place_of = np.full(products, -1)
    place_of[rows] = np.arange(len(rows))
    towards = np.concatenate([place_of[tied] for tied, _, _, _ in neighbours])
    sizes = [len(tied) for tied, _, _, _ in neighbours]
    ties = np.array(
        [
            np.concatenate([together for _, together, _, _ in neighbours]),
            np.repeat([own for _, _, own, _ in neighbours], sizes),
            np.concatenate([others for _, _, _, others in neighbours]),
            np.repeat(age_ms, sizes),
        ]
    )
    led = towards >= 0
    return towards[led], ties[:, led]


def _table(
    asked: int, noted: list[_Question], names: list[str], knowledge: Knowledge, half_lives_h: tuple[float, ...]
) -> Table:
    """The questions side by side, each with as many candidates as the longest has."""
    shape = len(noted), max((len(one.rows) for one in noted), default=0)

    def padded(parts: Iterator[Float64s]) -> Parts:
        whole = np.zeros(shape, np.float32)
        for place, part in enumerate(parts):
            whole[place, : len(part)] = part
        return whole

    rows = np.zeros(shape, np.int64)
    present, hit = np.zeros(shape, np.bool_), np.zeros(shape, np.bool_)
    for place, one in enumerate(noted):
        span = slice(len(one.rows))
        rows[place, span], present[place, span], hit[place, span] = one.rows, True, one.hit
    popularity = np.log1p(knowledge.popularity).astype(np.float32)
    none = len(knowledge.categories.ties)
    of = np.where(knowledge.categories.of >= 0, knowledge.categories.of, none).astype(np.int32)
    purchases = [one.bought.shape[1] for one in noted]
    return Table(
        asked=asked,
        gap_ms=np.array([one.gap_ms for one in noted], np.int64),
        targets=np.array([one.targets for one in noted], np.int64),
        rows=rows,
        present=present,
        hits=(hit.nonzero()[0].astype(np.int64), hit.nonzero()[1].astype(np.int64)),
        factors={name: padded(one.factors[place] for one in noted) for place, name in enumerate(names)},
        popularity=popularity[rows],
        counts={h: padded(one.counts[place] for one in noted) for place, h in enumerate(half_lives_h)},
        totals={h: padded(one.totals[place] for one in noted) for place, h in enumerate(half_lives_h)},
        category=of[rows],
        leads=np.pad(knowledge.categories.ties, (0, 1)),
        ties=np.concatenate([np.empty((4, 0)), *(one.ties for one in noted)], axis=1),
        tied=np.concatenate([np.empty(0, np.int64), *(one.tied + place * shape[1] for place, one in enumerate(noted))]),
        bought=np.concatenate([np.empty((2, 0)), *(one.bought for one in noted)], axis=1),
        buyer=np.repeat(np.arange(len(noted)), purchases),
    )


def _recency(fading: tuple[Fading, ...], age_ms: Int64s) -> Float64s:
    weights = np.zeros(len(age_ms))
    for part in fading:
        weights += part.weight * halvings(np.maximum(age_ms, 0), part.half_life_h * HOUR_MS)
    return weights
