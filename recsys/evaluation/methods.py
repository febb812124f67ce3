"""The methods that an evaluation compares, and the ALS factors they need, cached in a folder."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from recsys.als_settings import AlsSettings
from recsys.basket_weights import BasketWeights, OrderTerm
from recsys.evaluation import numpy_als
from recsys.evaluation.rolling import Method
from recsys.evaluation.session_knn import SessionKnn, sessions_of
from recsys.evaluation.training_view import TrainingView
from recsys.score_weights import DecayTerm, ScoreWeights
from recsys.scorer import ComposedScorer, TrainedParts
from recsys.topk import Float32s

SEED = 20200424


def _als(rank: int, regularisation: float, alpha: float, iterations: int) -> AlsSettings:
    return AlsSettings(
        rank=rank, regularisation=regularisation, alpha=alpha, iterations=iterations, seed=SEED, blocks=1
    )


# The settings of the system that this one replaced.
BASELINE_ALS = _als(rank=10, regularisation=0.01, alpha=1.0, iterations=5)
CANDIDATES = (_als(64, 1.0, 40.0, 10), _als(128, 1.0, 40.0, 10), _als(64, 1.0, 10.0, 10))
"""The factors that a search chooses from: two ranks, and less confidence in a purchase."""


def als_candidates(text: str) -> tuple[AlsSettings, ...]:
    """Parse `rank:regularisation:alpha,…`. Raises ValueError for anything else."""
    settings = []
    for one in text.split(","):
        rank, regularisation, alpha = one.split(":")
        settings.append(_als(int(rank), float(regularisation), float(alpha), 10))
    if any(one.rank < 1 or one.regularisation <= 0 or one.alpha < 0 for one in settings):
        raise ValueError(text)
    return tuple(settings)


# The names of the methods, as tables and charts show them.
COMPOSED = "composed"
POPULAR_EVER = "popularity, all time"
POPULAR_WEEK = "popularity, 7 days"
POPULAR_LIVE = "popularity, live"
ALS_BASELINE = "ALS of the predecessor"
ALS_BASELINE_WARM_ONLY = "ALS of the predecessor, as it was"
"""As that system ran: customers who were unknown to its model got no products."""
ALS_FROZEN = "ALS, frozen"
ALS_FOLDED = "ALS, folded in"
ITEM_ITEM = "item-item"
ITEM_ITEM_ORDERS = "item-item by order"
SESSIONS_KNN = "VMIS-kNN"
DEFAULT = ScoreWeights(factors=0.3, popularity=0.01, live=0.01, neighbours=1.0, shrink=20.0, balance=0.2)
"""Serves until there are enough purchases for an evaluation: near what two shops chose (docs/recommendations.md)."""

_POPULAR = ScoreWeights(popularity=1.0)
_FACTORS = ScoreWeights(factors=1.0)


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """What a search chooses; everything else in a model follows from the purchases."""

    als: AlsSettings
    weights: ScoreWeights
    live: ScoreWeights  # the best live popularity, the baseline of the composed score
    basket: BasketWeights | None = None  # chosen apart; None: baskets get `weights`

    def record(self) -> dict[str, Any]:
        """As JSON, without the weights of baskets; `ModelConfig.read` is the inverse."""
        return {
            "als": self.als.model_dump(),
            "composition": msgspec.to_builtins(self.weights),
            "live": msgspec.to_builtins(self.live),
        }

    @staticmethod
    def read(record: dict[str, Any]) -> "ModelConfig":
        """The configuration of a record."""
        return ModelConfig(
            AlsSettings(**record["als"]),
            msgspec.convert(record["composition"], ScoreWeights),
            msgspec.convert(record["live"], ScoreWeights),
        )


class FactorCache:
    """ALS factors by moment and settings, kept in a folder; and the scorers made of them, kept in memory."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._scorers: dict[tuple[int, str, int | None, ScoreWeights], ComposedScorer] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def scorer(
        self, view: TrainingView, settings: AlsSettings, weights: ScoreWeights, days: int | None = 7
    ) -> ComposedScorer:
        """The scorer of `trained_parts` and weights: always the same one, so that its answers can be shared."""
        key = view.moment_ms, _name(settings), days, weights
        if key not in self._scorers:
            self._scorers[key] = ComposedScorer(self.trained_parts(view, settings, days), weights)
        return self._scorers[key]

    def trained_parts(self, view: TrainingView, settings: AlsSettings, days: int | None = 7) -> TrainedParts:
        """A model with these factors, and the popularity of the last `days` (None: of all time)."""
        return view.trained_parts(self.factors(view, settings), settings, view.popularity(days))

    def factors(self, view: TrainingView, settings: AlsSettings) -> Float32s:
        """Item factors [scored, rank] trained on the view's net purchases."""
        kept = self._folder / f"{view.moment_ms}-{_name(settings)}.npy"
        if not kept.exists():
            net = view.net_purchases
            _, customers = np.unique(net.customers, return_inverse=True)
            np.save(kept, numpy_als.item_factors(customers, net.rows, net.quantity, settings))
        factors: Float32s = np.load(kept)
        return factors


def methods(
    view: TrainingView,
    config: ModelConfig,
    cache: FactorCache,
    live: bool,
    mask_bought: bool = True,
    baseline: AlsSettings = BASELINE_ALS,
) -> list[Method]:
    """The composed score and its baselines. Without `live`, all of them keep the state of the view's moment.

    Baselines without a score for unknown users fall back to the week's popular products, as serving does; only the
    replaced system as it ran gives them none. Purchased products are masked for all methods or for none.
    """

    def scorer(weights: ScoreWeights, als: AlsSettings = config.als, days: int | None = 7) -> ComposedScorer:
        return cache.scorer(view, als, msgspec.structs.replace(weights, mask_bought=mask_bought), days)

    weights = config.weights if live else config.weights.offline_weights or config.weights
    popular, factors, old = scorer(_POPULAR), scorer(_FACTORS), scorer(_FACTORS, baseline)
    item_item = ScoreWeights(neighbours=1.0, recency=(DecayTerm(336.0, 1.0),))
    week = cache.trained_parts(view, config.als)
    by_orders = ComposedScorer(week, ScoreWeights(mask_bought=mask_bought), OrderTerm(1.0, 20.0, 0.5))
    all_of_them = [
        Method(COMPOSED, scorer(weights), not live),
        Method(POPULAR_EVER, scorer(_POPULAR, days=None), frozen=True),
        Method(POPULAR_WEEK, popular, frozen=True),
        Method(POPULAR_LIVE, scorer(config.live), not live),
        Method(ALS_BASELINE_WARM_ONLY, old, frozen=True, warm_only=True),
        Method(ALS_BASELINE, old, frozen=True, fallback=popular),
        Method(ALS_FROZEN, factors, frozen=True, fallback=popular),
        Method(ALS_FOLDED, factors, fallback=popular),
        Method(ITEM_ITEM, scorer(item_item), not live, fallback=popular),
        Method(ITEM_ITEM_ORDERS, by_orders, not live, fallback=popular),
        Method(SESSIONS_KNN, SessionKnn(week, sessions_of(view), mask_bought), not live, fallback=popular),
    ]
    return [method for method in all_of_them if live or method.name != ALS_FOLDED]


def compared(view: TrainingView, configs: Mapping[str, ModelConfig], cache: FactorCache) -> list[Method]:
    """One method a configuration, each with factors of its own settings."""
    return [Method(name, cache.scorer(view, config.als, config.weights)) for name, config in configs.items()]


def _name(settings: AlsSettings) -> str:
    return f"rank{settings.rank}-reg{settings.regularisation:g}-alpha{settings.alpha:g}-{settings.iterations}it"
