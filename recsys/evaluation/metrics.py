"""Metrics of answers: hit rate, NDCG, recall, coverage, novelty; bootstrap intervals of paired differences."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.decayed_counts import DAY_MS, HOUR_MS
from recsys.evaluation.rolling import Answers
from recsys.topk import Float64s

CUTS = (3, 10)
RESAMPLES = 2000
GAPS = (
    ("within an hour", 0, HOUR_MS),
    ("within a day", HOUR_MS, DAY_MS),
    ("within a week", DAY_MS, 7 * DAY_MS),
    ("within 30 days", 7 * DAY_MS, 30 * DAY_MS),
    ("longer ago", 30 * DAY_MS, 2**62),
)
"""By time since the customer's last purchase: (name, from, to)."""
Chosen = NDArray[np.bool_]


def groups(answers: Answers) -> dict[str, Chosen]:
    """The questions [questions] of each group."""
    warm = answers.gap_ms >= 0
    gaps = {name: warm & (answers.gap_ms >= start) & (answers.gap_ms < end) for name, start, end in GAPS}
    return {"all": np.ones(len(answers), np.bool_), "warm": warm, "cold": ~warm, **gaps}


def values(answers: Answers) -> dict[str, Float64s]:
    """Each metric's values: [methods, questions]."""
    found: dict[str, Any] = {}
    gains = 1 / np.log2(np.arange(answers.hits.shape[2]) + 2)
    ideal = np.concatenate(([0.0], np.cumsum(gains)))
    for k in CUTS:
        hits = answers.hits[:, :, :k]
        found[f"hr@{k}"] = hits.any(axis=2).astype(np.float64)
        found[f"ndcg@{k}"] = (hits * gains[:k]).sum(axis=2) / ideal[np.minimum(answers.targets, k)]
        found[f"recall@{k}"] = hits.sum(axis=2) / answers.targets
    return found


def coverage(answers: Answers, chosen: Chosen, k: int) -> Float64s:
    """The share of the candidates that each method [methods] recommended to anybody."""
    shown = answers.shown[:, chosen, :k].reshape(len(answers.methods), -1)
    distinct = [len(np.unique(rows[rows >= 0])) for rows in shown]
    return np.array(distinct) / max(int(answers.candidates.sum()), 1)


def novelty(answers: Answers, chosen: Chosen, k: int, popularity: Float64s) -> tuple[Float64s, Float64s]:
    """Of each method's [methods] recommendations: mean self-information (−log2 of the share of sales), mean share."""
    share = (popularity + 1) / (popularity + 1).sum()
    shown = answers.shown[:, chosen, :k].reshape(len(answers.methods), -1)
    each = [share[rows[rows >= 0]] for rows in shown]
    surprise = [float(-np.log2(shares).mean()) if len(shares) else 0.0 for shares in each]
    return np.array(surprise), np.array([float(shares.mean()) if len(shares) else 0.0 for shares in each])


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and its 95 % interval."""

    value: float
    low: float
    high: float


class DayBootstrap:
    """Block bootstrap over days: the questions of one day are dependent (Künsch 1989, with blocks of a day).

    All methods share the resamples, so that their differences and ratios are paired.
    """

    def __init__(self, at_ms: NDArray[np.int64], seed: int = 1) -> None:
        _, self._days = np.unique(at_ms // DAY_MS, return_inverse=True)
        days = int(self._days.max(initial=-1)) + 1
        draws = np.random.default_rng(seed).multinomial(days, np.full(days, 1 / max(days, 1)), RESAMPLES)
        self._draws = draws.astype(np.float64)  # [resamples, days]

    def means(self, values: Float64s) -> Float64s:
        """The mean of `values` [questions] in each resample [resamples]."""
        days = self._draws.shape[1]
        sums, counts = np.bincount(self._days, values, days), np.bincount(self._days, minlength=days)
        return (self._draws @ sums) / (self._draws @ counts)


def interval(value: float, resampled: Float64s) -> Interval:
    """The value with the 2.5 % and 97.5 % percentiles of its resamples."""
    finite = resampled[np.isfinite(resampled)]
    low, high = np.percentile(finite, (2.5, 97.5)) if len(finite) else (np.nan, np.nan)
    return Interval(value, float(low), float(high))


def paired(answers: Answers, one: str, other: str, chosen: Chosen) -> dict[str, Interval]:
    """The paired difference of two methods, by metric; empty where no question is chosen."""
    if not chosen.any():
        return {}
    found, blocks = values(answers), DayBootstrap(answers.at_ms[chosen])
    first, second = answers.methods.index(one), answers.methods.index(other)
    return {
        metric: interval(float(difference.mean()), blocks.means(difference))
        for metric, value in found.items()
        for difference in [value[first, chosen] - value[second, chosen]]
    }
