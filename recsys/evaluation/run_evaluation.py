"""Evaluation as a step of a run: recipes compared on the newest purchases, each fitted to those before. No Spark.

By the rolling protocol of `spark.evaluate`: the code that serves answers each order from what was known before it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from recsys.als_settings import AlsSettings, EvaluationSettings
from recsys.decayed_counts import DAY_MS
from recsys.evaluation import gate, html_report, rolling
from recsys.evaluation.gate import CANDIDATE, LIVE, POPULARITY, Judgement
from recsys.evaluation.methods import COMPOSED, DEFAULT, Fits, Recipe, compared, methods
from recsys.evaluation.purchase_log import ANONYMOUS, Log
from recsys.evaluation.rolling import Method, Protocol
from recsys.evaluation.summary import summary
from recsys.evaluation.training_view import Background, background
from recsys.evaluation.weight_search import Choice, Window, choose, impersonal, with_still
from recsys.score_weights import Composition
from services.common.events import format_time

Json = dict[str, Any]
CLIMBING = 1 / 3
"""Of the time for a search; the rest goes into its table and its finals."""


@dataclass(frozen=True, slots=True)
class Evaluated:
    """The next model's recipe, the gate's word, the search's record; where anything could be measured `document`, which
    is metrics.json, and the same as a page for people."""

    recipe: Recipe
    judgement: Judgement
    search: Json
    document: Json | None = None
    page: str | None = None

    @property
    def metrics(self) -> Json:
        """What the manifest says of it: the winner's figures."""
        if self.document is None:
            return {}
        (standing,) = (each for each in self.judgement.standings if each.name == self.judgement.winner)
        split, until = self.document["split"], self.document["until"]
        return {"protocol": self.document["judged_by"], "split": split, "until": until, **standing.record()["figures"]}


@dataclass(frozen=True, slots=True)
class Spans:
    """The last days, epoch ms: the search takes those from `chosen` to `split`, the gate those to `until`."""

    chosen: int
    split: int
    until: int


def recipe_of(manifest: Json) -> Recipe | None:
    """The recipe that a published model was made by; None where its manifest names none that can be used today."""
    try:
        composition = msgspec.convert(manifest["composition"], Composition)
        als = AlsSettings(**{name: manifest["settings"][name] for name in AlsSettings.model_fields})
    except (KeyError, TypeError, ValueError):  # of a format that is no more, or written by hand
        return None
    return Recipe(als, composition, impersonal(composition))


def spans_of(log: Log, settings: EvaluationSettings) -> Spans:
    """Each span takes its days, but never more than a quarter of what the log covers. What lies ahead is not asked."""
    until = log.newest_ms + 1
    quarter = (until - int(log.at_ms[0])) // 4
    split = until - min(settings.gate_days * DAY_MS, quarter)
    return Spans(split - min(settings.search_days * DAY_MS, quarter), split, until)


def strongest(choice: Choice) -> Recipe:
    """The choice, or where that shuns what is personal the best personal finalist: the gate is to say why."""
    finalists = [trial for trial in choice.trials if trial.stage == "finals"]
    personal = [trial for trial in finalists if gate.personalises(trial.composition)]
    if gate.personalises(choice.recipe.composition) or not personal:
        return choice.recipe
    best = max(personal, key=lambda trial: trial.value)
    still = choice.recipe.composition.still
    composition = with_still(best.composition, still) if still else best.composition
    return Recipe(best.als, composition, choice.recipe.live)


class Evaluation:
    """One evaluation of a log: `als` are the settings to choose a composition for, `live` is what serves today."""

    def __init__(self, log: Log, settings: EvaluationSettings, als: AlsSettings, live: Recipe | None) -> None:
        self._log = log
        self._settings = settings
        self._als = als
        self._live = live
        self._spans = spans_of(log, settings)

    def run(self, scratch: Path) -> Evaluated:
        """Choose a candidate, compare it with the live recipe and with popular products.

        `scratch` takes the factors that are fitted. Where too little was bought to tell, the live recipe stays, or
        the usual one begins.
        """
        if reason := self._too_little():
            return self._as_before(reason)
        fits = Fits(scratch)
        candidate, search = self._candidate(fits)
        recipes = self._recipes(candidate)
        known = background(self._log, self._spans.split)
        answers = {
            name: rolling.evaluate(known, self._spans.until, _methods(known, recipes, fits, protocol), protocol, name)
            for name, protocol in self._protocols(recipes).items()
        }
        judged_by = [*answers][-1]
        if reason := gate.too_little(answers[judged_by], self._settings.gate_questions):
            return self._as_before(reason)
        judgement = gate.judge(answers[judged_by], {name: recipe.composition for name, recipe in recipes.items()})
        document = self._document(recipes, search) | {"judged_by": judged_by}
        document |= {name: summary(found, known.popularity(None), COMPOSED) for name, found in answers.items()}
        return Evaluated(recipes[judgement.winner], judgement, search, document, html_report.page(document))

    def _too_little(self) -> str | None:
        """Why the spans cannot decide, as far as that can be told before anybody was asked."""
        spans, needed = self._spans, self._settings.gate_questions
        bounds = ((0, spans.chosen), (spans.chosen, spans.split), (spans.split, spans.until))
        reasons = (gate.too_few(*self._known_orders(first, last), needed) for first, last in bounds)
        return next((reason for reason in reasons if reason), None)

    def _as_before(self, reason: str) -> Evaluated:
        if self._live:
            return Evaluated(self._live, Judgement(LIVE, f"{reason}; the live model's recipe stays."), {})
        usual = Recipe(self._als, DEFAULT, impersonal(DEFAULT))
        return Evaluated(usual, Judgement(CANDIDATE, f"{reason}; the usual recipe serves until there are more."), {})

    def _candidate(self, fits: Fits) -> tuple[Recipe, Json]:
        """The recipe that a search prefers, and the record of the search."""
        settings, spans = self._settings, self._spans
        if not settings.search_seconds:
            composition = self._live.composition if self._live else DEFAULT
            recipe = Recipe(self._als, composition, impersonal(composition))
            return recipe, {"seconds": 0, "tried": {}, "trials": []}
        share = self._share(spans.chosen, spans.split, settings.search_questions)
        window = Window(background(self._log, spans.chosen), spans.split, share, settings.search_seed)
        choice = choose(window, fits, settings.search_seconds * CLIMBING, [self._als], self._live)
        return strongest(choice), {
            "from": format_time(spans.chosen),
            "until": format_time(spans.split),
            "sample": share,
            "seed": settings.search_seed,
            "seconds": settings.search_seconds,
            "tried": choice.tried,
            "trials": [trial.record() for trial in choice.trials],
        }

    def _recipes(self, candidate: Recipe) -> dict[str, Recipe]:
        """What the gate compares. Popular products are what the candidate gives to strangers."""
        popular = impersonal(candidate.composition)
        recipes = {CANDIDATE: candidate, POPULARITY: Recipe(candidate.als, popular, popular)}
        return recipes | ({LIVE: self._live} if self._live else {})

    def _protocols(self, recipes: dict[str, Recipe]) -> dict[str, Protocol]:
        """What is asked; the last decides. Where bought products may be shown again, they are to be found as well."""
        share = self._share(self._spans.split, self._spans.until, self._settings.gate_questions_asked)
        asked = {"rolling": Protocol(sample=share)}
        if any(not recipe.composition.mask_bought for recipe in recipes.values()):
            asked["repeats"] = Protocol(sample=share, new_only=False)
        return asked

    def _share(self, first_ms: int, last_ms: int, questions: int) -> float:
        """The share of the orders that makes about so many questions."""
        orders, _days = self._known_orders(first_ms, last_ms)
        return min(1.0, questions / max(orders, 1))

    def _known_orders(self, first_ms: int, last_ms: int) -> tuple[int, int]:
        """Orders of known customers in a span, and the days they lie on."""
        lines = slice(self._log.at(first_ms), self._log.at(last_ms))
        known = self._log.customers[lines] != ANONYMOUS
        orders, at_ms = self._log.orders[lines][known], self._log.at_ms[lines][known]
        return len(np.unique(orders)), len(np.unique(at_ms // DAY_MS))

    def _document(self, recipes: dict[str, Recipe], search: Json) -> Json:
        """metrics.json without the figures, with the words that the report page reads."""
        split = self._spans.split
        return {
            "file": "the shop's purchases",
            "split": format_time(split),
            "until": format_time(self._spans.until),
            "sample": self._share(split, self._spans.until, self._settings.gate_questions_asked),
            "validation": {"from": search.get("from", format_time(split)), "sample": search.get("sample", 1.0)},
            "looks": 1,
            "recipe": recipes[CANDIDATE].record(),
            "search": search["trials"],
            "tried": search["tried"],
            "seconds": {"search": search["seconds"]},
        }


def _methods(known: Background, recipes: dict[str, Recipe], fits: Fits, protocol: Protocol) -> list[Method]:
    """The recipes, and beside them what every report shows."""
    baselines = methods(known, recipes[CANDIDATE], fits, live=True, mask_bought=protocol.new_only)
    return [*compared(known, recipes, fits), *baselines]
