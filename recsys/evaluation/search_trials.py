"""Trials of the weight search on a score table.

A random search is bounded by the number of its candidates, not by time: the same purchases and seed give the same
trials on every machine. Its rounds are successive halving (Jamieson and Talwalkar, "Non-stochastic Best Arm
Identification", 2016): all candidates of a round on a ninth of the questions, the best third of them on a third, the
best third of these on all.
"""

import math
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from recsys.als_settings import AlsSettings
from recsys.evaluation.metrics import DayBootstrap, values
from recsys.evaluation.rolling import Answers
from recsys.evaluation.weight_candidates import Mutation, Random
from recsys.score_weights import ScoreWeights

PARENTS = 4
ROUND = 27
"""Candidates of a round of the random search: its parents are the leaders of the rounds before."""
KEPT = 1 / 3
PARTS = (9, 3)
"""Before a table decides with all its questions, every ninth and every third of them do."""
FEWEST = 150
"""Questions that a part needs at least to tell candidates apart; a smaller part is skipped."""


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


class TrialTable(typing.Protocol):
    """What evaluates a candidate without asking the scorer: `ScoreTable`."""

    def values(self, weights: ScoreWeights, model: str, /) -> dict[str, float]:
        """HR@3 and NDCG@10 of the weights with one model's factors."""
        ...

    def part(self, step: int, /) -> "TrialTable":
        """The table of every `step`-th question."""
        ...

    def __len__(self) -> int:
        """The number of questions."""
        ...


class Trials:
    """Trials with one model's factors. Among equals the first is the best."""

    def __init__(self, name: str, als: AlsSettings) -> None:
        self.name = name
        self.als = als
        self.trials: list[SearchTrial] = []
        self.tried = 0
        """Candidates, those included that only a part of the questions was asked."""

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
        self.tried += 1
        self.trials.append(SearchTrial(self.name, weights, self.als, _value(figures), figures))


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

    @property
    def best_start(self) -> SearchTrial:
        """The best of the starts: fixed weights, no luck of a search in their value."""
        return max(self.trials[: self._starts], key=lambda trial: trial.value)

    def random_search(self, starts: Sequence[ScoreWeights], mutate: Mutation, random: Random, candidates: int) -> None:
        """Try the starts, then so many mutations of the leaders, round by round."""
        self.try_all(starts)
        parts = [self._table.part(step) for step in PARTS if len(self._table) >= step * FEWEST]
        for first in range(0, candidates, ROUND):
            parents = [trial.weights for trial in self.leaders[:PARENTS]]
            drawn = random.integers(len(parents), size=min(ROUND, candidates - first))
            mutations = [mutate(parents[place], random) for place in drawn.tolist()]
            survivors = self._halved(mutations, parts)
            self.tried += len(mutations) - len(survivors)
            for weights in survivors:
                self._try(weights)

    def try_all(self, candidates: Sequence[ScoreWeights]) -> None:
        """Try these as starts."""
        for weights in candidates:
            self._try(weights)
        self._starts = len(self.trials)

    def _halved(self, candidates: Sequence[ScoreWeights], parts: Sequence[TrialTable]) -> Sequence[ScoreWeights]:
        """The candidates that are among the best of each part, one part after the other."""
        for part in parts:
            found = [_value(part.values(weights, self.model)) for weights in candidates]
            best = np.argsort(-np.array(found), kind="stable")[: math.ceil(len(candidates) * KEPT)]
            candidates = [candidates[place] for place in best.tolist()]
        return candidates

    def _try(self, weights: ScoreWeights) -> None:
        self.add(weights, self._table.values(weights, self.model))


def better(answers: Answers, one: int, other: int) -> bool:
    """Whether the 95 % interval of a method's advantage over another, paired by day, lies above zero."""
    found = values(answers)
    value = found["hr@3"] + found["ndcg@10"]
    low, _ = np.percentile(DayBootstrap(answers.at_ms).means(value[one] - value[other]), (2.5, 97.5))
    return bool(low > 0)


def _value(figures: dict[str, float]) -> float:
    return figures["hr@3"] + figures["ndcg@10"]
