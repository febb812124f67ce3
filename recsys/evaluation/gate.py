"""The gate: which recipe may become the next model, and why the others may not. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from recsys.decayed_counts import DAY_MS
from recsys.evaluation.metrics import Chosen, DayBootstrap, Interval, groups, interval, values
from recsys.evaluation.rolling import Answers
from recsys.score_weights import Composition
from recsys.topk import Float64s

Json = dict[str, Any]
Verdict = Literal["published", "refused"]
CANDIDATE, LIVE, POPULARITY = "candidate", "live", "popularity"
PREFERENCE = (LIVE, POPULARITY, CANDIDATE)
"""Among equals the first is taken: what serves stays, and what is simpler comes before what was searched for."""
MIN_DAYS = 5
"""Fewer days give no interval worth the name: it is made by drawing days."""
SHOWN = ("hr@3", "ndcg@10")
RULE = (
    "Recipes are compared on the newest purchases, each fitted to those before, by hit rate at 3 plus NDCG at 10. A "
    "recipe is refused if its difference to the live model's over all known customers has a 95 % interval (paired, "
    "days drawn anew) wholly below zero, or if it looks at a customer's own purchases and its difference to popular "
    "products over customers with purchases has an interval that does not lie wholly above zero. Of those left, the "
    "best over all known customers is fitted to everything. Popular products are never refused."
)


@dataclass(frozen=True, slots=True)
class CandidateResult:
    """How one recipe did. Values and differences are of hit rate at 3 + NDCG at 10; None: nothing to compare with."""

    name: str
    value: float
    figures: dict[str, dict[str, Interval]]
    against_live: Interval | None = None
    against_popularity: Interval | None = None
    refused: str | None = None

    def record(self) -> Json:
        """As the manifest keeps it."""
        return {
            "name": self.name,
            "refused": self.refused,
            "figures": {
                group: {metric: _listed(figure) for metric, figure in figures.items()}
                for group, figures in self.figures.items()
            },
            "against_live": self.against_live and _listed(self.against_live),
            "against_popularity": self.against_popularity and _listed(self.against_popularity),
        }


@dataclass(frozen=True, slots=True)
class ModelCheck:
    """One check of what was written."""

    name: str
    passed: bool
    detail: str


@dataclass(frozen=True, slots=True)
class GateDecision:
    """What the gate says: the winner and why, every recipe's standing, and the checks of the model made of it."""

    winner: str
    reason: str
    results: tuple[CandidateResult, ...] = ()
    checks: tuple[ModelCheck, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """Refused where a check of the written model failed."""
        return "published" if all(check.passed for check in self.checks) else "refused"

    def checked(self, checks: Sequence[ModelCheck]) -> "GateDecision":
        """The judgement with the checks of what was written; the first that failed is the reason."""
        failed = [check for check in checks if not check.passed]
        reason = f"The model was not published: {failed[0].detail}." if failed else self.reason
        return replace(self, checks=(*checks,), reason=reason)

    def record(self, version: str) -> Json:
        """As the manifest and `reports/gate/` keep it."""
        return {
            "version": version,
            "verdict": self.verdict,
            "winner": self.winner,
            "reason": self.reason,
            "rule": RULE,
            "recipes": [result.record() for result in self.results],
            "checks": [{"name": check.name, "passed": check.passed, "detail": check.detail} for check in self.checks],
        }


def personalises(composition: Composition) -> bool:
    """Whether answers depend on what the customer bought (beyond leaving it out)."""
    return any((composition.factors, composition.neighbours, composition.categories, composition.repeats))


def too_little(answers: Answers, needed: int) -> str | None:
    """Why these answers decide nothing; None where they do."""
    warm = groups(answers)["warm"]
    return too_few(int(warm.sum()), len(np.unique(answers.at_ms[warm] // DAY_MS)), needed)


def too_few(questions: int, days: int, needed: int) -> str | None:
    """Why so many questions to known customers on so many days decide nothing; None where they do."""
    if questions >= needed and days >= MIN_DAYS:
        return None
    return (
        f"Too few purchases to compare recipes by: {questions:,} orders of customers with purchases on {days} days, "
        f"where {needed:,} on {MIN_DAYS} days are needed"
    )


def decide(answers: Answers, configs: Mapping[str, Composition]) -> GateDecision:
    """The gate's word on recipes that answered the same questions; their names are methods of the answers."""
    table = _Table(answers)
    results = [table.result(name, configs) for name in PREFERENCE if name in configs]
    winner = max((result for result in results if not result.refused), key=lambda result: result.value)
    return GateDecision(winner.name, _reason(winner, results), tuple(results))


class _Table:
    """The value of every answer."""

    def __init__(self, answers: Answers) -> None:
        found = values(answers)
        self._methods = answers.methods
        self._metrics = {metric: found[metric] for metric in SHOWN}
        self._value: Float64s = found["hr@3"] + found["ndcg@10"]
        self._groups = {name: groups(answers)[name] for name in ("warm", "all")}
        self._blocks = {name: DayBootstrap(answers.at_ms[chosen]) for name, chosen in self._groups.items()}

    def result(self, name: str, configs: Mapping[str, Composition]) -> CandidateResult:
        """One recipe against the others."""
        against_live = self._difference(name, LIVE, "all") if LIVE in configs and name != LIVE else None
        against_popularity = self._difference(name, POPULARITY, "warm") if name != POPULARITY else None
        return CandidateResult(
            name,
            float(self._value[self._place(name)].mean()),
            {group: self._figures(name, group, chosen) for group, chosen in self._groups.items()},
            against_live,
            against_popularity,
            _refusal(name, configs[name], against_live, against_popularity),
        )

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
    name: str, composition: Composition, against_live: Interval | None, against_popularity: Interval | None
) -> str | None:
    if name == POPULARITY:
        return None
    if personalises(composition) and against_popularity is not None and not against_popularity.low > 0:
        return (
            "It looks at each customer's purchases and does not serve customers with purchases better than popular "
            f"products do, beyond chance: {_in_words(against_popularity)}"
        )
    if against_live is not None and against_live.high < 0:
        return f"It is worse than the live model's recipe, beyond chance: {_in_words(against_live)}"
    return None


def _in_words(difference: Interval) -> str:
    return f"difference {difference.value:+.4f}, between {difference.low:+.4f} and {difference.high:+.4f}"


_NAMES = {CANDIDATE: "newly chosen recipe", LIVE: "live model's recipe", POPULARITY: "recipe of popular products"}


def _reason(winner: CandidateResult, results: Sequence[CandidateResult]) -> str:
    hits = winner.figures["warm"]["hr@3"].value * 1000
    words = (
        f"The {_NAMES[winner.name]} does best: of 1,000 orders of customers with purchases, {hits:.0f} hold one of its "
        "first three products"
    )
    popular = next(result for result in results if result.name == POPULARITY)
    if winner.name != POPULARITY:
        words += f", of popular products {popular.figures['warm']['hr@3'].value * 1000:.0f}"
    refused = [f"The {_NAMES[each.name]} was refused. {each.refused}." for each in results if each.refused]
    return " ".join([f"{words}.", *refused])


def _listed(figure: Interval) -> list[float]:
    return [round(figure.value, 6), round(figure.low, 6), round(figure.high, 6)]
