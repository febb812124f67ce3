"""VMIS-kNN on sessions whose votes can be computed by hand."""

import numpy as np
import pytest

from recsys.decayed_counts import DAY_MS
from recsys.evaluation import session_knn
from recsys.evaluation.session_knn import SessionKnn, sessions_of
from recsys.evaluation.training_view import TrainingView, view_at
from recsys.fold_in import FoldIn
from recsys.purchase_history import History
from recsys.scorer import TrainedParts
from recsys.topk import Float64s
from tests.support.purchase_log import START_MS, LogLine, log_of

NONE = np.zeros((0, 1), np.float32)
LINES: list[LogLine] = [
    (0.0, "a1", "ann", 0),
    (0.1, "a2", "ann", 1),
    (1.0, "b1", "bob", 0),
    (1.1, "b1", "bob", 2),
    (2.0, "x1", None, 1),
    (2.0, "x1", None, 3),
    (3.0, "c1", "cid", 3),
]


def shop(lines: list[LogLine] = LINES) -> TrainingView:
    return view_at(log_of(lines, 4), START_MS + 10 * DAY_MS)


def scorer(view: TrainingView, of_customers: bool = True) -> SessionKnn:
    trained = TrainedParts(NONE, FoldIn(NONE, 1.0, 1.0), np.array([4.0, 3.0, 2.0, 9.0]), view.categories)
    return SessionKnn(trained, sessions_of(view, of_customers))


def votes(one: SessionKnn, view: TrainingView, *products: int) -> Float64s:
    """By the product's number in the log; the products were bought one after the other."""
    row = {id_: place for place, id_ in enumerate(view.log.products)}
    rows = np.array([row[f"p{number:03d}"] for number in products])
    order = np.argsort(rows)
    at_ms = START_MS + np.arange(len(rows)) * DAY_MS
    found = one.votes(History(rows[order], np.ones(len(rows)), at_ms[order]))
    return found[[row[f"p{number:03d}"] for number in range(4)]]


def test_sessions_are_customers_and_anonymous_orders_the_newest_first() -> None:
    view = shop()
    sessions = sessions_of(view)
    found = [sessions.products_of.of(number).tolist() for number in range(4)]
    name = dict(enumerate(view.log.products))
    assert [sorted(name[row] for row in rows) for rows in found] == [
        ["p003"],
        ["p001", "p003"],
        ["p000", "p002"],
        ["p000", "p001"],
    ]
    assert len(sessions_of(view, of_customers=False).products_of.starts) == 1 + 5, "five orders"


def test_votes_are_similarity_by_nearness_by_rarity() -> None:
    view = shop()
    # Bought 0, then 1. With 1, the newest: ann (similarity 1 + 1/2) and the anonymous order (1). With 0: bob (1/2).
    found = votes(scorer(view), view, 0, 1)
    rare, seldom = np.log(4 / 2), np.log(4 / 1)
    assert found == pytest.approx([(1.5 + 0.5 * 0.9) * rare, (1.5 + 1) * rare, 0.5 * 0.9 * seldom, rare])


def test_without_a_purchase_or_a_session_nothing_is_voted_for() -> None:
    view = shop()
    empty = History(np.empty(0, np.int64), np.empty(0), np.empty(0, np.int64))
    assert not scorer(view).votes(empty).any()
    assert not votes(scorer(shop(LINES[:4])), shop(LINES[:4]), 3).any()


def test_popular_products_follow_those_that_are_voted_for() -> None:
    view = shop()
    one = scorer(view)
    live = view.live_state(one.weights.half_lives_ms)
    shared = one.shared_scores(live, START_MS + 4 * DAY_MS)
    bought = view.log.products.index("p000")
    customer = one.customer(History(np.array([bought]), np.ones(1), np.array([START_MS])))
    mask = shared.on_sale.copy()
    mask[bought] = False
    (ranked,) = one.top_k_each([customer], live, shared, 3, [mask])
    shown = [view.log.products[row] for row in ranked.rows.tolist()]
    assert set(shown[:2]) == {"p001", "p002"}
    assert shown[2] == "p003"


def test_only_the_newest_sessions_and_the_most_similar_vote(monkeypatch: pytest.MonkeyPatch) -> None:
    view = shop()
    monkeypatch.setattr(session_knn, "SESSIONS", 1)
    assert votes(scorer(view), view, 0)[1] == 0, "ann's session is older than bob's"
    monkeypatch.setattr(session_knn, "SESSIONS", 500)
    monkeypatch.setattr(session_knn, "NEIGHBOURS", 1)
    assert votes(scorer(view), view, 0, 1)[2] == 0, "ann's session is the most similar"
