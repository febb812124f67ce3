"""What to recommend, from one model: personal, for a basket, popular, similar. Pure; rows in, rows out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from services.recommender.catalogue import Filters
from services.recommender.model import Model
from services.recommender.scoring import Allowed, Float64s, Ranked, Rows, first_k


class Strategy(StrEnum):
    """How an answer came about."""

    PERSONAL = "personal"
    BASKET = "basket"
    POPULAR = "popular"


class ReasonCode(StrEnum):
    """Why a product is shown; part of the contract."""

    POPULAR = "popular"
    LIKE_PURCHASE = "like_purchase"
    CUSTOMERS_LIKE_YOU = "customers_like_you"
    LIKE_BASKET = "like_basket"
    SIMILAR = "similar"


@dataclass(frozen=True, slots=True)
class Reason:
    """`weight` is the part of the score that the reason carries; `product` a catalogue row."""

    code: ReasonCode
    weight: float
    product: int | None = None


@dataclass(frozen=True, slots=True)
class Pick:
    """One recommended product: its catalogue row, score and reason."""

    product: int
    score: float
    reason: Reason


@dataclass(frozen=True, slots=True)
class Answer:
    """Picks, best first, of one model."""

    strategy: Strategy
    picks: tuple[Pick, ...]
    unknown_product_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _History:
    """What was bought, as far as it has factors."""

    rows: Rows
    pieces: Float64s


def for_user(model: Model, user_id: str, k: int, filters: Filters) -> Answer:
    """The k products a customer is most likely to buy next; popular ones for an unknown customer."""
    return for_users(model, [user_id], k, filters)[0]


def for_users(model: Model, user_ids: Sequence[str], k: int, filters: Filters) -> list[Answer]:
    """`for_user` of each, in the order asked."""
    passing = model.catalogue.allowed(filters)
    users = [model.users.get(user_id) for user_id in user_ids]
    masks = [_mask_of(model, user, passing, filters) for user in users]
    trained = {place: user for place, user in enumerate(users) if user is not None and model.has_factors(user)}
    queries = model.user_factors[list(trained.values())]
    best = model.items.top_k_each(queries, k, [masks[place] for place in trained])
    personal = {place: _personal(model, trained[place], ranked) for place, ranked in zip(trained, best, strict=True)}
    return [personal.get(place) or _popular(model, k, mask) for place, mask in enumerate(masks)]


def for_basket(model: Model, product_ids: Sequence[str], k: int, filters: Filters) -> Answer:
    """What goes with an anonymous basket: its vector is folded in. An id given twice counts as two pieces."""
    rows, pieces, unknown = _basket_rows(model, product_ids)
    mask = model.catalogue.allowed(filters)
    if filters.exclude_purchased:
        mask[rows] = False
    history = _with_factors(model, rows, pieces)
    if len(history.rows):
        vector = model.fold_in.vector(history.rows, history.pieces)
        ranked = model.items.top_k(vector, k, mask)
        if len(ranked.rows):
            return Answer(Strategy.BASKET, _explained(model, ranked, history, ReasonCode.LIKE_BASKET), unknown)
    return _popular(model, k, mask, unknown)


def similar(model: Model, product: int, k: int, filters: Filters) -> tuple[Pick, ...]:
    """The k products whose factors have the largest cosine with those of a catalogue row; none without factors."""
    if not model.catalogue.has_factors(product):
        return ()
    mask = model.catalogue.allowed(filters)
    mask[product] = False
    ranked = model.similar.top_k(model.similar.vector(product), k, mask)
    return tuple(Pick(row, score, Reason(ReasonCode.SIMILAR, score, product)) for row, score in _pairs(ranked))


def _mask_of(model: Model, user: int | None, passing: Allowed, filters: Filters) -> Allowed:
    if user is None or not filters.exclude_purchased:
        return passing
    mask = passing.copy()
    mask[model.purchases.of(user)[0]] = False
    return mask


def _personal(model: Model, user: int, ranked: Ranked) -> Answer | None:
    """None where the filters leave nothing that has factors."""
    if not len(ranked.rows):
        return None
    history = _with_factors(model, *model.purchases.of(user))
    return Answer(Strategy.PERSONAL, _explained(model, ranked, history, ReasonCode.LIKE_PURCHASE))


def _popular(model: Model, k: int, mask: Allowed, unknown: tuple[str, ...] = ()) -> Answer:
    ranked = first_k(model.popular, k, mask)
    picks = (Pick(row, score, Reason(ReasonCode.POPULAR, score)) for row, score in _pairs(ranked))
    return Answer(Strategy.POPULAR, tuple(picks), unknown)


def _explained(model: Model, ranked: Ranked, history: _History, code: ReasonCode) -> tuple[Pick, ...]:
    """Each pick with the purchase that contributes most to its score, if one contributes at all."""
    if not len(history.rows):
        return tuple(_unexplained(row, score) for row, score in _pairs(ranked))
    contributions = model.items.vectors[ranked.rows] @ model.fold_in.parts(history.rows, history.pieces).T
    strongest = contributions.argmax(axis=1)
    return tuple(
        Pick(row, score, Reason(code, float(weights[best]), int(history.rows[best])))
        if weights[best] > 0
        else _unexplained(row, score)
        for (row, score), weights, best in zip(_pairs(ranked), contributions, strongest, strict=True)
    )


def _unexplained(row: int, score: float) -> Pick:
    return Pick(row, score, Reason(ReasonCode.CUSTOMERS_LIKE_YOU, score))


def _with_factors(model: Model, rows: Rows, pieces: Float64s) -> _History:
    trained = rows < model.catalogue.scored
    return _History(rows[trained], pieces[trained])


def _basket_rows(model: Model, product_ids: Sequence[str]) -> tuple[Rows, Float64s, tuple[str, ...]]:
    """Distinct catalogue rows, their pieces, and the distinct ids that the model does not know."""
    found = {id_: model.catalogue.row(id_) for id_ in product_ids}
    unknown = tuple(id_ for id_, row in found.items() if row is None)
    rows, pieces = np.unique([row for id_ in product_ids if (row := found[id_]) is not None], return_counts=True)
    return rows.astype(np.int64), pieces.astype(np.float64), unknown


def _pairs(ranked: Ranked) -> Iterable[tuple[int, float]]:
    return zip(ranked.rows.tolist(), ranked.scores.tolist(), strict=True)
