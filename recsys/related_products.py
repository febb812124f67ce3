"""Substitutes and complements of a product as answers, each product with its reason."""

import numpy as np

from recsys.answers import Pick, Reason, ReasonCode
from recsys.live_state import LiveState
from recsys.model import Model
from recsys.substitutes import PARTS
from recsys.topk import Allowed, Float64s
from recsys.variety import POOL, Variety

# In the order of the parts of a likeness.
_LIKE = dict(
    zip(
        PARTS,
        (
            ReasonCode.SAME_CATEGORY,
            ReasonCode.LIKE_NAME,
            ReasonCode.SAME_BRAND,
            ReasonCode.SIMILAR,
            ReasonCode.LIKE_ORDERS,
            ReasonCode.LIKE_PRICE,
            ReasonCode.POPULAR,
        ),
        strict=True,
    )
)
_ALSO_FROM = 0.05  # of a likeness: smaller parts are no reason


def substitutes_of(model: Model, product: int, k: int, allowed: Allowed, on_sale: Allowed) -> tuple[Pick, ...]:
    """The k allowed products most like a catalogue row, each of another name; those not sold lately come last."""
    picks: list[Pick] = []
    for sold in (on_sale, ~on_sale):
        if len(picks) < k:
            shown = np.array([pick.product for pick in picks], np.int64)
            found = model.likeness.substitutes(product, k - len(picks), allowed & sold, shown)
            reasons = [_likeness(product, parts) for parts in found.parts.T]
            picks += [Pick(*pair, reason) for pair, reason in zip(found.ranked.pairs(), reasons, strict=True)]
    return tuple(picks)


def complements_of(model: Model, live: LiveState, product: int, k: int, allowed: Allowed) -> tuple[Pick, ...]:
    """The k allowed products most bought with a catalogue row, no two of them alike."""
    found = model.likeness.complements(product, max(k, POOL), allowed, live.order_pairs)
    ranked = model.variety.varied(found, k, Variety()).ranked
    return tuple(
        Pick(row, score, Reason(ReasonCode.BOUGHT_TOGETHER, score, product, live.order_pairs.together(row, product)))
        for row, score in ranked.pairs()
    )


def _likeness(product: int, parts: Float64s) -> Reason:
    """The largest part of a likeness [parts], and those next to it."""
    order = [int(place) for place in np.argsort(-parts, kind="stable")]
    codes = [_LIKE[PARTS[place]] for place in order]
    large = int((parts > _ALSO_FROM * parts.sum()).sum())
    return Reason(codes[0], float(parts[order[0]]), product, also=tuple(codes[1:large]))
