"""Recommendations from one model and its live state. No I/O; time is passed in.

Scores use the event-time watermark as the present time, never beyond the clock: replayed sales of another year are
recent to one another, and one event from tomorrow does not make today's sales look old.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from recsys.answers import Answer, Pick, Reason, ReasonCode, Related, Strategy
from recsys.catalogue import Catalogue, Filters
from recsys.decayed_counts import DAY_MS
from recsys.exploration import NEAR, NO_EXPLORATION, Exploration, drawn, unsold, with_new
from recsys.live_state import LiveState
from recsys.model import Model
from recsys.purchase_history import History
from recsys.related_products import complements_of, substitutes_of
from recsys.rotation import NO_ROTATION, Rotation, resting
from recsys.scorer import ComposedScorer, Customer, Explanation, SharedScores
from recsys.topk import Allowed, Ranked
from recsys.variety import MORE, MOST, NONE, POOL, Variety

# The shared scores are recomputed after so long: popularity may lag by it, a customer's purchases never do.
_SHARED_FOR_MS = 100
# Answers to unknown users that are cached for that time: most ask for the same.
_ANSWERS_KEPT = 64
# Bound on the products in cached histories, plus one for each customer: some 500 bytes each at rank 64.
_PRODUCTS_KEPT = 200_000
# A state of this age or more is scored by the offline weights.
_OFFLINE_AFTER_MS = DAY_MS


# The terms of an explanation that reasons stand for.
_REASONS = {
    "neighbours": ReasonCode.BOUGHT_TOGETHER,
    "repeats": ReasonCode.BOUGHT_BEFORE,
    "factors": ReasonCode.CUSTOMERS_LIKE_YOU,
    "categories": ReasonCode.CATEGORY,
    "popular": ReasonCode.POPULAR,
}
_CODES = tuple(_REASONS.values())


@dataclass(frozen=True, slots=True)
class _Known:
    """A customer, until the next change of their history."""

    change: int
    history: History
    customer: Customer
    id_: str = ""  # of a known customer


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A request of one or several customers, or of a basket."""

    scorer: ComposedScorer
    strategy: Strategy
    k: int
    passing: Allowed  # products that pass the filters
    mask_bought: bool | None
    variety: Variety = NONE
    rotation: Rotation = NO_ROTATION

    def pool(self) -> "_Wanted":
        """The request for the products that variety chooses from; without a weight the best k mostly keep its rules."""
        return replace(self, k=max(self.k, POOL)) if self.variety.weight else self

    def remaining(self, ranked: Ranked) -> "_Wanted":
        """The request for the products that `ranked` lacks."""
        return replace(self, k=self.k - len(ranked.rows))


class Recommender:
    """Answers from one model and its live state."""

    def __init__(
        self,
        model: Model,
        live: LiveState,
        age_ms: Callable[[int], int | None] = lambda now_ms: 0,
        variety: Variety = NONE,
        rotation: Rotation = NO_ROTATION,
        exploration: Exploration = NO_EXPLORATION,
    ) -> None:
        """`age_ms` gives the age of `live` at a time of the clock; None: it has the model's training data alone.

        `variety`: how different the products of an answer are, where a request does not ask for like ones.
        `rotation`: which of the best products rest for a visit of a customer with purchases.
        `exploration`: how many of their answers show a product that nobody has bought yet.
        """
        self.model = model
        self._variety = variety
        self._rotation = rotation
        self._exploration = exploration
        self.live = live
        self._age_ms = age_ms
        self._scorer = model.scorer
        self._kept: OrderedDict[str, _Known] = OrderedDict()
        self._products_kept = 0
        self._shared: SharedScores | None = None
        self._shared_at_ms = 0
        self._basket_shared: tuple[int, SharedScores] | None = None  # since when, epoch ms
        self._unknown_user_answers: dict[tuple[int, Filters], Answer] = {}

    def for_user(self, user_id: str, k: int, filters: Filters, now_ms: int) -> Answer:
        """The k products a customer is most likely to buy next; popular ones for an unknown user."""
        return self.for_users([user_id], k, filters, now_ms)[0]

    def for_users(self, user_ids: Sequence[str], k: int, filters: Filters, now_ms: int) -> list[Answer]:
        """`for_user` of each, in the order asked. `now_ms` is the clock's time."""
        shared, passing = self._at(now_ms), self.model.catalogue.allowed(filters)
        variety = self._variety_for(filters)
        wanted = _Wanted(self._scorer, Strategy.PERSONAL, k, passing, filters.exclude_purchased, variety)
        known = [self._known(user_id) for user_id in user_ids]
        rotated = replace(wanted, rotation=self._rotation)
        answers = iter(self._answers([one for one in known if len(one.history)], shared, rotated, now_ms))
        return [
            self._explored(one, next(answers), shared, wanted, now_ms)
            if len(one.history)
            else self._unknown_user(one, shared, wanted, filters)
            for one in known
        ]

    def forget(self, customer: str) -> None:
        """Know nothing of a customer any more."""
        self.live.forget(customer)
        if (kept := self._kept.pop(customer, None)) is not None:
            self._products_kept -= 1 + len(kept.history)

    def for_basket(self, product_ids: Sequence[str], k: int, filters: Filters, now_ms: int) -> Answer:
        """What goes with an anonymous basket, by the weights of baskets.

        A model without such weights answers as if somebody had just bought the basket and nothing before. An id given
        twice counts as quantity 2. Products of the basket are shown again only on request.
        """
        shared, passing = self._at_for_baskets(now_ms), self.model.catalogue.allowed(filters)
        history, unknown = _basket(self.model.catalogue, product_ids, shared.now_ms)
        scorer = self._basket_scorer
        basket = _Known(0, history, scorer.customer(history))
        masked = True if filters.exclude_purchased is None else filters.exclude_purchased
        wanted = _Wanted(scorer, Strategy.BASKET, k, passing, masked, self._variety_for(filters))
        (answer,) = self._answers([basket], shared, wanted)
        return replace(answer, unknown_product_ids=unknown)

    def related(self, product: int, k: int, filters: Filters, now_ms: int) -> Related:
        """The k substitutes and the k complements of a catalogue row (recsys/substitutes.py); no product is both.

        Where nothing at all is known about the product, popular products take the place of substitutes.
        """
        shared, passing = self._at(now_ms), self.model.catalogue.allowed(filters)
        passing[product] = False
        wanted = _Wanted(self._scorer, Strategy.POPULAR, k, passing, None)
        complements = complements_of(self.model, self.live, product, k, passing & shared.on_sale)
        passing[[pick.product for pick in complements]] = False
        substitutes = substitutes_of(self.model, product, k, passing, shared.on_sale)
        return Related(substitutes or self._popular(shared, wanted), complements)

    def _popular(self, shared: SharedScores, wanted: _Wanted) -> tuple[Pick, ...]:
        history, _ = _basket(self.model.catalogue, (), shared.now_ms)
        nobody = _Known(0, history, wanted.scorer.customer(history))
        (answer,) = self._answers([nobody], shared, wanted)
        return answer.picks

    def _at(self, now_ms: int) -> SharedScores:
        """The shared scores, at most a tenth of a second old."""
        if self._shared is None or not 0 <= now_ms - self._shared_at_ms < _SHARED_FOR_MS:
            self._choose_scorer(now_ms)
            self._shared = self._shared_scores(self._scorer, now_ms)
            self._shared_at_ms = now_ms
            self._unknown_user_answers.clear()
        return self._shared

    def _at_for_baskets(self, now_ms: int) -> SharedScores:
        """The same for baskets."""
        if not self._has_basket_weights:
            return self._at(now_ms)
        kept = self._basket_shared
        if kept is None or not 0 <= now_ms - kept[0] < _SHARED_FOR_MS:
            kept = self._basket_shared = now_ms, self._shared_scores(self.model.basket_scorer, now_ms)
        return kept[1]

    def _shared_scores(self, scorer: ComposedScorer, now_ms: int) -> SharedScores:
        return scorer.shared_scores(self.live, min(now_ms, self.live.watermark_ms))

    @property
    def _has_basket_weights(self) -> bool:
        return self.model.basket_scorer is not self.model.scorer

    @property
    def _basket_scorer(self) -> ComposedScorer:
        """One for all ages of the state: pairs of orders change slowly."""
        return self.model.basket_scorer if self._has_basket_weights else self._scorer

    def _choose_scorer(self, now_ms: int) -> None:
        """By the age of the state. Cached customers belong to the weights, and are dropped with them."""
        age_ms = self._age_ms(now_ms)
        if age_ms is None:
            age_ms = now_ms - self.model.created_at_ms
        scorer = self.model.offline_scorer if age_ms >= _OFFLINE_AFTER_MS else self.model.scorer
        if scorer is not self._scorer:
            self._scorer = scorer
            self._kept.clear()
            self._products_kept = 0

    def _known(self, user_id: str) -> _Known:
        """The customer as of their last purchase, cached until the next one or until evicted."""
        change, kept = self.live.changed(user_id), self._kept.get(user_id)
        if kept is not None and kept.change == change:
            self._kept.move_to_end(user_id)
            return kept
        history = self.live.history(user_id)
        known = _Known(change, history, self._scorer.customer(history), user_id)
        self._keep(user_id, known)
        return known

    def _keep(self, user_id: str, known: _Known) -> None:
        if (before := self._kept.pop(user_id, None)) is not None:
            self._products_kept -= 1 + len(before.history)
        if not len(known.history):
            return
        self._kept[user_id] = known
        self._products_kept += 1 + len(known.history)
        while self._products_kept > _PRODUCTS_KEPT:
            _, oldest = self._kept.popitem(last=False)
            self._products_kept -= 1 + len(oldest.history)

    def _unknown_user(self, user: _Known, shared: SharedScores, wanted: _Wanted, filters: Filters) -> Answer:
        """The answer to every unknown user who asks for the same (cold start)."""
        kept = self._unknown_user_answers.get((wanted.k, filters))
        if kept is None:
            kept = self._answers([user], shared, wanted)[0]
            if len(self._unknown_user_answers) < _ANSWERS_KEPT:
                self._unknown_user_answers[wanted.k, filters] = kept
        return kept

    def _answers(
        self, asking: Sequence[_Known], shared: SharedScores, wanted: _Wanted, now_ms: int = 0
    ) -> list[Answer]:
        if wanted.rotation.resting:
            return [self._rotated(one, shared, wanted, now_ms) for one in asking]
        pools = self._best(asking, shared, wanted.pool())
        varied = (self._varied(one, pool, shared, wanted) for one, pool in zip(asking, pools, strict=True))
        return [
            self._answer(one.customer, shared, wanted, self._filled_up(one, ranked, shared, wanted))
            for one, ranked in zip(asking, varied, strict=True)
        ]

    def _rotated(self, one: _Known, shared: SharedScores, wanted: _Wanted, now_ms: int) -> Answer:
        """The answer without the products that rest for the visit of `now_ms`; they are among the exact best."""
        rotation, ids = wanted.rotation, self.model.catalogue.product_ids
        (best,) = self._best([one], shared, replace(wanted, k=wanted.k + rotation.resting))
        rows = resting(best, [ids[row] for row in best.rows.tolist()], wanted.k, rotation.visit(one.id_, now_ms))
        passing = wanted.passing.copy()
        passing[rows] = False
        (answer,) = self._answers([one], shared, replace(wanted, passing=passing, rotation=NO_ROTATION))
        return answer

    def _explored(self, one: _Known, answer: Answer, shared: SharedScores, wanted: _Wanted, now_ms: int) -> Answer:
        """The answer, in a share of them with a new product in the last place; one with a single place stays."""
        if wanted.k < 2 or not self._exploration.includes(one.id_, now_ms):
            return answer
        new, ids = unsold(self.model.catalogue, self.live), self.model.catalogue.product_ids
        if new[[pick.product for pick in answer.picks]].any():
            return answer
        (near,) = self._best([one], replace(shared, on_sale=new), replace(wanted, k=NEAR))
        if not len(near.rows):
            return answer
        shown = drawn(near, [ids[row] for row in near.rows.tolist()], one.id_, now_ms)
        (pick,) = self._answer(one.customer, shared, wanted, shown).picks
        return with_new(answer, pick, wanted.k)

    def _best(self, asking: Sequence[_Known], shared: SharedScores, wanted: _Wanted) -> Iterator[Ranked]:
        scorer = wanted.scorer
        masks = [scorer.allowed(one.history, shared, wanted.passing, wanted.mask_bought) for one in asking]
        return scorer.top_k_each([one.customer for one in asking], self.live, shared, wanted.k, masks)

    def _varied(self, one: _Known, pool: Ranked, shared: SharedScores, wanted: _Wanted) -> Ranked:
        """The wanted places of a pool, which is enlarged where it has too few different products."""
        if not wanted.variety.is_on:
            return pool
        asked = wanted.pool()
        varied = self.model.variety.varied(pool, wanted.k, wanted.variety)
        while varied.broken and len(pool.rows) == asked.k < MOST:
            asked = replace(asked, k=MORE * asked.k)
            (pool,) = self._best([one], shared, asked)
            varied = self.model.variety.varied(pool, wanted.k, wanted.variety)
        return varied.ranked

    def _variety_for(self, filters: Filters) -> Variety:
        """The variety of a request. Who asks for a category or a brand wants more than a few products of it."""
        if filters.alike:
            return NONE
        own = self._variety
        return replace(
            own,
            same_brand=0 if filters.brand else own.same_brand,
            same_category=0 if filters.category else own.same_category,
        )

    def _filled_up(self, one: _Known, ranked: Ranked, shared: SharedScores, wanted: _Wanted) -> Ranked:
        """Fill up an answer with the best of the products that were not sold lately."""
        if len(ranked.rows) == wanted.k:
            return ranked
        (older,) = self._best([one], replace(shared, on_sale=~shared.on_sale), wanted.remaining(ranked))
        return Ranked(np.concatenate((ranked.rows, older.rows)), np.concatenate((ranked.scores, older.scores)))

    def _answer(self, customer: Customer, shared: SharedScores, wanted: _Wanted, ranked: Ranked) -> Answer:
        """The picks with their reasons. The strategy is POPULAR where no purchase contributed."""
        explanation = wanted.scorer.explain(customer, self.live, shared, ranked.rows)
        rows = ranked.rows.tolist()
        reasons = _reasons(explanation, rows, customer.history)
        picks = tuple(map(Pick, rows, ranked.scores.tolist(), reasons))
        if wanted.scorer.uses_orders:
            picks = tuple(replace(pick, reason=self._with_orders(pick)) for pick in picks)
        return Answer(wanted.strategy if explanation.personal.any() else Strategy.POPULAR, picks)

    def _with_orders(self, pick: Pick) -> Reason:
        """The reason with the number of orders that hold the pick and the product that it names."""
        reason = pick.reason
        if reason.product is None:
            return reason
        return replace(reason, orders=self.live.order_pairs.together(pick.product, reason.product) or None)


def _basket(catalogue: Catalogue, product_ids: Sequence[str], now_ms: int) -> tuple[History, tuple[str, ...]]:
    """The known products as a history, and the distinct unknown ids."""
    found = {id_: catalogue.row(id_) for id_ in product_ids}
    unknown = tuple(id_ for id_, row in found.items() if row is None)
    rows, quantity = np.unique([row for id_ in product_ids if (row := found[id_]) is not None], return_counts=True)
    event_time_ms = np.full(len(rows), now_ms, np.int64)
    return History(rows.astype(np.int64), quantity.astype(np.float64), event_time_ms), unknown


def _reasons(explanation: Explanation, rows: Sequence[int], history: History) -> Iterator[Reason]:
    """Of each product the largest term of its score."""
    terms = np.array([getattr(explanation, term) for term in _REASONS])
    largest, popular = terms.argmax(axis=0).tolist(), explanation.popular.tolist()
    for row, place, weight, shared in zip(rows, largest, terms.max(axis=0).tolist(), popular, strict=True):
        # Without a term above 0 the product is shown only because there is no better one.
        code = _CODES[place] if weight > 0 else ReasonCode.POPULAR
        bought = explanation.bought_together(row) if code == ReasonCode.BOUGHT_TOGETHER else None
        product = None if bought is None else int(history.rows[bought])
        yield Reason(code, weight if weight > 0 else shared, product)
