"""The choice of the weights of baskets on a validation window: a seeded search over a fixed number of candidates.

The same purchases and seed give the same weights on every machine. The leaders meet popularity alone in a final round
by the serving scorer, on orders that the search has not seen; they are chosen only if they are significantly better.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from recsys.basket_weights import BasketWeights, OrderTerm, popular_basket
from recsys.evaluation.basket_table import HALF_LIVES_H, BasketTable, tabulate_baskets
from recsys.evaluation.baskets import BasketProtocol, evaluate_baskets, share_of
from recsys.evaluation.metrics import values
from recsys.evaluation.rolling import Method
from recsys.evaluation.search_trials import better
from recsys.evaluation.training_view import TrainingView
from recsys.evaluation.weight_candidates import Random, choice, jittered
from recsys.fold_in import FoldIn
from recsys.score_weights import DecayTerm, ScoreWeights
from recsys.scorer import ComposedScorer, TrainedParts

FINALISTS = 3
PARENTS = 4
PRODUCTS = 1000
"""Products of a basket that count: all that a request may have."""
RECENCY = (DecayTerm(336.0, 1.0),)


@dataclass(frozen=True, slots=True)
class SearchSize:
    """How much a search tries: orders in the table, orders of the final round, mutations after the starts."""

    table: int = 2000
    final: int = 2000
    mutations: int = 120
    seed: int = 1


@dataclass(frozen=True, slots=True)
class BasketTrial:
    """One candidate and its figures. `stage`: `table` or `final`."""

    stage: str
    weights: BasketWeights
    figures: dict[str, float]

    @property
    def value(self) -> float:
        """Hit rate at 3 + NDCG at 10."""
        return self.figures["hr@3"] + self.figures["ndcg@10"]

    def record(self) -> dict[str, Any]:
        """As JSON."""
        return {"stage": self.stage, "weights": msgspec.to_builtins(self.weights), "figures": self.figures}


@dataclass(frozen=True, slots=True)
class BasketChoice:
    """The chosen weights: `popular`, or `strongest`, the best that depend on the basket."""

    weights: BasketWeights
    strongest: BasketWeights
    popular: BasketWeights
    tried: int
    trials: tuple[BasketTrial, ...]  # the best of the table, and the final round

    def record(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "weights": msgspec.to_builtins(self.weights),
            "tried": self.tried,
            "trials": [trial.record() for trial in self.trials],
        }


def without_factors(view: TrainingView) -> TrainedParts:
    """What the scorer needs of a view for baskets: their weights use no factors."""
    none = np.zeros((0, 1), np.float32)
    return TrainedParts(none, FoldIn(none, alpha=1.0, regularisation=1.0), view.popularity(), view.categories)


def choose_basket_weights(view: TrainingView, until_ms: int, size: SearchSize = SearchSize()) -> BasketChoice:
    """Choose on the orders from the view's moment to `until_ms`."""
    log = view.log
    share = share_of(log, view.last, log.at(until_ms), size.table + size.final)
    in_table = share * size.table / (size.table + size.final)
    table = tabulate_baskets(view, until_ms, BasketProtocol(sample=in_table, seed=size.seed))
    trials = _search(table, size)
    popular = max((trial for trial in trials if not trial.weights.orders.weight), key=lambda trial: trial.value)
    leaders = sorted((trial for trial in trials if trial.weights.orders.weight), key=lambda trial: -trial.value)
    finalists = [popular_basket(popular.weights), *(trial.weights for trial in leaders[:FINALISTS])]
    finals, best = _final_round(view, until_ms, finalists, BasketProtocol(share - in_table, in_table, size.seed))
    strongest = max(finals[1:], key=lambda trial: trial.value).weights
    notable = (popular, *leaders[:FINALISTS], *finals)
    return BasketChoice(finalists[best], strongest, finalists[0], len(trials), notable)


def starts() -> list[BasketWeights]:
    """Popularity of each half-life, then the term of orders with each kind of normalisation, and with popularity."""
    popular = [_others(live=1.0, hours=hours) for hours in HALF_LIVES_H]
    return [
        *(BasketWeights(OrderTerm(weight=0.0), others) for others in popular),
        *(
            BasketWeights(OrderTerm(1.0, shrink, balance), _others(live, 24.0))
            for live in (0.0, 0.003, 0.01, 0.03)
            for shrink in (5.0, 20.0, 80.0)
            for balance in (0.0, 0.2, 0.35, 0.5)
        ),
    ]


def mutate(parent: BasketWeights, random: Random) -> BasketWeights:
    """Change about half of the shape: shrinkage, balance, popularity with its half-lives, customers' co-purchases."""
    orders, others = parent.orders, parent.others
    if random.random() < 0.5:
        orders = msgspec.structs.replace(orders, shrink=jittered(orders.shrink, random))
    if random.random() < 0.5:
        balance = float(np.clip(orders.balance + random.normal(scale=0.1), 0.0, 1.0))
        orders = msgspec.structs.replace(orders, balance=round(balance, 2))
    if random.random() < 0.5:
        others = msgspec.structs.replace(others, live=jittered(others.live or 0.003, random))
    if random.random() < 0.3:
        parts = (
            DecayTerm(choice(HALF_LIVES_H, random), 1.0),
            DecayTerm(choice(HALF_LIVES_H, random), jittered(0.3, random)),
        )
        others = msgspec.structs.replace(others, trends=parts[: int(random.integers(1, 3))])
    if random.random() < 0.3:
        neighbours = 0.0 if random.random() < 0.3 else jittered(others.neighbours or 0.3, random)
        others = msgspec.structs.replace(others, neighbours=neighbours, balance=float(random.choice((0.0, 0.2, 0.5))))
    return BasketWeights(orders, others)


def _search(table: BasketTable, size: SearchSize) -> list[BasketTrial]:
    random = np.random.default_rng(size.seed)
    trials = [_trial(table, weights) for weights in starts()]
    for _ in range(size.mutations):
        parents = sorted((trial for trial in trials if trial.weights.orders.weight), key=lambda trial: -trial.value)
        parent = parents[int(random.integers(PARENTS))].weights
        trials.append(_trial(table, mutate(parent, random)))
    return trials


def _trial(table: BasketTable, weights: BasketWeights) -> BasketTrial:
    return BasketTrial("table", weights, table.values(weights))


def _final_round(
    view: TrainingView, until_ms: int, finalists: Sequence[BasketWeights], protocol: BasketProtocol
) -> tuple[list[BasketTrial], int]:
    """The finalists by the scorer's answers, and the place of the best: 0 unless another is significantly better."""
    answers = evaluate_baskets(view, until_ms, basket_methods(view, dict(enumerate(finalists))), protocol)
    found = values(answers)
    figures = [
        {name: float(found[name][place].mean()) if len(answers) else 0.0 for name in ("hr@3", "ndcg@10")}
        for place in range(len(finalists))
    ]
    trials = [BasketTrial("final", weights, each) for weights, each in zip(finalists, figures, strict=True)]
    best = max(range(len(trials)), key=lambda place: trials[place].value)
    return trials, best if best and len(answers) and better(answers, best, 0) else 0


def basket_methods(view: TrainingView, weights: dict[Any, BasketWeights]) -> list[Method]:
    """One method by each of these weights, named by its key."""
    trained = without_factors(view)
    return [Method(str(name), ComposedScorer(trained, each.others, each.orders)) for name, each in weights.items()]


def _others(live: float, hours: float) -> ScoreWeights:
    return ScoreWeights(
        live=live, trends=(DecayTerm(hours, 1.0),), recency=RECENCY, shrink=20.0, balance=0.5, purchases=PRODUCTS
    )
