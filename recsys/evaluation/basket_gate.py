"""The gate of the weights of baskets: the rule of recsys/evaluation/gate.py, on basket completion. Pure functions."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from recsys.basket_weights import BasketWeights, depends_on_basket
from recsys.decayed_counts import DAY_MS
from recsys.evaluation.gate import (
    CANDIDATE,
    LIVE,
    MIN_DAYS,
    NAMES,
    POPULARITY,
    PREFERENCE,
    CandidateResult,
    ComparedAnswers,
    Json,
    in_words,
    with_refusals,
)
from recsys.evaluation.metrics import Interval
from recsys.evaluation.rolling import Answers

RULE = (
    "Of each of the newest orders with two products or more one product is taken out, and the others ask for it. "
    "Weights are compared by hit rate at 3 plus NDCG at 10. Weights that use the basket are refused unless their "
    "difference to popular products has a 95 % interval (paired, bootstrap over days) entirely above zero. New ones "
    "are also refused if their difference to the live ones has an interval entirely below zero. The best of those left "
    "serve baskets. Popular products are never refused."
)
GROUP = "baskets"


@dataclass(frozen=True, slots=True)
class BasketDecision:
    """The weights that serve baskets from now on, their name and why, and the results of all."""

    weights: BasketWeights
    winner: str
    reason: str
    results: tuple[CandidateResult, ...] = ()

    def record(self) -> Json:
        """As JSON, for the manifest and `reports/gate/`."""
        return {
            "winner": self.winner,
            "reason": self.reason,
            "rule": RULE,
            "recipes": [result.record() for result in self.results],
        }


def decide_baskets(answers: Answers, configs: Mapping[str, BasketWeights], needed: int) -> BasketDecision:
    """Decide between weights that answered the same baskets; their names are the methods of the answers.

    With fewer than `needed` baskets, or days, the live weights stay; without live ones the candidate serves.
    """
    days = len(np.unique(answers.at_ms // DAY_MS))
    if len(answers) < needed or days < MIN_DAYS:
        stays = LIVE if LIVE in configs else CANDIDATE
        reason = (
            f"Too few orders to compare the weights of baskets: {len(answers):,} with two products or more on {days} "
            f"days, {needed:,} on {MIN_DAYS} days are needed. The {NAMES[stays]} serves baskets."
        )
        return BasketDecision(configs[stays], stays, reason)
    compared = ComparedAnswers(answers, {GROUP: np.ones(len(answers), np.bool_)}, live=GROUP, popularity=GROUP)
    results = [
        compared.result(name, LIVE in configs, partial(_refusal, name, configs[name]))
        for name in PREFERENCE
        if name in configs
    ]
    winner = max((result for result in results if not result.refused), key=lambda result: result.value)
    return BasketDecision(configs[winner.name], winner.name, _reason(winner, results), tuple(results))


def _refusal(
    name: str, weights: BasketWeights, against_live: Interval | None, against_popularity: Interval | None
) -> str | None:
    if name == POPULARITY:
        return None
    if depends_on_basket(weights) and against_popularity is not None and not against_popularity.low > 0:
        words = in_words(against_popularity)
        return f"It uses the basket and is not significantly better than popular products: {words}"
    if name == CANDIDATE and against_live is not None and against_live.high < 0:
        return f"It is significantly worse than the live configuration: {in_words(against_live)}"
    return None


def _reason(winner: CandidateResult, results: list[CandidateResult]) -> str:
    hits = {result.name: result.figures[GROUP]["hr@3"].value * 1000 for result in results}
    words = (
        f"For baskets the {NAMES[winner.name]} is the best: of 1,000 orders, {hits[winner.name]:.0f} contain one of "
        "its first three products"
    )
    if winner.name != POPULARITY:
        words += f", with popular products {hits[POPULARITY]:.0f}"
    return with_refusals(words, results)
