"""Basket completion: one product of each order is taken out, and the others ask for it.

The orders come by time; each is answered from the state just before it, then applied whole. The customer is not known:
the basket alone asks, as at POST /v1/recommendations.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from recsys.evaluation.purchase_log import Order, PurchaseLog
from recsys.evaluation.rolling import NO_PURCHASE_BEFORE, Answers, Method, Recorder, ReplayState
from recsys.evaluation.training_view import TrainingView
from recsys.live_state import LiveState
from recsys.purchase_history import History
from recsys.topk import Int64s

AT_LEAST = 2
"""Products of an order that becomes a question."""


@dataclass(frozen=True, slots=True)
class BasketProtocol:
    """Which orders are asked: a `sample` of those with two products or more, drawn with `seed`.

    With `skip`, none of them is in a sample of that size with the same seed. Candidates were sold within
    `candidate_days`; products of the basket are left out.
    """

    sample: float = 1.0
    skip: float = 0.0
    seed: int = 1
    candidate_days: int = 30

    def draws(self, drawn: float) -> bool:
        """Whether a random number in [0, 1) makes its order a question."""
        return self.skip <= drawn < self.skip + self.sample


@dataclass(frozen=True, slots=True)
class BasketQuestion:
    """An order without one of its products."""

    at_ms: int
    basket: Int64s  # rows, ascending
    target: int

    @property
    def history(self) -> History:
        """The basket as the scorer takes it: bought this moment."""
        return History(self.basket, np.ones(len(self.basket)), np.full(len(self.basket), self.at_ms, np.int64))


def evaluate_baskets(
    view: TrainingView, until_ms: int, methods: Sequence[Method], protocol: BasketProtocol, title: str = "baskets"
) -> Answers:
    """Ask at the orders from the view's moment to `until_ms`."""
    replay, recorder = ReplayState(view, methods), Recorder(methods, len(view.log.products))
    for one in each_basket_question(view, until_ms, replay.live, protocol, title):
        on_sale = replay.live.on_sale(one.at_ms, protocol.candidate_days)
        allowed = on_sale.copy()
        allowed[one.basket] = False
        shown = [replay.best(method.scorer, method.frozen, one.history, one.at_ms, allowed) for method in methods]
        recorder.add(one.at_ms, NO_PURCHASE_BEFORE, np.array([one.target]), on_sale, shown)
    return recorder.answers()


def each_basket_question(
    view: TrainingView, until_ms: int, live: LiveState, protocol: BasketProtocol, title: str
) -> Iterator[BasketQuestion]:
    """The questions from the view's moment to `until_ms`, each while `live` is in the state just before its order."""
    log, first, last = view.log, view.last, view.log.at(until_ms)
    chance = np.random.default_rng(protocol.seed)
    with tqdm(total=last - first, desc=title, unit=" lines", unit_scale=True) as bar:
        for order in log.each_order(first, last):
            drawn, place = chance.random(2).tolist()
            products = products_of(log, order) if protocol.draws(drawn) else ()
            if len(products) >= AT_LEAST:
                out = int(place * len(products))
                yield BasketQuestion(int(log.at_ms[order.first]), np.delete(products, out), int(products[out]))
            for purchase in log.purchases(order):
                live.apply(purchase)
            bar.update(order.last - order.first)


def products_of(log: PurchaseLog, order: Order) -> NDArray[np.int64]:
    """The distinct products sold in an order, ascending."""
    lines = slice(order.first, order.last)
    return np.unique(log.rows[lines][log.quantity[lines] > 0])


def possible_questions(log: PurchaseLog, first: int, last: int) -> int:
    """How many orders within some lines have two products or more."""
    sold = np.flatnonzero(log.quantity[first:last] > 0) + first
    pairs = np.unique(log.orders[sold] * len(log.products) + log.rows[sold])
    _, products = np.unique(pairs // len(log.products), return_counts=True)
    return int((products >= AT_LEAST).sum())


def share_of(log: PurchaseLog, first: int, last: int, questions: int) -> float:
    """The share of the orders within some lines that gives about so many questions."""
    return min(1.0, questions / max(possible_questions(log, first, last), 1))
