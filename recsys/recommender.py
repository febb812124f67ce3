"""What to recommend, from one model and the state that follows the stream. No I/O; time is passed in.

Now, for a score, is the newest event time that is known, never beyond the clock: sales of another year
that are played again are recent to one another, and one event from tomorrow does not make today's look old.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from recsys.catalogue import Filters
from recsys.decayed_counts import DAY_MS
from recsys.live_state import LiveState
from recsys.model import Model
from recsys.purchase_history import History
from recsys.scorer import Customer, Explanation, Moment
from recsys.topk import Allowed, Float32s, Float64s, Ranked

# What everybody shares is computed anew after so long: popularity may lag by it, never what a customer bought.
_MOMENT_MS = 100
# Answers to strangers that are kept for a moment: they ask alike, whatever their filters.
_ANSWERS_KEPT = 64
# Bound on the products in kept histories, with one for each customer: some 500 bytes each at rank 64.
_PRODUCTS_KEPT = 200_000
_HALF = np.float32(0.5)
# From this age of what is known on, the weights for a state that stands still are in force.
_STILL_AFTER_MS = DAY_MS


class Strategy(StrEnum):
    """How an answer came about."""

    PERSONAL = "personal"
    BASKET = "basket"
    POPULAR = "popular"


class ReasonCode(StrEnum):
    """Why a product is shown; part of the contract. Of equally large parts of a score the earlier one is named."""

    BOUGHT_TOGETHER = "bought_together"
    BOUGHT_BEFORE = "bought_before"
    CUSTOMERS_LIKE_YOU = "customers_like_you"
    CATEGORY = "category"
    POPULAR = "popular"
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
    """Picks of one model, best first; what was not sold lately comes after what was."""

    strategy: Strategy
    picks: tuple[Pick, ...]
    unknown_product_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Known:
    """A customer until their next change."""

    change: int
    history: History
    customer: Customer


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What several customers ask for alike."""

    strategy: Strategy
    k: int
    passing: Allowed  # by the filters
    mask_bought: bool | None

    def more(self, ranked: Ranked) -> "_Wanted":
        """What is still wanted."""
        return replace(self, k=self.k - len(ranked.rows))


class Recommender:
    """Answers from one model and its live state."""

    def __init__(self, model: Model, live: LiveState, age_ms: Callable[[int], int | None] = lambda now_ms: 0) -> None:
        """`age_ms` tells from the clock's time how old what `live` knows of the stream is; None: it knows the model's
        training data alone."""
        self.model = model
        self.live = live
        self._age_ms = age_ms
        self._scorer = model.scorer
        self._kept: OrderedDict[str, _Known] = OrderedDict()
        self._products_kept = 0
        self._moment: Moment | None = None
        self._moment_ms = 0
        self._strangers: dict[tuple[int, Filters], Answer] = {}

    def for_user(self, user_id: str, k: int, filters: Filters, now_ms: int) -> Answer:
        """The k products a customer is most likely to buy next; what is popular for an unknown customer."""
        return self.for_users([user_id], k, filters, now_ms)[0]

    def for_users(self, user_ids: Sequence[str], k: int, filters: Filters, now_ms: int) -> list[Answer]:
        """`for_user` of each, in the order asked. `now_ms` is the clock's time."""
        moment, passing = self._at(now_ms), self.model.catalogue.allowed(filters)
        wanted = _Wanted(Strategy.PERSONAL, k, passing, filters.exclude_purchased)
        known = [self._known(user_id) for user_id in user_ids]
        answers = iter(self._answers([one for one in known if len(one.history)], moment, wanted))
        return [next(answers) if len(one.history) else self._stranger(one, moment, wanted, filters) for one in known]

    def for_basket(self, product_ids: Sequence[str], k: int, filters: Filters, now_ms: int) -> Answer:
        """What goes with an anonymous basket, as if somebody had just bought it and nothing before.

        An id given twice counts as two pieces. What lies in the basket is shown again only where that is asked for.
        """
        moment, passing = self._at(now_ms), self.model.catalogue.allowed(filters)
        history, unknown = self._basket(product_ids, moment.now_ms)
        basket = _Known(0, history, self._scorer.customer(history))
        masked = True if filters.exclude_purchased is None else filters.exclude_purchased
        (answer,) = self._answers([basket], moment, _Wanted(Strategy.BASKET, k, passing, masked))
        return replace(answer, unknown_product_ids=unknown)

    def similar(self, product: int, k: int, filters: Filters, now_ms: int) -> tuple[Pick, ...]:
        """The k products most like a catalogue row: by factors and by who bought both, half and half.

        similarity(i, j) = ½ · yᵢ·yⱼ / (|yᵢ| |yⱼ|) + ½ · n_ij / √((n_i + s)(n_j + s))

        Both halves are cosines: of the factors y, and of the two products' columns of buyers (n_ij in common, n_i and
        n_j each), shrunk by the composition's s so that a single common buyer is no evidence (Sarwar et al.,
        "Item-Based Collaborative Filtering Recommendation Algorithms", 2001). A product without factors has the second
        half only; nothing is shown that has no similarity.
        """
        moment, mask = self._at(now_ms), self.model.catalogue.allowed(filters)
        mask[product] = False
        query, together = _HALF * self.model.similar.vector(product), self._together(product)
        best = self._alike(query, k, mask & moment.on_sale, together)
        older = self._alike(query, k - len(best), mask & ~moment.on_sale, together) if len(best) < k else []
        return tuple(Pick(row, score, _likeness(product, score, float(together[row]))) for row, score in best + older)

    def _alike(self, query: Float32s, k: int, mask: Allowed, together: Float64s) -> list[tuple[int, float]]:
        return [pair for pair in _pairs(self.model.similar.top_k(query, k, mask, together)) if pair[1] > 0]

    def _at(self, now_ms: int) -> Moment:
        """What everybody shares, as of the last tenth of a second."""
        if self._moment is None or not 0 <= now_ms - self._moment_ms < _MOMENT_MS:
            self._choose_scorer(now_ms)
            self._moment = self._scorer.moment(self.live, min(now_ms, self.live.newest_ms))
            self._moment_ms = now_ms
            self._strangers.clear()
        return self._moment

    def _choose_scorer(self, now_ms: int) -> None:
        """By the age of what is known. What is kept of customers was made for other weights, and goes."""
        age_ms = self._age_ms(now_ms)
        if age_ms is None:
            age_ms = now_ms - self.model.created_at_ms
        scorer = self.model.still if age_ms >= _STILL_AFTER_MS else self.model.scorer
        if scorer is not self._scorer:
            self._scorer = scorer
            self._kept.clear()
            self._products_kept = 0

    def _known(self, user_id: str) -> _Known:
        """The customer as of their last purchase, kept until the next one or until others push it out."""
        change, kept = self.live.changed(user_id), self._kept.get(user_id)
        if kept is not None and kept.change == change:
            self._kept.move_to_end(user_id)
            return kept
        history = self.live.history(user_id)
        known = _Known(change, history, self._scorer.customer(history))
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

    def _stranger(self, nobody: _Known, moment: Moment, wanted: _Wanted, filters: Filters) -> Answer:
        """What all strangers get who ask for the same."""
        kept = self._strangers.get((wanted.k, filters))
        if kept is None:
            kept = self._answers([nobody], moment, wanted)[0]
            if len(self._strangers) < _ANSWERS_KEPT:
                self._strangers[wanted.k, filters] = kept
        return kept

    def _answers(self, asking: Sequence[_Known], moment: Moment, wanted: _Wanted) -> list[Answer]:
        best = self._best(asking, moment, wanted)
        return [
            self._answer(one.customer, moment, wanted.strategy, self._filled_up(one, ranked, moment, wanted))
            for one, ranked in zip(asking, best, strict=True)
        ]

    def _best(self, asking: Sequence[_Known], moment: Moment, wanted: _Wanted) -> Iterator[Ranked]:
        masks = [self._scorer.allowed(one.history, moment, wanted.passing, wanted.mask_bought) for one in asking]
        return self._scorer.top_k_each([one.customer for one in asking], self.live, moment, wanted.k, masks)

    def _filled_up(self, one: _Known, ranked: Ranked, moment: Moment, wanted: _Wanted) -> Ranked:
        """Where too few were sold lately, the best of the others come after them."""
        if len(ranked.rows) == wanted.k:
            return ranked
        (older,) = self._best([one], replace(moment, on_sale=~moment.on_sale), wanted.more(ranked))
        return Ranked(np.concatenate((ranked.rows, older.rows)), np.concatenate((ranked.scores, older.scores)))

    def _answer(self, customer: Customer, moment: Moment, strategy: Strategy, ranked: Ranked) -> Answer:
        """The picks with their reasons. An answer to which no purchase contributed is a popular one, and says so."""
        explanation = self._scorer.explain(customer, self.live, moment, ranked.rows)
        reasons = _reasons(explanation, customer.history)
        picks = tuple(Pick(*pair, reason) for pair, reason in zip(_pairs(ranked), reasons, strict=True))
        return Answer(strategy if explanation.personal.any() else Strategy.POPULAR, picks)

    def _basket(self, product_ids: Sequence[str], now_ms: int) -> tuple[History, tuple[str, ...]]:
        """The known products as a history, and the distinct ids that the model does not know."""
        found = {id_: self.model.catalogue.row(id_) for id_ in product_ids}
        unknown = tuple(id_ for id_, row in found.items() if row is None)
        rows, pieces = np.unique([row for id_ in product_ids if (row := found[id_]) is not None], return_counts=True)
        at_ms = np.full(len(rows), now_ms, np.int64)
        return History(rows.astype(np.int64), pieces.astype(np.float64), at_ms), unknown

    def _together(self, product: int) -> Float64s:
        """The second half of the similarity of every product [rows]."""
        together = np.zeros(len(self.model.similar))
        rows, ties = self.live.neighbours.weights(product, self.model.composition.shrink, balance=0.5)
        together[rows] = 0.5 * ties
        return together


def _reasons(explanation: Explanation, history: History) -> Iterable[Reason]:
    """Of each product the largest part of its score."""
    parts = {
        ReasonCode.BOUGHT_TOGETHER: explanation.neighbours,
        ReasonCode.BOUGHT_BEFORE: explanation.repeats,
        ReasonCode.CUSTOMERS_LIKE_YOU: explanation.factors,
        ReasonCode.CATEGORY: explanation.categories,
        ReasonCode.POPULAR: explanation.popular,
    }
    codes, weights = list(parts), np.array(list(parts.values()))
    for place, largest in enumerate(weights.argmax(axis=0).tolist()):
        weight = float(weights[largest, place])
        # Where no part is above 0, nothing speaks for the product but that there is no better one.
        code = codes[largest] if weight > 0 else ReasonCode.POPULAR
        product = None
        if code == ReasonCode.BOUGHT_TOGETHER:
            product = int(history.rows[explanation.together[place].argmax()])
        yield Reason(code, weight if weight > 0 else float(explanation.popular[place]), product)


def _likeness(product: int, score: float, together: float) -> Reason:
    if together > score - together:
        return Reason(ReasonCode.BOUGHT_TOGETHER, together, product)
    return Reason(ReasonCode.SIMILAR, score - together, product)


def _pairs(ranked: Ranked) -> Iterable[tuple[int, float]]:
    return zip(ranked.rows.tolist(), ranked.scores.tolist(), strict=True)
