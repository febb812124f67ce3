"""The final round of the weight search: the leaders by the serving scorer's own answers, on one window or several."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from recsys.als_settings import AlsSettings
from recsys.decayed_counts import DAY_MS
from recsys.evaluation.belief import ACROSS_SHOPS, ENOUGH, UNKNOWN, Belief, gain
from recsys.evaluation.metrics import values
from recsys.evaluation.rolling import Answers, EvaluationProtocol, Method, evaluate
from recsys.evaluation.search_trials import Trials
from recsys.evaluation.search_window import SearchWindow
from recsys.evaluation.weight_candidates import personalises
from recsys.score_weights import ScoreWeights
from recsys.scorer import ComposedScorer, TrainedParts
from recsys.topk import Allowed, Float64s, Int64s

AWAY_DAYS = 30
"""Whose newest purchase is older is away: for them popular products may be the better answer."""


@dataclass(frozen=True, slots=True)
class FinalWindow:
    """A window, the model trained on what came before it, and its questions."""

    window: SearchWindow
    trained: TrainedParts
    protocol: EvaluationProtocol

    def answers(self, candidates: Sequence[ScoreWeights], title: str) -> Answers:
        """The answers with all candidates, in one pass over the log."""
        methods = [
            Method(str(place), ComposedScorer(self.trained, weights)) for place, weights in enumerate(candidates)
        ]
        return evaluate(self.window.view, self.window.until_ms, methods, self.protocol, title)


class FinalRound(Trials):
    """Trials by the answers of the serving scorer. The first candidate is popular products alone."""

    def __init__(self, name: str, windows: Sequence[FinalWindow], als: AlsSettings) -> None:
        super().__init__(name, als)
        self._windows = windows
        self._value: Float64s = np.empty((0, 0))  # [candidates, questions] of all windows
        self._at_ms: Int64s = np.empty(0, np.int64)
        self._gap_ms: Int64s = np.empty(0, np.int64)

    def try_all(self, candidates: Sequence[ScoreWeights]) -> None:
        """Answer the questions of all windows with all candidates."""
        answers = [one.answers(candidates, self.name) for one in self._windows]
        each = [values(some) for some in answers]
        found = {name: np.concatenate([one[name] for one in each], axis=1) for name in each[0]}
        for place, weights in enumerate(candidates):
            figures = {name: float(value[place].mean()) if value.size else 0.0 for name, value in found.items()}
            self.add(weights, figures)
        self._value = found["hr@3"] + found["ndcg@10"]
        self._at_ms = np.concatenate([some.at_ms for some in answers])
        self._gap_ms = np.concatenate([some.gap_ms for some in answers])

    @property
    def strongest(self) -> int:
        """The place of the best that uses purchases; 0 where none does."""
        personal = [place for place, trial in enumerate(self.trials) if personalises(trial.weights)]
        return max(personal, key=lambda place: self.trials[place].value, default=0)

    @property
    def belief(self) -> Belief:
        """What is known of the gain of the strongest over popular products."""
        return ACROSS_SHOPS.and_also(self._gain(np.ones(len(self._at_ms), np.bool_)))

    def winner(self) -> ScoreWeights:
        """The strongest, if its gain over popular products is believed; else these.

        Customers who are away get popular products, unless the strongest was better for them.
        """
        if self.belief.chance < ENOUGH:
            return self.trials[0].weights
        weights = self.trials[self.strongest].weights
        away = UNKNOWN.and_also(self._gain(self._gap_ms >= AWAY_DAYS * DAY_MS))
        return weights if away.chance > 0.5 else msgspec.structs.replace(weights, personal_days=AWAY_DAYS)

    def _gain(self, asked: Allowed) -> Belief | None:
        return gain(self._value[self.strongest, asked], self._value[0, asked], self._at_ms[asked])
