"""Basket completion on a file's purchases: the part `--task baskets` of `python -m spark.evaluate`."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from recsys.basket_weights import BasketWeights, OrderTerm, describe_basket
from recsys.evaluation.basket_search import SearchSize, basket_methods, choose_basket_weights, without_factors
from recsys.evaluation.baskets import BasketProtocol, evaluate_baskets, share_of
from recsys.evaluation.methods import SESSIONS_KNN
from recsys.evaluation.metrics import DayBootstrap, interval, values
from recsys.evaluation.purchase_log import PurchaseLog
from recsys.evaluation.rolling import Answers, Method
from recsys.evaluation.session_knn import SessionKnn, sessions_of
from recsys.evaluation.training_view import TrainingView, view_at
from recsys.score_weights import ScoreWeights
from recsys.scorer import ComposedScorer
from services.common.times import format_time
from spark.step_log import StepLog

Json = dict[str, Any]
CHOSEN, POPULAR = "chosen", "popularity, live"
POPULAR_WEEK = "popularity, 7 days"
COSINE, SHARE = "orders before the split, cosine", "orders before the split, share"
METRICS = ("hr@3", "ndcg@10")


@dataclass(frozen=True, slots=True)
class BasketWindow:
    """Epoch ms: weights are chosen from `validation` to `split`, and measured from `split` to `until`."""

    validation: int
    split: int
    until: int


def run_baskets(log: PurchaseLog, window: BasketWindow, questions: int, out: Path, step_log: StepLog) -> Json:
    """Choose on the validation window, measure on `questions` orders after the split; gives what baskets.json holds."""
    with step_log.step("choose") as step:
        choice = choose_basket_weights(view_at(log, window.validation), window.split, SearchSize())
        step.says(f"{choice.tried} candidates; {describe_basket(choice.weights)}")
    view = view_at(log, window.split)
    with step_log.step("baskets") as step:
        share = share_of(log, log.at(window.split), log.at(window.until), questions)
        methods = [*basket_methods(view, {CHOSEN: choice.weights, POPULAR: choice.popular}), *baselines(view)]
        answers = evaluate_baskets(view, window.until, methods, BasketProtocol(sample=share))
        step.says(f"{len(answers):,} baskets to {len(methods)} methods")
    document = {
        "split": format_time(window.split),
        "until": format_time(window.until),
        "validation": format_time(window.validation),
        "questions": len(answers),
        "choice": choice.record(),
        "methods": figures(answers),
        "ratios": ratios(answers),
    }
    (out / "baskets.json").write_text(json.dumps(document, indent=1))
    return document


def baselines(view: TrainingView) -> list[Method]:
    """The week's popular products, pairs of orders without any other term, and VMIS-kNN, all as of the split."""
    trained = without_factors(view)
    week = ComposedScorer(trained, ScoreWeights(popularity=1.0))
    pairs = {
        name: ComposedScorer(trained, ScoreWeights(purchases=1000), OrderTerm(1.0, 20.0, balance))
        for name, balance in ((COSINE, 0.5), (SHARE, 0.0))
    }
    sessions = SessionKnn(trained, sessions_of(view, of_customers=False))
    scorers = {POPULAR_WEEK: week, **pairs, SESSIONS_KNN: sessions}
    return [Method(name, scorer, frozen=True) for name, scorer in scorers.items()]


def figures(answers: Answers) -> Json:
    """Each method's figures with their 95 % intervals (bootstrap over days)."""
    found, blocks = values(answers), DayBootstrap(answers.at_ms)
    return {
        name: {metric: _interval(found[metric][place], blocks) for metric in METRICS}
        for place, name in enumerate(answers.methods)
    }


def ratios(answers: Answers) -> Json:
    """Ratio of the chosen weights to every other method, paired by day."""
    found, blocks = values(answers), DayBootstrap(answers.at_ms)
    chosen = answers.methods.index(CHOSEN)
    return {
        name: {
            metric: _listed(
                found[metric][chosen].mean() / max(found[metric][place].mean(), 1e-12),
                blocks.means(found[metric][chosen]) / np.maximum(blocks.means(found[metric][place]), 1e-12),
            )
            for metric in METRICS
        }
        for place, name in enumerate(answers.methods)
        if name != CHOSEN
    }


def text(document: Json) -> str:
    """The figures as a table for a terminal."""
    span = f"{document['split']} to {document['until']}"
    rows = [f"{document['questions']:,} orders from {span}, one product out of each"]
    rows.append(f"{'method':34}{'HR@3':>24}{'NDCG@10':>24}{'chosen / it':>28}")
    for name, each in document["methods"].items():
        ratio = document["ratios"].get(name)
        compared = " / ".join(_range(ratio[metric], 2) for metric in METRICS) if ratio else ""
        rows.append(f"{name:34}" + "".join(f"{_range(each[metric], 4):>24}" for metric in METRICS) + f"  {compared}")
    weights = msgspec.convert(document["choice"]["weights"], BasketWeights)
    return "\n".join([*rows, f"chosen: {describe_basket(weights)}"])


def _interval(each: Any, blocks: DayBootstrap) -> list[float]:
    return _listed(each.mean(), blocks.means(each))


def _listed(value: float, resampled: Any) -> list[float]:
    found = interval(float(value), resampled)
    return [round(found.value, 6), round(found.low, 6), round(found.high, 6)]


def _range(figure: Sequence[float], places: int) -> str:
    value, low, high = (f"{number:.{places}f}" for number in figure)
    return f"{value} [{low}, {high}]"
