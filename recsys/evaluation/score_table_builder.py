"""Builds score tables: one pass over a window computes the score terms of the candidates of each question."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from recsys.decayed_counts import HOUR_MS
from recsys.evaluation.holdout import each_holdout_question
from recsys.evaluation.rolling import EvaluationProtocol, each_rolling_question, time_since_last_purchase
from recsys.evaluation.score_table import HALF_LIVES_H, Flags, ScoreTable, Terms
from recsys.evaluation.training_view import TrainingView
from recsys.purchase_history import History
from recsys.score_weights import ScoreWeights
from recsys.scorer import ComposedScorer, TrainedParts
from recsys.topk import Float64s, Int64s, largest_above_zero

RISING_H = ((12.0, 2160.0), (24.0, 2160.0), (168.0, 2160.0))
"""Short and long half-lives whose comparison finds products that sell better than before."""
PURCHASES = ScoreWeights().purchases
POPULAR_CANDIDATES, FACTOR_CANDIDATES, CO_PURCHASE_CANDIDATES, CATEGORY_CANDIDATES = 120, 60, 100, 40
"""Candidates of a question by each source."""
FRESH_MS = HOUR_MS
"""For so long the popular candidates stay the same; their counts are always those of the question's moment."""
NeighbourCounts = tuple[Int64s, Float64s, float, Float64s]
"""Neighbours of a product, customers in common, its buyers, theirs."""


@dataclass(frozen=True, slots=True)
class _Question:
    """The columns of one question: C candidates, L links of purchases with candidates, P purchases."""

    gap_ms: int
    targets: int
    rows: Int64s  # [C]
    hit: Flags  # [C]
    factors: list[Float64s]  # of each model, [C]
    counts: Float64s  # [half-lives, C]
    totals: Float64s  # [half-lives, C]: of the candidate's category
    links: Float64s  # [4, L]: customers in common, buyers of the purchase, buyers of the candidate, age
    link_candidate: Int64s  # [L] index of the candidate
    purchases: Float64s  # [2, P]: category, age


@dataclass(slots=True)
class _Questions:
    """Questions of one table. Those without a hit among the candidates are counted, but not kept."""

    asked: int = 0
    kept: list[_Question] = field(default_factory=list)

    def add(self, question: _Question) -> None:
        """Count a question, and keep it if a candidate is a hit."""
        self.asked += 1
        if question.hit.any():
            self.kept.append(question)


def tabulate(
    view: TrainingView,
    until_ms: int,
    models: Mapping[str, TrainedParts],
    *,
    half_lives_h: tuple[float, ...] = HALF_LIVES_H,
    shares: tuple[float, float],
    seed: int,
) -> tuple[ScoreTable, ScoreTable]:
    """The tables of `shares` of the orders of warm and of cold customers, from the view's moment to `until_ms`.

    Neighbours and categories look to the newest PURCHASES.
    """
    builder = _QuestionBuilder(view, models, half_lives_h)
    warm, cold = _Questions(), _Questions()
    protocol = EvaluationProtocol(sample=max(shares), seed=seed)
    for one in each_rolling_question(view, until_ms, builder.live, protocol, "score table"):
        group, share = (warm, shares[0]) if len(one.history) else (cold, shares[1])
        if one.drawn < share:
            group.add(builder.question(one.history, one.at_ms, one.targets))
    return _table(warm, models, half_lives_h), _table(cold, models, half_lives_h)


def tabulate_holdout(
    view: TrainingView,
    until_ms: int,
    models: Mapping[str, TrainedParts],
    *,
    half_lives_h: tuple[float, ...] = HALF_LIVES_H,
    share: float,
    seed: int,
) -> ScoreTable:
    """The table of a share of the warm customers, each answered once, at the view's moment."""
    builder, questions = _QuestionBuilder(view, models, half_lives_h), _Questions()
    protocol = EvaluationProtocol(who="warm", sample=share, seed=seed)
    for one in each_holdout_question(view, until_ms, builder.live, protocol):
        questions.add(builder.question(one.history, view.moment_ms, one.targets))
    return _table(questions, models, half_lives_h)


class _QuestionBuilder:
    """Computes the candidates and score terms of questions."""

    def __init__(self, view: TrainingView, models: Mapping[str, TrainedParts], half_lives_h: tuple[float, ...]) -> None:
        shape = ScoreWeights(factors=1.0)
        self.live = view.live_state(tuple(hours * HOUR_MS for hours in half_lives_h))
        self._half_lives_h = half_lives_h
        self._scorers = [ComposedScorer(trained, shape) for trained in models.values()]
        # In float64, so that no processor rounds another way.
        self._items = [trained.item_factors.astype(np.float64) for trained in models.values()]
        self._popularity = next(iter(models.values())).popularity
        self._categories = view.categories
        self._unknown = len(self._categories.affinity)
        self._category_of = np.where(self._categories.of >= 0, self._categories.of, self._unknown)
        self._popular: Int64s = np.empty(0, np.int64)
        self._popular_ms = -FRESH_MS

    def question(self, history: History, now_ms: int, targets: Int64s) -> _Question:
        """One question, with the candidates that could lead its answer."""
        allowed = self.live.on_sale(now_ms, EvaluationProtocol().candidate_days)
        allowed[history.rows] = False
        counts = np.array([self.live.trend(hours * HOUR_MS, now_ms) for hours in self._half_lives_h])
        factors = [self._factors(place, history) for place in range(len(self._items))]
        newest = history.newest(PURCHASES)
        neighbours = [self.live.neighbours.neighbour_counts(row) for row in newest.rows.tolist()]
        rows = np.unique(
            np.concatenate(
                (
                    self._popular_candidates(counts, now_ms),
                    *(largest_above_zero(scores, FACTOR_CANDIDATES) for scores in factors if scores.any()),
                    self._co_purchase_candidates(neighbours, allowed),
                    self._category_candidates(newest, counts, allowed),
                )
            )
        )
        rows = rows[allowed[rows]]
        age_ms = np.maximum(now_ms - newest.event_time_ms, 0)
        link_candidate, links = _links(neighbours, age_ms, rows, len(allowed))
        return _Question(
            time_since_last_purchase(history, now_ms),
            len(targets),
            rows,
            np.isin(rows, targets),
            [scores[rows] for scores in factors],
            counts[:, rows],
            np.array([self._totals(some)[self._category_of[rows]] for some in counts]),
            links,
            link_candidate,
            np.array([self._category_of[newest.rows], age_ms], np.float64),
        )

    def _factors(self, place: int, history: History) -> Float64s:
        scores = np.zeros(len(self._category_of))
        vector, items = self._scorers[place].customer(history).vector, self._items[place]
        if vector.any():
            scores[: len(items)] = items @ vector
        return scores

    def _popular_candidates(self, counts: Float64s, now_ms: int) -> Int64s:
        """Popular with some half-life, or risen most against a longer one."""
        if now_ms - self._popular_ms >= FRESH_MS:
            logs = dict(zip(self._half_lives_h, np.log1p(counts), strict=True))
            risen = [logs[short] - 0.4 * logs[long] for short, long in RISING_H]
            merits = (*counts, *risen, self._popularity)
            self._popular = np.unique(
                np.concatenate([largest_above_zero(merit, POPULAR_CANDIDATES) for merit in merits])
            )
            self._popular_ms = now_ms
        return self._popular

    def _co_purchase_candidates(self, neighbours: list[NeighbourCounts], allowed: Flags) -> Int64s:
        strength = np.zeros(len(allowed))
        for rows, together, own, others in neighbours:
            strength[rows] += together / np.sqrt((own + 10) * (others + 10))
        return largest_above_zero(np.where(allowed, strength, 0.0), CO_PURCHASE_CANDIDATES)

    def _category_candidates(self, newest: History, counts: Float64s, allowed: Flags) -> Int64s:
        if not len(newest) or not self._unknown:
            return np.empty(0, np.int64)
        leaning = self._categories.user_affinity(newest.rows, np.ones(len(newest)))
        merit = np.append(leaning, 0.0)[self._category_of] * self._categories.shares(counts[4])
        return largest_above_zero(np.where(allowed, merit, 0.0), CATEGORY_CANDIDATES)

    def _totals(self, counts: Float64s) -> Float64s:
        totals = np.bincount(self._category_of, counts, minlength=self._unknown + 1).astype(np.float64)
        totals[self._unknown] = 0.0
        return totals


def _links(neighbours: list[NeighbourCounts], age_ms: Int64s, rows: Int64s, products: int) -> tuple[Int64s, Float64s]:
    """The links to candidates: the index of the candidate [L], and [4, L] as in `_Question.links`."""
    if not neighbours:
        return np.empty(0, np.int64), np.empty((4, 0))
    place_of = np.full(products, -1)
    place_of[rows] = np.arange(len(rows))
    towards = np.concatenate([place_of[others] for others, _, _, _ in neighbours])
    sizes = [len(others) for others, _, _, _ in neighbours]
    links = np.array(
        [
            np.concatenate([together for _, together, _, _ in neighbours]),
            np.repeat([own for _, _, own, _ in neighbours], sizes),
            np.concatenate([others for _, _, _, others in neighbours]),
            np.repeat(age_ms, sizes),
        ]
    )
    led = towards >= 0
    return towards[led], links[:, led]


def _table(questions: _Questions, models: Mapping[str, TrainedParts], half_lives_h: tuple[float, ...]) -> ScoreTable:
    """The questions side by side, each padded to the candidates of the longest."""
    kept, trained = questions.kept, next(iter(models.values()))
    shape = len(kept), max((len(one.rows) for one in kept), default=0)

    def padded(parts: Iterator[Float64s]) -> Terms:
        whole = np.zeros(shape, np.float32)
        for place, part in enumerate(parts):
            whole[place, : len(part)] = part
        return whole

    rows = np.zeros(shape, np.int64)
    present, hit = np.zeros(shape, np.bool_), np.zeros(shape, np.bool_)
    for place, one in enumerate(kept):
        span = slice(len(one.rows))
        rows[place, span], present[place, span], hit[place, span] = one.rows, True, one.hit
    popularity = np.log1p(trained.popularity).astype(np.float32)
    unknown = len(trained.categories.affinity)
    category_of = np.where(trained.categories.of >= 0, trained.categories.of, unknown).astype(np.int32)
    purchases = [one.purchases.shape[1] for one in kept]
    return ScoreTable(
        asked=questions.asked,
        gap_ms=np.array([one.gap_ms for one in kept], np.int64),
        targets=np.array([one.targets for one in kept], np.int64),
        rows=rows,
        present=present,
        hits=(hit.nonzero()[0].astype(np.int64), hit.nonzero()[1].astype(np.int64)),
        factors={name: padded(one.factors[place] for one in kept) for place, name in enumerate(models)},
        popularity=popularity[rows],
        counts={h: padded(one.counts[place] for one in kept) for place, h in enumerate(half_lives_h)},
        totals={h: padded(one.totals[place] for one in kept) for place, h in enumerate(half_lives_h)},
        category=category_of[rows],
        category_affinity=np.pad(trained.categories.affinity, (0, 1)),
        links=np.concatenate([np.empty((4, 0)), *(one.links for one in kept)], axis=1),
        link_candidate=np.concatenate(
            [np.empty(0, np.int64), *(one.link_candidate + place * shape[1] for place, one in enumerate(kept))]
        ),
        purchases=np.concatenate([np.empty((2, 0)), *(one.purchases for one in kept)], axis=1),
        purchase_question=np.repeat(np.arange(len(kept)), purchases),
    )
