"""The gate: decides which model configuration may be published, and why the others may not. Pure functions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np

from recsys.decayed_counts import DAY_MS
from recsys.evaluation.belief import ACROSS_SHOPS, ENOUGH, Belief, gain
from recsys.evaluation.metrics import Chosen, DayBootstrap, Interval, groups, interval, values
from recsys.evaluation.rolling import Answers
from recsys.evaluation.weight_candidates import personalises
from recsys.score_weights import ScoreWeights
from recsys.topk import Float64s

Json = dict[str, Any]
Verdict = Literal["published", "refused"]
CANDIDATE, LIVE, POPULARITY = "candidate", "live", "popularity"
PREFERENCE = (LIVE, POPULARITY, CANDIDATE)
"""Among equals the first wins: the live configuration stays, and the simpler one precedes the searched one."""
MIN_DAYS = 5
"""The intervals resample days: fewer days give no useful interval."""
SHOWN = ("hr@3", "ndcg@10")
RULE = (
    "Model configurations are compared on the newest purchases, each trained on the purchases before, by hit rate at 3 "
    "plus NDCG at 10. A configuration is refused if its difference to the live one over all known customers has a 95 % "
    "interval (paired, bootstrap over days) entirely below zero. A configuration that uses a customer's own purchases "
    "is also refused unless it gains over popular products with a probability of 90 %, by all that is known: other "
    "shops, the windows before, and these purchases of customers with purchases. Of those left, the best over all "
    "known customers is trained on all purchases. Popular products are never refused, and win where nothing personal "
    "is left."
)


@dataclass(frozen=True, slots=True)
class CandidateResult:
    """Figures of one configuration. Values and differences: hit rate at 3 + NDCG at 10; None: nothing to compare."""

    name: str
    value: float
    figures: dict[str, dict[str, Interval]]
    against_live: Interval | None = None
    against_popularity: Interval | None = None
    refused: str | None = None
    belief: Belief | None = None  # in the gain over popular products

    def record(self) -> Json:
        """As JSON, for the manifest."""
        return {
            "name": self.name,
            "refused": self.refused,
            "figures": {
                group: {metric: _listed(figure) for metric, figure in figures.items()}
                for group, figures in self.figures.items()
            },
            "against_live": self.against_live and _listed(self.against_live),
            "against_popularity": self.against_popularity and _listed(self.against_popularity),
            "gain": self.belief and self.belief.record(),
        }


@dataclass(frozen=True, slots=True)
class ModelCheck:
    """One check of a written model."""

    name: str
    passed: bool
    detail: str


@dataclass(frozen=True, slots=True)
class GateDecision:
    """The winner and why, the results of all configurations, and the checks of the model trained with the winner."""

    winner: str
    reason: str
    results: tuple[CandidateResult, ...] = ()
    checks: tuple[ModelCheck, ...] = ()
    basket: Json | None = None  # the record of the decision on the weights of baskets

    @property
    def verdict(self) -> Verdict:
        """Refused where a check of the written model failed."""
        return "published" if all(check.passed for check in self.checks) else "refused"

    def with_checks(self, checks: Sequence[ModelCheck]) -> "GateDecision":
        """The decision with the checks of the written model; the first failed check becomes the reason."""
        failed = [check for check in checks if not check.passed]
        reason = f"The model was not published: {failed[0].detail}." if failed else self.reason
        return replace(self, checks=(*checks,), reason=reason)

    def record(self, version: str) -> Json:
        """As JSON, for the manifest and `reports/gate/`."""
        return {
            "version": version,
            "verdict": self.verdict,
            "winner": self.winner,
            "reason": self.reason,
            "rule": RULE,
            "recipes": [result.record() for result in self.results],
            "checks": [{"name": check.name, "passed": check.passed, "detail": check.detail} for check in self.checks],
            "basket": self.basket,
        }


def too_little(answers: Answers, needed: int) -> str | None:
    """Why these answers are too few for a decision; None where they are enough."""
    warm = groups(answers)["warm"]
    return too_few(int(warm.sum()), len(np.unique(answers.at_ms[warm] // DAY_MS)), needed)


def too_few(questions: int, days: int, needed: int) -> str | None:
    """Why these numbers of warm questions and days are too small for a decision; None where they are enough."""
    if questions >= needed and days >= MIN_DAYS:
        return None
    return (
        f"Too few purchases to compare configurations: {questions:,} orders of customers with purchases on {days} "
        f"days, {needed:,} orders on {MIN_DAYS} days are needed"
    )


def decide(answers: Answers, configs: Mapping[str, ScoreWeights], candidate: Belief = ACROSS_SHOPS) -> GateDecision:
    """Decide between configurations that answered the same questions; their names are the methods of the answers.

    `candidate`: what earlier windows say of the candidate's gain over popular products.
    """
    chosen = groups(answers)
    compared = ComparedAnswers(answers, {name: chosen[name] for name in ("warm", "all")}, live="all", popularity="warm")
    results = []
    for name in (each for each in PREFERENCE if each in configs):
        before = candidate if name == CANDIDATE else ACROSS_SHOPS
        belief = before.and_also(compared.gain(name)) if personalises(configs[name]) else None
        result = compared.result(name, LIVE in configs, partial(_refusal, name, belief))
        results.append(replace(result, belief=belief))
    left = [result for result in results if not result.refused]
    if any(result.belief for result in left):
        left = [result for result in left if result.name != POPULARITY]
    winner = max(left, key=lambda result: result.value)
    return GateDecision(winner.name, _reason(winner, results), tuple(results))


class ComparedAnswers:
    """The metrics of every answer, for groups of the questions.

    `live` and `popularity` name the groups on which the differences to these are taken.
    """

    def __init__(self, answers: Answers, chosen: Mapping[str, Chosen], live: str, popularity: str) -> None:
        found = values(answers)
        self._methods = answers.methods
        self._at_ms = answers.at_ms
        self._metrics = {metric: found[metric] for metric in SHOWN}
        self._value: Float64s = found["hr@3"] + found["ndcg@10"]
        self._groups = chosen
        self._blocks = {name: DayBootstrap(answers.at_ms[group]) for name, group in chosen.items()}
        self._live = live
        self._popularity = popularity

    def result(
        self, name: str, has_live: bool, refusal: Callable[[Interval | None, Interval | None], str | None]
    ) -> CandidateResult:
        """One configuration against the others. `refusal` gets the differences to the live one and to popularity."""
        against_live = self._difference(name, LIVE, self._live) if has_live and name != LIVE else None
        against_popularity = self._difference(name, POPULARITY, self._popularity) if name != POPULARITY else None
        return CandidateResult(
            name,
            float(self._value[self._place(name)].mean()),
            {group: self._figures(name, group, chosen) for group, chosen in self._groups.items()},
            against_live,
            against_popularity,
            refusal(against_live, against_popularity),
        )

    def gain(self, name: str) -> Belief | None:
        """What these answers say of the gain of one configuration over popular products."""
        chosen = self._groups[self._popularity]
        one, other = (self._value[self._place(each), chosen] for each in (name, POPULARITY))
        return gain(one, other, self._at_ms[chosen])

    def _figures(self, name: str, group: str, chosen: Chosen) -> dict[str, Interval]:
        each = {metric: value[self._place(name), chosen] for metric, value in self._metrics.items()}
        blocks = self._blocks[group]
        return {metric: interval(float(value.mean()), blocks.means(value)) for metric, value in each.items()}

    def _difference(self, one: str, other: str, group: str) -> Interval:
        chosen = self._groups[group]
        difference = self._value[self._place(one), chosen] - self._value[self._place(other), chosen]
        return interval(float(difference.mean()), self._blocks[group].means(difference))

    def _place(self, name: str) -> int:
        return self._methods.index(name)


def _refusal(
    name: str, belief: Belief | None, against_live: Interval | None, against_popularity: Interval | None
) -> str | None:
    if name == POPULARITY:
        return None
    if belief and belief.chance < ENOUGH and against_popularity is not None:
        return (
            "It uses each customer's purchases, and too little speaks for its being better than popular products for "
            f"customers with purchases: {in_words(against_popularity)}; with all that was known before, "
            f"{belief.in_words()}"
        )
    if against_live is not None and against_live.high < 0:
        return f"It is significantly worse than the live configuration: {in_words(against_live)}"
    return None


def in_words(difference: Interval) -> str:
    """A difference as words for people."""
    return f"difference {difference.value:+.4f}, 95 % interval {difference.low:+.4f} to {difference.high:+.4f}"


NAMES = {CANDIDATE: "new configuration", LIVE: "live configuration", POPULARITY: "configuration of popular products"}


def _reason(winner: CandidateResult, results: Sequence[CandidateResult]) -> str:
    hits = winner.figures["warm"]["hr@3"].value * 1000
    words = (
        f"The {NAMES[winner.name]} is the best: of 1,000 orders of customers with purchases, {hits:.0f} contain one "
        "of its first three products"
    )
    popular = next(result for result in results if result.name == POPULARITY)
    if winner.name != POPULARITY:
        words += f", with popular products {popular.figures['warm']['hr@3'].value * 1000:.0f}"
    return with_refusals(words, results)


def with_refusals(words: str, results: Sequence[CandidateResult]) -> str:
    """The words as a sentence, followed by the refusals."""
    refused = [f"The {NAMES[each.name]} was refused. {each.refused}." for each in results if each.refused]
    return " ".join([f"{words}.", *refused])


def _listed(figure: Interval) -> list[float]:
    return [round(figure.value, 6), round(figure.low, 6), round(figure.high, 6)]
