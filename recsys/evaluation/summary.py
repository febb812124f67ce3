"""Answers → the figures of metrics.json: plain dictionaries, figures with 95 % intervals."""

from typing import Any

import numpy as np

from recsys.evaluation.metrics import CUTS, Chosen, DayBootstrap, Interval, coverage, groups, interval, novelty, values
from recsys.evaluation.rolling import Answers
from recsys.topk import Float64s

Json = dict[str, Any]
RATIOS = ("hr@3", "ndcg@10")


def summary(answers: Answers, popularity: Float64s, subject: str) -> Json:
    """Figures by group, then method, then metric; and the ratios of `subject` to every other method."""
    found = values(answers)
    return {
        name: {
            "questions": int(chosen.sum()),
            "methods": _methods(answers, chosen, popularity, found),
            "ratios": _ratios(answers, chosen, found, subject),
        }
        for name, chosen in groups(answers).items()
        if chosen.any()
    }


def _methods(answers: Answers, chosen: Chosen, popularity: Float64s, found: dict[str, Float64s]) -> Json:
    blocks = DayBootstrap(answers.at_ms[chosen])
    shown = {f"coverage@{k}": coverage(answers, chosen, k) for k in CUTS}
    shown["novelty@3"], shown["popularity@3"] = novelty(answers, chosen, 3, popularity)
    return {
        method: {
            **{metric: _figure(value[place, chosen], blocks) for metric, value in found.items()},
            **{metric: float(value[place]) for metric, value in shown.items()},
        }
        for place, method in enumerate(answers.methods)
    }


def _figure(value: Float64s, blocks: DayBootstrap) -> list[float]:
    return _listed(interval(float(value.mean()), blocks.means(value)))


def _ratios(answers: Answers, chosen: Chosen, found: dict[str, Float64s], subject: str) -> Json:
    """Ratio and difference of the subject to each other method, paired by day."""
    blocks, own = DayBootstrap(answers.at_ms[chosen]), answers.methods.index(subject)
    return {
        method: {
            metric: _compared(found[metric][own, chosen], found[metric][place, chosen], blocks) for metric in RATIOS
        }
        for place, method in enumerate(answers.methods)
        if place != own
    }


def _compared(own: Float64s, other: Float64s, blocks: DayBootstrap) -> Json:
    ours, theirs = blocks.means(own), blocks.means(other)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = interval(float(np.divide(own.mean(), other.mean())), ours / theirs)
    return {
        "ratio": _listed(ratio) if other.any() else None,
        "difference": _listed(interval(float(own.mean() - other.mean()), ours - theirs)),
    }


def _listed(figure: Interval) -> list[float]:
    return [round(figure.value, 6), round(figure.low, 6), round(figure.high, 6)]
