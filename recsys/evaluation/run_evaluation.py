"""The evaluation within a run: model configurations compared on the newest purchases, each trained on those before.

Rolling protocol: the serving code answers each order with the state just before it.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from pydantic import ValidationError

from recsys.als_settings import AlsSettings, EvaluationSettings
from recsys.basket_weights import DEFAULT_BASKET
from recsys.decayed_counts import DAY_MS
from recsys.evaluation import gate, html_report, rolling
from recsys.evaluation.basket_evaluation import BasketResult, evaluate_baskets_of
from recsys.evaluation.belief import ACROSS_SHOPS, Belief
from recsys.evaluation.gate import CANDIDATE, LIVE, POPULARITY, GateDecision
from recsys.evaluation.methods import BASELINE_ALS, COMPOSED, DEFAULT, FactorCache, ModelConfig, compared, methods
from recsys.evaluation.purchase_log import ANONYMOUS, PurchaseLog
from recsys.evaluation.rolling import EvaluationProtocol, Method
from recsys.evaluation.search_window import QuestionLimits, SearchWindow, windows_until
from recsys.evaluation.summary import summary
from recsys.evaluation.training_view import TrainingView, view_at
from recsys.evaluation.weight_candidates import personalises, popularity_only, with_offline_weights
from recsys.evaluation.weight_search import FINALS, Choice, choose
from recsys.model_format import Manifest
from services.common.times import format_time

Json = dict[str, Any]
FINAL_QUESTIONS = 2
"""The final round asks so many times the questions of the search: its few candidates are close to one another."""


@dataclass(frozen=True, slots=True)
class EvaluationResult:
    """The next model's configuration (with the weights of baskets), the gate decision, and the record of the search.

    `document` (metrics.json) and `page` (report.html) are None where there was too little to measure.
    """

    config: ModelConfig
    decision: GateDecision
    search: Json
    document: Json | None = None
    page: str | None = None

    @property
    def metrics(self) -> Json:
        """The winner's figures, for the manifest."""
        if self.document is None:
            return {}
        (result,) = (each for each in self.decision.results if each.name == self.decision.winner)
        split, until = self.document["split"], self.document["until"]
        return {"protocol": self.document["judged_by"], "split": split, "until": until, **result.record()["figures"]}


@dataclass(frozen=True, slots=True)
class EvaluationWindows:
    """Epoch ms: the search evaluates from `search` to `split`, the gate from `split` to `until`."""

    search: int
    split: int
    until: int


def config_of(manifest: Manifest) -> ModelConfig | None:
    """The configuration of a published model; None where settings are missing that training needs."""
    try:
        als = AlsSettings.model_validate(msgspec.structs.asdict(manifest.settings))
    except ValidationError:
        return None
    return ModelConfig(als, manifest.composition, popularity_only(manifest.composition), manifest.basket)


def windows_of(log: PurchaseLog, settings: EvaluationSettings) -> EvaluationWindows:
    """Each window has its days, but at most a quarter of the log; lines ahead of the newest event are left out."""
    until = log.newest_ms + 1
    quarter = (until - int(log.at_ms[0])) // 4
    split = until - min(settings.gate_days * DAY_MS, quarter)
    return EvaluationWindows(split - min(settings.search_days * DAY_MS, quarter), split, until)


def strongest(choice: Choice) -> ModelConfig:
    """The choice; if it is not personal, the best personal finalist, so that the gate records why not."""
    finalists = [trial for trial in choice.trials if trial.stage == FINALS]
    personal = [trial for trial in finalists if personalises(trial.weights)]
    if personalises(choice.config.weights) or not personal:
        return choice.config
    best = max(personal, key=lambda trial: trial.value)
    offline = choice.config.weights.offline_weights
    weights = with_offline_weights(best.weights, offline) if offline else best.weights
    return ModelConfig(best.als, weights, choice.config.live)


class Evaluation:
    """One evaluation of a log. `als`: the settings to choose weights for; `live`: the live model's configuration.

    `baseline`: the settings of the replaced system's ALS, which every report shows.
    """

    def __init__(
        self,
        log: PurchaseLog,
        settings: EvaluationSettings,
        als: AlsSettings,
        live: ModelConfig | None,
        baseline: AlsSettings = BASELINE_ALS,
    ) -> None:
        self._log = log
        self._settings = settings
        self._als = als
        self._live = live
        self._baseline = baseline
        self._windows = windows_of(log, settings)

    def run(self, scratch: Path) -> EvaluationResult:
        """Choose a candidate, and compare it with the live configuration and with popular products.

        Fitted factors go to `scratch`. With too few purchases, the live configuration stays, or the default one is
        used.
        """
        if reason := self._too_little():
            return self._as_before(reason)
        cache = FactorCache(scratch)
        candidate, search, belief = self._candidate(cache)
        configs = self._configs(candidate)
        view = self._gate_view
        answers = {
            name: rolling.evaluate(
                view, self._windows.until, self._methods(view, configs, cache, protocol), protocol, name
            )
            for name, protocol in self._protocols(configs).items()
        }
        judged_by = [*answers][-1]
        if reason := gate.too_little(answers[judged_by], self._settings.gate_questions):
            return self._as_before(reason)
        decision = gate.decide(answers[judged_by], {name: config.weights for name, config in configs.items()}, belief)
        baskets = self._baskets()
        decision = replace(decision, basket=baskets.decision.record())
        search = {**search, "baskets": baskets.search}
        document = self._document(configs, search) | {"judged_by": judged_by}
        document |= {name: summary(found, view.popularity(None), COMPOSED) for name, found in answers.items()}
        config = replace(configs[decision.winner], basket=baskets.decision.weights)
        return EvaluationResult(config, decision, search, document, html_report.page(document))

    def _too_little(self) -> str | None:
        """Why the windows are too small for a decision, as far as the log alone shows it."""
        windows, needed = self._windows, self._settings.gate_questions
        bounds = ((0, windows.search), (windows.search, windows.split), (windows.split, windows.until))
        reasons = (gate.too_few(*self._known_orders(first, last), needed) for first, last in bounds)
        return next((reason for reason in reasons if reason), None)

    def _as_before(self, reason: str) -> EvaluationResult:
        if self._live:
            live = replace(self._live, basket=self._live.basket or DEFAULT_BASKET)
            return EvaluationResult(live, GateDecision(LIVE, f"{reason}; the live configuration stays."), {})
        usual = ModelConfig(self._als, DEFAULT, popularity_only(DEFAULT), DEFAULT_BASKET)
        return EvaluationResult(
            usual, GateDecision(CANDIDATE, f"{reason}; the default configuration is used until there are more."), {}
        )

    def _candidate(self, cache: FactorCache) -> tuple[ModelConfig, Json, Belief]:
        """The configuration that the search finds, the record of the search, and what it says of the gain."""
        settings, windows = self._settings, self._windows
        if not settings.search_candidates:
            weights = self._live.weights if self._live else DEFAULT
            config = ModelConfig(self._als, weights, popularity_only(weights))
            return config, {"candidates": 0, "tried": {}, "trials": []}, ACROSS_SHOPS
        share, searched = self._search_share, self._search_windows
        choice = choose(searched, cache, settings.search_candidates, [self._als], self._live)
        record = {
            "from": format_time(windows.search),
            "until": format_time(windows.split),
            "sample": share,
            "seed": settings.search_seed,
            "candidates": settings.search_candidates,
            "tried": choice.tried,
            "windows": len(searched),
            "gain": choice.belief.record(),
            "trials": [trial.record() for trial in choice.trials],
        }
        return strongest(choice), record, choice.belief

    @property
    def _search_share(self) -> float:
        return self._share(self._windows.search, self._windows.split, self._settings.search_questions)

    @cached_property
    def _search_windows(self) -> list[SearchWindow]:
        """The newest first."""
        windows, settings = self._windows, self._settings
        limits = QuestionLimits(final=min(QuestionLimits().final, FINAL_QUESTIONS * settings.search_questions))
        return windows_until(self._log, windows.search, windows.split, self._search_share, settings.search_seed, limits)

    @cached_property
    def _gate_view(self) -> TrainingView:
        return view_at(self._log, self._windows.split)

    def _baskets(self) -> BasketResult:
        """The weights of baskets, chosen and gated on the same windows."""
        searched = self._search_windows[0].view if self._settings.search_candidates else None
        live = self._live.basket if self._live else None
        return evaluate_baskets_of(searched, self._gate_view, self._windows.until, live, self._settings)

    def _configs(self, candidate: ModelConfig) -> dict[str, ModelConfig]:
        """What the gate compares. Popular products: what the candidate recommends to unknown users."""
        popular = popularity_only(candidate.weights)
        configs = {CANDIDATE: candidate, POPULARITY: ModelConfig(candidate.als, popular, popular)}
        return configs | ({LIVE: self._live} if self._live else {})

    def _protocols(self, configs: dict[str, ModelConfig]) -> dict[str, EvaluationProtocol]:
        """The questions; the last ones decide. Where purchased products may be shown again, they count as hits."""
        share = self._share(self._windows.split, self._windows.until, self._settings.gate_questions_asked)
        asked = {"rolling": EvaluationProtocol(sample=share)}
        if any(not config.weights.mask_bought for config in configs.values()):
            asked["repeats"] = EvaluationProtocol(sample=share, new_only=False)
        return asked

    def _methods(
        self,
        view: TrainingView,
        configs: dict[str, ModelConfig],
        cache: FactorCache,
        protocol: EvaluationProtocol,
    ) -> list[Method]:
        """The configurations and the baselines that every report shows."""
        baselines = methods(
            view, configs[CANDIDATE], cache, live=True, mask_bought=protocol.new_only, baseline=self._baseline
        )
        return [*compared(view, configs, cache), *baselines]

    def _share(self, first_ms: int, last_ms: int, questions: int) -> float:
        """The share of the orders that gives about so many questions."""
        orders, _days = self._known_orders(first_ms, last_ms)
        return min(1.0, questions / max(orders, 1))

    def _known_orders(self, first_ms: int, last_ms: int) -> tuple[int, int]:
        """The number of orders of known customers in a time range, and of their days."""
        lines = slice(self._log.at(first_ms), self._log.at(last_ms))
        known = self._log.customers[lines] != ANONYMOUS
        orders, at_ms = self._log.orders[lines][known], self._log.at_ms[lines][known]
        return len(np.unique(orders)), len(np.unique(at_ms // DAY_MS))

    def _document(self, configs: dict[str, ModelConfig], search: Json) -> Json:
        """metrics.json without the figures."""
        split = self._windows.split
        return {
            "file": "the shop's purchases",
            "split": format_time(split),
            "until": format_time(self._windows.until),
            "sample": self._share(split, self._windows.until, self._settings.gate_questions_asked),
            "validation": {"from": search.get("from", format_time(split)), "sample": search.get("sample", 1.0)},
            "looks": 1,
            "recipe": configs[CANDIDATE].record(),
            "search": search["trials"],
            "tried": search["tried"],
            "candidates": search["candidates"],
        }
