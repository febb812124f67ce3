"""Trials of the weight search: on a score table (fast), or by the serving scorer's own answers (the final round)."""

import time
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from recsys.als_settings import AlsSettings
from recsys.evaluation.metrics import DayBootstrap, values
from recsys.evaluation.rolling import Answers, EvaluationProtocol, Method, evaluate
from recsys.evaluation.search_window import SearchWindow
from recsys.evaluation.weight_candidates import Mutation, Random
from recsys.score_weights import ScoreWeights
from recsys.scorer import ComposedScorer, TrainedParts

PARENTS = 4
Clock = Callable[[], float]
"""Monotonic seconds."""


@dataclass(frozen=True, slots=True)
class SearchTrial:
    """One candidate and its figures on the window."""

    stage: str
    weights: ScoreWeights
    als: AlsSettings
    value: float  # hit rate at 3 + NDCG at 10 of the stage's customers
    figures: dict[str, float]

    def record(self) -> dict[str, Any]:
        """As JSON, for the record of the search."""
        return {
            "stage": self.stage,
            "als": self.als.model_dump(),
            "composition": msgspec.to_builtins(self.weights),
            "value": self.value,
            "figures": self.figures,
        }


@dataclass(frozen=True, slots=True)
class Deadline:
    """A point in the clock's time."""

    at_s: float
    clock: Clock = time.monotonic

    @property
    def passed(self) -> bool:
        """Whether the clock has reached it."""
        return self.clock() >= self.at_s


class TrialTable(typing.Protocol):
    """What evaluates a candidate without asking the scorer: `ScoreTable`."""

    def values(self, weights: ScoreWeights, model: str, /) -> dict[str, float]:
        """HR@3 and NDCG@10 of the weights with one model's factors."""
        ...


class Trials:
    """Trials with one model's factors. Among equals the first is the best."""

    def __init__(self, name: str, als: AlsSettings) -> None:
        self.name = name
        self.als = als
        self.trials: list[SearchTrial] = []

    @property
    def leaders(self) -> list[SearchTrial]:
        """All trials, best first."""
        return sorted(self.trials, key=lambda trial: -trial.value)

    @property
    def best(self) -> SearchTrial:
        """The trial with the highest value."""
        return self.leaders[0]

    @property
    def notable(self) -> list[SearchTrial]:
        """The trials that the record keeps."""
        return self.trials

    def add(self, weights: ScoreWeights, figures: dict[str, float]) -> None:
        """Record a candidate's figures."""
        self.trials.append(SearchTrial(self.name, weights, self.als, figures["hr@3"] + figures["ndcg@10"], figures))


class Stage(Trials):
    """Trials on a score table."""

    def __init__(self, name: str, table: TrialTable, model: str, als: AlsSettings) -> None:
        super().__init__(name, als)
        self.model = model
        self._table = table
        self._starts = 0

    @property
    def notable(self) -> list[SearchTrial]:
        """The starts, and each trial that was better than all before it."""
        best = np.maximum.accumulate([trial.value for trial in self.trials])
        return [
            trial for place, trial in enumerate(self.trials) if place < self._starts or best[place] > best[place - 1]
        ]

    def random_search(
        self, starts: Sequence[ScoreWeights], mutate: Mutation, random: Random, deadline: Deadline
    ) -> None:
        """Try the starts, then mutations of the leaders until the deadline."""
        self.try_all(starts)
        while not deadline.passed:
            parents = self.leaders[:PARENTS]
            parent = parents[int(random.integers(len(parents)))].weights
            self._try(mutate(parent, random))

    def try_all(self, candidates: Sequence[ScoreWeights]) -> None:
        """Try these as starts."""
        for weights in candidates:
            self._try(weights)
        self._starts = len(self.trials)

    def _try(self, weights: ScoreWeights) -> None:
        self.add(weights, self._table.values(weights, self.model))


class FinalRound(Trials):
    """Trials by the answers of the serving scorer."""

    def __init__(self, name: str, window: SearchWindow, trained: TrainedParts, als: AlsSettings) -> None:
        super().__init__(name, als)
        self._window = window
        self._trained = trained
        self._answers: Answers | None = None

    def try_all(self, candidates: Sequence[ScoreWeights], protocol: EvaluationProtocol) -> None:
        """Answer the window's questions with all candidates, in one pass over the log."""
        methods = [
            Method(str(place), ComposedScorer(self._trained, weights)) for place, weights in enumerate(candidates)
        ]
        answers = evaluate(self._window.view, self._window.until_ms, methods, protocol, self.name)
        found = values(answers)
        for place, weights in enumerate(candidates):
            self.add(
                weights, {name: float(value[place].mean()) if len(answers) else 0.0 for name, value in found.items()}
            )
        self._answers = answers

    def winner(self) -> ScoreWeights:
        """The best, if it is significantly better than the first (bootstrap over days); else the first.

        The best of many trials on a small window owes part of its value to luck; then the weights that unknown users
        get are the safer choice for all.
        """
        assert self._answers is not None
        best = self.trials.index(self.best)
        pays = len(self._answers) > 0 and better(self._answers, best, 0)
        return self.trials[best if pays else 0].weights


def better(answers: Answers, one: int, other: int) -> bool:
    """Whether the 95 % interval of a method's advantage over another, paired by day, lies above zero."""
    found = values(answers)
    value = found["hr@3"] + found["ndcg@10"]
    low, _ = np.percentile(DayBootstrap(answers.at_ms).means(value[one] - value[other]), (2.5, 97.5))
    return bool(low > 0)
