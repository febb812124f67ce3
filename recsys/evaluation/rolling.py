"""Rolling (prequential) evaluation: recommend from the state just before each order, then apply the whole order.

The serving scorer and state give the answers. Every method has the same orders, candidates and masks.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from recsys.evaluation.purchase_log import Order, PurchaseLog
from recsys.evaluation.training_view import TrainingView
from recsys.live_state import LiveState
from recsys.purchase_history import History
from recsys.scorer import ComposedScorer, SharedScores
from recsys.topk import Allowed

K = 10
NOTHING_LEFT = -1
"""In `Answers.shown`: fewer than K products could be shown."""
NO_PURCHASE_BEFORE = -1
"""In `Answers.gap_ms`: the customer has no purchase yet."""

TopK = NDArray[np.int32]  # [K] rows, best first
Who = Literal["all", "warm", "cold"]
"""All customers with an id; those with an earlier purchase (warm); those without one (cold)."""


@dataclass(frozen=True, slots=True)
class Method:
    """A way to recommend. A frozen one keeps the state of the model's moment.

    Customers without a history in that state get the top K of `fallback`, by default of `scorer` itself, or nothing if
    the method is `warm_only`.
    """

    name: str
    scorer: ComposedScorer
    frozen: bool = False
    fallback: ComposedScorer | None = None
    warm_only: bool = False


@dataclass(frozen=True, slots=True)
class EvaluationProtocol:
    """Which questions are asked. A `sample` of the orders of `who`, drawn with `seed`; all orders are applied.

    With `skip`, none of them is in a sample of that size with the same seed.
    """

    who: Who = "all"
    new_only: bool = True
    candidate_days: int = 30
    skip: float = 0.0
    sample: float = 1.0
    seed: int = 1

    def draws(self, drawn: float) -> bool:
        """Whether a random number in [0, 1) makes its order a question."""
        return self.skip <= drawn < self.skip + self.sample

    def asks(self, history: History) -> bool:
        """Whether a customer with this history is asked about."""
        return self.who in ("all", "warm" if len(history) else "cold")


@dataclass(frozen=True, slots=True)
class Question:
    """One customer to recommend to, their history, and the products that count as hits: those they bought next."""

    at_ms: int  # of the first of these purchases
    customer: str
    history: History
    targets: NDArray[np.int64]
    drawn: float  # the random number in [0, 1) that made it a question


@dataclass(frozen=True, slots=True)
class Answers:
    """The top K of every method for each question [questions], and which of them were hits."""

    methods: tuple[str, ...]
    at_ms: NDArray[np.int64]
    gap_ms: NDArray[np.int64]  # since the customer's last purchase
    targets: NDArray[np.int64]  # number of products that count as hits
    shown: NDArray[np.int32]  # [methods, questions, K]
    hits: NDArray[np.bool_]  # [methods, questions, K]
    candidates: NDArray[np.bool_]  # [products]: could be shown in some answer

    def __len__(self) -> int:
        return len(self.at_ms)


class Recorder:
    """Collects questions and each method's top K."""

    def __init__(self, methods: Sequence[Method], products: int) -> None:
        self._methods = methods
        self._questions: list[tuple[int, int, int]] = []
        self._shown: list[NDArray[np.int32]] = []
        self._hits: list[NDArray[np.bool_]] = []
        self._candidates = np.zeros(products, np.bool_)

    def add(self, at_ms: int, gap_ms: int, targets: NDArray[np.int64], on_sale: Allowed, shown: Sequence[TopK]) -> None:
        """One question, and each method's answer."""
        rows = np.array(shown, np.int32)
        self._questions.append((at_ms, gap_ms, len(targets)))
        self._shown.append(rows)
        self._hits.append(np.isin(rows, targets))
        self._candidates |= on_sale

    def answers(self) -> Answers:
        """All questions so far."""
        at_ms, gap_ms, targets = np.array(self._questions, np.int64).reshape(-1, 3).T
        shape = (len(self._questions), len(self._methods), K)
        return Answers(
            methods=tuple(method.name for method in self._methods),
            at_ms=at_ms,
            gap_ms=gap_ms,
            targets=targets,
            shown=np.array(self._shown, np.int32).reshape(shape).transpose(1, 0, 2),
            hits=np.array(self._hits, np.bool_).reshape(shape).transpose(1, 0, 2),
            candidates=self._candidates,
        )


class ReplayState:
    """The two states that methods answer from: one follows the log, one stays at the model's moment."""

    def __init__(self, view: TrainingView, methods: Sequence[Method]) -> None:
        half_lives = tuple({ms for method in methods for ms in method.scorer.weights.half_lives_ms})
        self._moment_ms = view.moment_ms
        self.live, self._frozen = view.live_state(half_lives), view.live_state(half_lives)
        self._first: dict[ComposedScorer, SharedScores] = {}

    def shown(
        self, methods: Sequence[Method], customer: str, now_ms: int, on_sale: Allowed, new_only: bool
    ) -> list[TopK]:
        """Each method's top K, padded with NOTHING_LEFT."""
        history, answered = self.live.history(customer), dict[tuple[ComposedScorer, bool, bool], TopK]()
        at_first = self._frozen.history(customer) if any(method.frozen for method in methods) else history
        return [
            self._shown(
                method,
                at_first if method.frozen else history,
                now_ms,
                _mask(on_sale, history, method, new_only),
                answered,
            )
            for method in methods
        ]

    def _shown(
        self,
        method: Method,
        history: History,
        now_ms: int,
        allowed: Allowed,
        answered: dict[tuple[ComposedScorer, bool, bool], TopK],
    ) -> TopK:
        """One method's top K. `answered`: the scorers' answers so far to this customer; methods share scorers."""
        if method.warm_only and not len(history):
            return np.full(K, NOTHING_LEFT, np.int32)
        scorer = method.scorer if len(history) else method.fallback or method.scorer
        key = scorer, method.frozen, method.scorer.weights.mask_bought
        if key not in answered:
            answered[key] = self.best(scorer, method.frozen, history, now_ms, allowed)
        return answered[key]

    def best(self, scorer: ComposedScorer, frozen: bool, history: History, now_ms: int, allowed: Allowed) -> TopK:
        """The top K for a history in one of the states, padded with NOTHING_LEFT."""
        state = self._frozen if frozen else self.live
        shared = self._at_first(scorer) if frozen else scorer.shared_scores(state, now_ms)
        ranked = next(scorer.top_k_each([scorer.customer(history)], state, shared, K, [allowed]))
        return np.pad(ranked.rows.astype(np.int32), (0, K - len(ranked.rows)), constant_values=NOTHING_LEFT)

    def _at_first(self, scorer: ComposedScorer) -> SharedScores:
        """The shared scores of a frozen method: always those of the model's moment."""
        if scorer not in self._first:
            self._first[scorer] = scorer.shared_scores(self._frozen, self._moment_ms)
        return self._first[scorer]


def evaluate(
    view: TrainingView, until_ms: int, methods: Sequence[Method], protocol: EvaluationProtocol, title: str
) -> Answers:
    """Ask at each order of a known customer from the view's moment to `until_ms`."""
    replay, recorder = ReplayState(view, methods), Recorder(methods, len(view.log.products))
    for one in each_rolling_question(view, until_ms, replay.live, protocol, title):
        on_sale = replay.live.on_sale(one.at_ms, protocol.candidate_days)
        shown = replay.shown(methods, one.customer, one.at_ms, on_sale, protocol.new_only)
        recorder.add(one.at_ms, time_since_last_purchase(one.history, one.at_ms), one.targets, on_sale, shown)
    return recorder.answers()


def each_rolling_question(
    view: TrainingView, until_ms: int, live: LiveState, protocol: EvaluationProtocol, title: str
) -> Iterator[Question]:
    """The questions of the orders from the view's moment to `until_ms`.

    A question is yielded while `live` is in the state just before its order; then the whole order is applied.
    """
    log, first, last = view.log, view.last, view.log.at(until_ms)
    chance = np.random.default_rng(protocol.seed)
    with tqdm(total=last - first, desc=title, unit=" lines", unit_scale=True) as bar:
        for order in log.each_order(first, last):
            drawn = chance.random()
            if protocol.draws(drawn) and (question := _question(log, order, live, protocol, drawn)):
                yield question
            for purchase in log.purchases(order):
                live.apply(purchase)
            bar.update(order.last - order.first)


def _question(
    log: PurchaseLog, order: Order, live: LiveState, protocol: EvaluationProtocol, drawn: float
) -> Question | None:
    customer = log.user(order.first)
    if customer is None:
        return None
    history = live.history(customer)
    targets = targets_of(log, slice(order.first, order.last), history, protocol.new_only)
    if not len(targets) or not protocol.asks(history):
        return None
    return Question(int(log.at_ms[order.first]), customer, history, targets, drawn)


def _mask(on_sale: Allowed, history: History, method: Method, new_only: bool) -> Allowed:
    allowed = on_sale.copy()
    if new_only or method.scorer.weights.mask_bought:
        allowed[history.rows] = False
    return allowed


def targets_of(
    log: PurchaseLog, lines: slice | NDArray[np.int64], history: History, new_only: bool
) -> NDArray[np.int64]:
    """The distinct products sold in these lines; with `new_only` without those in the history."""
    sold = np.unique(log.rows[lines][log.quantity[lines] > 0])
    return np.setdiff1d(sold, history.rows) if new_only else sold


def time_since_last_purchase(history: History, now_ms: int) -> int:
    """Milliseconds since the newest purchase of the history."""
    return now_ms - int(history.event_time_ms.max()) if len(history) else NO_PURCHASE_BEFORE
