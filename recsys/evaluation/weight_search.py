"""The choice of score weights and ALS settings: a seeded random search on a validation window.

It is bounded by the number of candidates: the same purchases and seed give the same choice on every machine.

The stages, in order: popularity terms for unknown users, factors, personal terms (all on a score table); a final round
of the leaders by the serving scorer, on orders that the table does not hold; whether purchased products are recommended
again; the offline weights, which serve while the stream is unavailable. Every trial is recorded.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np

from recsys.als_settings import AlsSettings
from recsys.evaluation.belief import ACROSS_SHOPS, Belief
from recsys.evaluation.final_round import FinalRound, FinalWindow
from recsys.evaluation.methods import FactorCache, ModelConfig
from recsys.evaluation.search_trials import SearchTrial, Stage, Trials
from recsys.evaluation.search_window import SearchWindow
from recsys.evaluation.weight_candidates import (
    POPULARITY_STARTS,
    mutate_all,
    mutate_personal,
    mutate_popularity,
    offline_starts,
    personal_starts,
    popularity_only,
    repeat_starts,
    with_offline_weights,
)
from recsys.score_weights import ScoreWeights
from recsys.scorer import TrainedParts

FINALISTS = 3
ENOUGH_NEWCOMERS = 100
POPULARITY_SHARE = 1 / 4
"""Of the candidates, those for the popularity terms."""
# The names of the stages in the record, in their order.
STAGES = (POPULARITY, FACTORS, PERSONAL, FINALS, REPEATS, OFFLINE) = (
    "strangers",
    "factors",
    "personal",
    "finals",
    "repeats",
    "still",
)


@dataclass(frozen=True, slots=True)
class Choice:
    """The chosen configuration, the notable trials, and how many trials each stage had."""

    config: ModelConfig
    trials: tuple[SearchTrial, ...]
    tried: dict[str, int]
    belief: Belief = ACROSS_SHOPS  # in the gain of the best personal weights over popular products

    def record(self) -> dict[str, Any]:
        """As JSON."""
        return {
            **self.config.record(),
            "tried": self.tried,
            "gain": self.belief.record(),
            "trials": [trial.record() for trial in self.trials],
        }


def choose(
    windows: Sequence[SearchWindow],
    cache: FactorCache,
    candidates: int,
    als_settings: Sequence[AlsSettings],
    start: ModelConfig | None = None,
) -> Choice:
    """Try the starts of every stage and so many mutations of the leaders; `start` is among the starts.

    The first of the `windows` is the newest. The others serve the final round alone.
    """
    view = windows[0].view
    models = [FittedModel(str(place), als, cache.trained_parts(view, als)) for place, als in enumerate(als_settings)]
    return Search(windows, cache, models, candidates, start).run()


@dataclass(frozen=True, slots=True)
class FittedModel:
    """Factors that the search may choose. `name`: that of its columns in the score tables."""

    name: str
    als: AlsSettings
    trained: TrainedParts


class Search:
    """One search. Each stage builds on the results of earlier ones."""

    def __init__(
        self,
        windows: Sequence[SearchWindow],
        cache: FactorCache,
        models: Sequence[FittedModel],
        candidates: int,
        start: ModelConfig | None,
    ) -> None:
        self._window = windows[0]
        self._earlier = windows[1:]
        self._cache = cache
        self._models = {model.name: model for model in models}
        self._start = start
        self._given = [] if start is None else [msgspec.structs.replace(start.weights, offline_weights=None)]
        self._warm, self._cold = self._window.table({model.name: model.trained for model in models}, self._given)
        self._few_newcomers = self._window.newcomers < ENOUGH_NEWCOMERS
        self._random = np.random.default_rng(self._window.seed)
        self._popularity_candidates = round(candidates * POPULARITY_SHARE)
        self._personal_candidates = candidates - self._popularity_candidates

    def run(self) -> Choice:
        """All stages."""
        popularity = self.popularity_stage()
        factors = self.factor_stages(popularity.best.weights)
        personal = self.personal_stage(factors)
        finals = self.final_round(popularity.best.weights, personal)
        repeats = self.repeats_round(finals, personal)
        offline = self.offline_stages(finals.winner(), [personal] if repeats.best.weights.factors else factors)
        stages = (popularity, *factors, personal, finals, repeats, *offline)
        return replace(_choice(popularity, stages, repeats, offline), belief=finals.belief)

    def popularity_stage(self) -> Stage:
        """The popularity terms: what unknown users get.

        A shop of regulars has too few newcomers to choose by: there the orders of warm customers decide.
        """
        first = next(iter(self._models.values()))
        stage = Stage(POPULARITY, self._warm if self._few_newcomers else self._cold, first.name, first.als)
        starts = [*POPULARITY_STARTS, *(popularity_only(weights) for weights in self._given)]
        stage.random_search(starts, mutate_popularity, self._random, self._popularity_candidates)
        return stage

    def factor_stages(self, popularity: ScoreWeights) -> list[Stage]:
        """The same starts with the factors of each model."""
        stages = [Stage(FACTORS, self._warm, model.name, model.als) for model in self._models.values()]
        for stage in stages:
            stage.try_all([*personal_starts(popularity), *self._given])
        return stages

    def personal_stage(self, factors: Sequence[Stage]) -> Stage:
        """The personal terms, with the best model's factors."""
        best = max(factors, key=lambda stage: stage.best.value)
        stage = Stage(PERSONAL, self._warm, best.model, best.als)
        mutate = mutate_all if self._few_newcomers else mutate_personal
        stage.random_search([trial.weights for trial in best.trials], mutate, self._random, self._personal_candidates)
        return stage

    def final_round(self, popularity: ScoreWeights, personal: Stage) -> FinalRound:
        """Popularity alone against the leaders and the best start, by the serving scorer's answers on all windows."""
        windows = [self._final_window(personal), *(self._earlier_window(one, personal.als) for one in self._earlier)]
        finals = FinalRound(FINALS, windows, personal.als)
        leaders = [trial.weights for trial in (*personal.leaders[:FINALISTS], personal.best_start)]
        finals.try_all(list(dict.fromkeys([popularity, *leaders])))
        return finals

    def repeats_round(self, finals: FinalRound, personal: Stage) -> FinalRound:
        """Whether purchased products are recommended again, and at which weight."""
        repeats = FinalRound(REPEATS, [self._final_window(personal, new_only=False)], personal.als)
        repeats.try_all(repeat_starts(finals.winner()))
        return repeats

    def offline_stages(self, streaming: ScoreWeights, stages: Sequence[Stage]) -> list[Stage]:
        """The offline weights, with the factors of each of these stages.

        They may use factors where the streaming weights have none.
        """
        before = self._start.weights.offline_weights if self._start else None
        starts = [*offline_starts(streaming), *([before] if before else ())]
        table = self._window.holdout_table({one.model: self._models[one.model].trained for one in stages}, starts)
        found = [Stage(OFFLINE, table, one.model, one.als) for one in stages]
        for stage in found:
            stage.try_all(starts)
        return found

    def _final_window(self, personal: Stage, **special: Any) -> FinalWindow:
        return FinalWindow(self._window, self._models[personal.model].trained, self._window.protocol(**special))

    def _earlier_window(self, window: SearchWindow, als: AlsSettings) -> FinalWindow:
        return FinalWindow(window, self._cache.trained_parts(window.view, als), window.protocol())


def _choice(popularity: Stage, stages: Sequence[Trials], repeats: FinalRound, offline: Sequence[Stage]) -> Choice:
    best = max(offline, key=lambda stage: stage.best.value).best
    weights = with_offline_weights(repeats.best.weights, best.weights)
    return Choice(
        ModelConfig(best.als, weights, best_single_trend(popularity.trials)),
        tuple(trial for stage in stages for trial in stage.notable),
        {name: sum(stage.tried for stage in stages if stage.name == name) for name in STAGES},
    )


def best_single_trend(trials: Sequence[SearchTrial]) -> ScoreWeights:
    """The best popularity of one half-life that follows the stream: the baseline of the composed score."""
    alone = [
        trial
        for trial in trials
        if len(trial.weights.trends) == 1 and not trial.weights.popularity and not trial.weights.baseline_trends
    ]
    return max(alone, key=lambda trial: trial.value).weights
