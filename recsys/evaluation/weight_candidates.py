"""Candidates of the weight search: the weights that its stages start with, and random mutations of weights."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np

from recsys.evaluation.score_table import HALF_LIVES_H
from recsys.score_weights import DecayTerm, ScoreWeights

Random = np.random.Generator
Mutation = Callable[[ScoreWeights, Random], ScoreWeights]

TRENDS_H = (2.0, 6.0, 24.0, 168.0)
POPULARITY_STARTS = (
    *(ScoreWeights(live=0.01, trends=(DecayTerm(hours, 1.0),)) for hours in TRENDS_H),
    ScoreWeights(live=0.01, trends=(DecayTerm(6.0, 1.0), DecayTerm(168.0, 0.1))),
    ScoreWeights(live=0.01, popularity=0.01),
    ScoreWeights(live=0.01, trends=(DecayTerm(24.0, 1.0),), baseline_trends=(DecayTerm(720.0, 0.003),)),
)
RECENCIES_H = (24.0, 72.0, 168.0, 336.0, 1000.0, 3000.0)
FADES_H = (6.0, 24.0, 72.0, 168.0, 336.0)
NO_DECAY_H = 1e6
"""A half-life longer than any purchase history: a term that does not decay."""
OFFLINE_TRENDS_H = (168.0, 720.0, 2160.0)
BALANCES = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7)


def personal_starts(popularity: ScoreWeights) -> list[ScoreWeights]:
    """Each personal term added to the popularity weights, and some combinations of them."""
    fading = (DecayTerm(24.0, 0.8), DecayTerm(NO_DECAY_H, 0.2))
    return [
        msgspec.structs.replace(scaled(popularity, scale), **weights)
        for scale, weights in (
            (5.0, {"factors": 1.0}),
            (1.0, {"neighbours": 1.0}),
            (1.0, {"neighbours": 1.0, "shrink": 20.0, "balance": 0.2}),
            (1.0, {"neighbours": 1.0, "factors": 0.1}),
            (1.0, {"neighbours": 1.0, "factors": 0.3, "shrink": 20.0, "balance": 0.2}),
            (1.0, {"neighbours": 1.0, "factors": 0.1, "categories": 0.5}),
            (1.0, {"neighbours": 1.0, "factors": 0.1, "recency": (DecayTerm(1000.0, 1.0), DecayTerm(1.0, 1.0))}),
            (1.0, {"neighbours": 1.0, "factors": 0.3, "factor_decay": fading, "balance": 0.5, "shrink": 7.0}),
            (5.0, {"neighbours": 0.1, "factors": 1.0}),
            (10.0, {"factors": 1.0}),
            (30.0, {"factors": 1.0}),
        )
    ]


def personalises(weights: ScoreWeights) -> bool:
    """Whether recommendations depend on the customer's purchases, other than by masking them."""
    return any((weights.factors, weights.neighbours, weights.categories, weights.repeats))


def popularity_only(weights: ScoreWeights) -> ScoreWeights:
    """The weights without their personal terms: what unknown users get."""
    offline = popularity_only(weights.offline_weights) if weights.offline_weights else None
    none = dict.fromkeys(("factors", "neighbours", "categories", "repeats"), 0.0)
    return msgspec.structs.replace(weights, **none, personal_days=msgspec.UNSET, offline_weights=offline)


def scaled(weights: ScoreWeights, scale: float) -> ScoreWeights:
    """All popularity terms times `scale`: the ranking for unknown users stays the same."""
    return msgspec.structs.replace(
        weights,
        live=_rounded(weights.live * scale),
        popularity=_rounded(weights.popularity * scale),
        baseline_trends=tuple(
            DecayTerm(part.half_life_h, _rounded(part.weight * scale)) for part in weights.baseline_trends
        ),
    )


def mutate_popularity(parent: ScoreWeights, random: Random) -> ScoreWeights:
    """Change half-lives or their number, and the balance of live, trained and long-term popularity."""
    trends = tuple(
        DecayTerm(
            choice(HALF_LIVES_H, random) if random.random() < 0.5 else part.half_life_h, jittered(part.weight, random)
        )
        for part in parent.trends
    )
    if random.random() < 0.4:
        trends = trends[:1] if len(trends) > 1 else (*trends, DecayTerm(choice(HALF_LIVES_H, random), 0.1))
    popularity, baseline = parent.popularity, parent.baseline_trends
    if random.random() < 0.4:
        popularity = jittered(popularity or 0.003, random) if random.random() < 0.7 else 0.0
    if random.random() < 0.4:
        weight = jittered(baseline[0].weight if baseline else 0.3 * parent.live, random)
        baseline = (DecayTerm(choice(HALF_LIVES_H[4:], random), weight),) if random.random() < 0.8 else ()
    return msgspec.structs.replace(parent, trends=trends, popularity=popularity, baseline_trends=baseline)


def mutate_personal(parent: ScoreWeights, random: Random) -> ScoreWeights:
    """Change about half of the weights and shapes; popularity terms together, so that unknown users get the same."""
    changed: dict[str, Any] = {}
    for name, usual in (("factors", 0.1), ("neighbours", 1.0), ("categories", 0.3)):
        if random.random() < 0.4:
            changed[name] = 0.0 if random.random() < 0.1 else jittered(getattr(parent, name) or usual, random)
    if random.random() < 0.3:
        changed["shrink"] = jittered(parent.shrink, random)
    if random.random() < 0.2:
        changed["balance"] = choice(BALANCES, random)
    if random.random() < 0.4:
        changed["recency"] = _recency(random)
    if random.random() < 0.3:
        changed["factor_decay"] = _factor_decay(random)
    scale = jittered(1.0, random) if random.random() < 0.4 else 1.0
    return msgspec.structs.replace(scaled(parent, scale), **changed)


def mutate_all(parent: ScoreWeights, random: Random) -> ScoreWeights:
    """Change personal and popularity terms: for shops with too few new customers to choose popularity by."""
    changed = mutate_personal(parent, random)
    return mutate_popularity(changed, random) if random.random() < 0.3 else changed


def repeat_starts(masked: ScoreWeights) -> list[ScoreWeights]:
    """The weights as they are, then with purchased products recommended again at several weights of their own."""
    largest, weights = _largest(masked), (0.0, 0.03, 0.3, 3.0)
    return [masked, *(msgspec.structs.replace(masked, mask_bought=False, repeats=w * largest) for w in weights)]


def offline_starts(streaming: ScoreWeights) -> list[ScoreWeights]:
    """Offline weights to start with: the streaming weights themselves, and slow trends alone and with personal terms.

    All have a popularity term: unknown users get nothing else.
    """
    lasting = msgspec.structs.replace(
        streaming,
        **dict.fromkeys(("factors", "popularity", "live", "neighbours", "categories"), 0.0),
        baseline_trends=(),
        factor_decay=(),
        recency=(DecayTerm(1000.0, 1.0),),
        shrink=20.0,
        balance=0.2,
        personal_days=msgspec.UNSET,
    )
    popular = [
        msgspec.structs.replace(lasting, live=weight, trends=(DecayTerm(hours, 1.0),))
        for weight in (0.001, 0.01, 0.03, 0.1, 0.3)
        for hours in OFFLINE_TRENDS_H
    ]
    personal = [
        msgspec.structs.replace(base, factors=factors, neighbours=neighbours)
        for factors, neighbours in ((1.0, 0.0), (0.0, 1.0), (1.0, 0.1), (1.0, 0.5))
        for base in popular
    ]
    return [streaming, *popular[: len(OFFLINE_TRENDS_H)], *personal]


def with_offline_weights(streaming: ScoreWeights, offline: ScoreWeights) -> ScoreWeights:
    """The streaming weights with their offline weights.

    The mask and the relative weight of repeats are those of the streaming weights: holdout questions are about new
    products only and cannot choose them.
    """
    repeats = streaming.repeats / _largest(streaming) * _largest(offline) if streaming.repeats else 0.0
    return msgspec.structs.replace(
        streaming, offline_weights=msgspec.structs.replace(offline, mask_bought=streaming.mask_bought, repeats=repeats)
    )


def _largest(weights: ScoreWeights) -> float:
    """The weight that the weight of repeats is relative to."""
    return max(weights.factors, weights.neighbours, weights.categories, weights.live)


def _recency(random: Random) -> tuple[DecayTerm, ...]:
    parts = [DecayTerm(choice(RECENCIES_H, random), 1.0)]
    if random.random() < 0.5:
        parts.append(DecayTerm(1.0, jittered(0.5, random)))
    if random.random() < 0.3:
        parts.append(DecayTerm(NO_DECAY_H, jittered(0.05, random)))
    return tuple(parts)


def _factor_decay(random: Random) -> tuple[DecayTerm, ...]:
    if random.random() < 0.2:
        return ()
    lasting = float(random.choice((0.0, 0.1, 0.2, 0.4, 0.6)))
    return (DecayTerm(choice(FADES_H, random), _rounded(1 - lasting)), DecayTerm(NO_DECAY_H, lasting))


def choice(choices: Sequence[float], random: Random) -> float:
    """One of them."""
    return float(random.choice(choices))


def jittered(value: float, random: Random) -> float:
    """The value times a factor around 1, log-normal with a deviation of 0.5."""
    return _rounded(value * float(np.exp(random.normal(scale=0.5))))


def _rounded(value: float) -> float:
    return float(f"{value:.3g}")  # three digits are more than a window can distinguish
