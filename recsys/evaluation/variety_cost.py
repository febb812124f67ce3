"""What variety and rotation cost: the same answers at several settings, on the orders of known customers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from recsys.catalogue import Catalogue
from recsys.evaluation.rolling import (
    NOTHING_LEFT,
    Answers,
    EvaluationProtocol,
    K,
    Method,
    Recorder,
    each_rolling_question,
    time_since_last_purchase,
)
from recsys.evaluation.training_view import TrainingView
from recsys.rotation import NO_ROTATION, Rotation, resting
from recsys.scorer import ComposedScorer
from recsys.topk import Float64s, Ranked
from recsys.variety import POOL, Variety, VarietyRanker

CARDS = 3


@dataclass(frozen=True, slots=True)
class Shown:
    """A setting of what is shown."""

    variety: Variety
    rotation: Rotation = NO_ROTATION

    def left(self, pool: Ranked, ids: Sequence[str], customer: str, now_ms: int) -> Ranked:
        """What does not rest of a pool, where a visit shows CARDS products."""
        near = CARDS + self.rotation.resting
        best = Ranked(pool.rows[:near], pool.scores[:near])
        rest = resting(best, ids[:near], CARDS, self.rotation.visit(customer, now_ms))
        kept = ~np.isin(pool.rows, rest)
        return Ranked(pool.rows[kept], pool.scores[kept])


def evaluate_variety(
    view: TrainingView,
    until_ms: int,
    scorer: ComposedScorer,
    ranker: VarietyRanker,
    settings: Mapping[str, Shown],
    protocol: EvaluationProtocol,
) -> Answers:
    """The answers at each setting, from one pool a question; all follow the orders up to `until_ms`."""
    live = view.live_state(scorer.weights.half_lives_ms)
    recorder = Recorder([Method(name, scorer) for name in settings], len(view.log.products))
    for one in each_rolling_question(view, until_ms, live, protocol, "variety"):
        on_sale = live.on_sale(one.at_ms, protocol.candidate_days)
        allowed = on_sale.copy()
        if protocol.new_only:
            allowed[one.history.rows] = False
        shared = scorer.shared_scores(live, one.at_ms)
        pool = next(scorer.top_k_each([scorer.customer(one.history)], live, shared, POOL, [allowed]))
        ids = [view.log.products[row] for row in pool.rows.tolist()]
        shown = []
        for setting in settings.values():
            left = setting.left(pool, ids, one.customer, one.at_ms)
            rows = ranker.varied(left, K, setting.variety).ranked.rows if setting.variety.is_on else left.rows[:K]
            shown.append(np.pad(rows.astype(np.int32), (0, K - len(rows)), constant_values=NOTHING_LEFT))
        recorder.add(one.at_ms, time_since_last_purchase(one.history, one.at_ms), one.targets, on_sale, shown)
    return recorder.answers()


def with_alike_cards(answers: Answers, catalogue: Catalogue) -> Float64s:
    """The share of each setting's answers [settings] with two cards of the same known name and category."""
    shown = answers.shown[:, :, :CARDS]
    keys = catalogue.names.codes.astype(np.int64) * (len(catalogue.categories.values) + 1) + catalogue.categories.codes
    known = (catalogue.names.codes != catalogue.names.unknown) & (
        catalogue.categories.codes != catalogue.categories.unknown
    )
    # What is missing or unknown is like nothing: numbers of its own.
    own = -1 - np.arange(shown.size).reshape(shown.shape)
    each = np.sort(np.where((shown >= 0) & known[shown], keys[shown], own), axis=2)
    alike: Float64s = (np.diff(each, axis=2) == 0).any(axis=2).mean(axis=1)
    return alike


def categories_shown(answers: Answers, catalogue: Catalogue) -> Float64s:
    """The mean number of categories of the cards [settings]; products without one count as one category."""
    each = np.sort(catalogue.categories.codes[answers.shown[:, :, :CARDS]], axis=2)
    distinct: Float64s = 1 + (np.diff(each, axis=2) != 0).sum(axis=2).mean(axis=1)
    return distinct
