"""Basket completion: questions, the table of their terms, the search and the gate, on shops whose answer is known."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from recsys.als_settings import EvaluationSettings
from recsys.basket_weights import DEFAULT_BASKET, BasketWeights, OrderTerm, popular_basket
from recsys.decayed_counts import DAY_MS
from recsys.evaluation.basket_evaluation import BasketResult, evaluate_baskets_of
from recsys.evaluation.basket_gate import decide_baskets
from recsys.evaluation.basket_search import SearchSize, basket_methods, choose_basket_weights
from recsys.evaluation.basket_table import tabulate_baskets
from recsys.evaluation.baskets import BasketProtocol, each_basket_question, evaluate_baskets, possible_questions
from recsys.evaluation.gate import CANDIDATE, LIVE, POPULARITY
from recsys.evaluation.metrics import values
from recsys.evaluation.purchase_log import PurchaseLog
from recsys.evaluation.training_view import order_pairs_of, view_at
from recsys.score_weights import DecayTerm, ScoreWeights
from tests.support.purchase_log import START_MS, LogLine, log_of, sets_of_six

SPLIT_MS, END_MS = START_MS + 20 * DAY_MS, START_MS + 30 * DAY_MS
SMALL = SearchSize(table=60, final=60, mutations=10)


WEIGHTS: dict[str, BasketWeights] = {
    "share": BasketWeights(OrderTerm(1.0, 5.0, 0.0), ScoreWeights()),
    "cosine, popularity, customers": BasketWeights(
        OrderTerm(0.7, 20.0, 0.5),
        ScoreWeights(
            live=0.02,
            neighbours=0.4,
            shrink=3.0,
            balance=0.2,
            trends=(DecayTerm(6.0, 1.0), DecayTerm(168.0, 0.3)),
            recency=(DecayTerm(336.0, 1.0), DecayTerm(24.0, 0.5)),
        ),
    ),
    "popularity": BasketWeights(OrderTerm(0.0), ScoreWeights(live=1.0, trends=(DecayTerm(24.0, 1.0),))),
}


def test_a_question_is_an_order_without_one_product_and_knows_nothing_of_it() -> None:
    view = view_at(sets_of_six(300, seed=1), SPLIT_MS)
    live = view.live_state(())
    before = view.last
    seen = 0
    for one in each_basket_question(view, END_MS, live, BasketProtocol(), "test"):
        assert one.target not in one.basket
        assert len(one.basket) == 2
        line = view.log.at(one.at_ms)
        assert live.order_pairs.neighbour_counts(one.target)[2] == (view.log.rows[:line] == one.target).sum()
        seen += 1
    assert seen == possible_questions(view.log, before, len(view.log)) > 60


def test_a_sample_and_the_rest_are_all_questions_with_the_same_targets() -> None:
    view = view_at(sets_of_six(300, seed=1), SPLIT_MS)

    def asked(protocol: BasketProtocol) -> list[tuple[int, int]]:
        live = view.live_state(())
        return [(one.at_ms, one.target) for one in each_basket_question(view, END_MS, live, protocol, "test")]

    whole, some = asked(BasketProtocol()), asked(BasketProtocol(sample=0.4))
    assert 0.2 * len(whole) < len(some) < 0.6 * len(whole)
    assert sorted(some + asked(BasketProtocol(sample=0.6, skip=0.4))) == sorted(whole)


@pytest.mark.parametrize("name", WEIGHTS)
def test_the_table_gives_what_the_scorer_s_answers_give(name: str) -> None:
    view = view_at(sets_of_six(300, seed=2), SPLIT_MS)
    answers = evaluate_baskets(view, END_MS, basket_methods(view, {name: WEIGHTS[name]}), BasketProtocol())
    table = tabulate_baskets(view, END_MS, BasketProtocol())
    assert table.asked == len(answers) > 60
    for metric, figure in table.values(WEIGHTS[name]).items():
        assert figure == pytest.approx(values(answers)[metric].mean(), abs=1e-9), metric


def test_pairs_of_an_order_are_limited_and_of_equal_counts_the_smaller_id_is_kept() -> None:
    log = log_of([(0, "a", None, 3), (0, "a", None, 1), (0, "a", "ann", 2), (1, "b", None, 0), (1, "b", None, 3)], 5)
    pairs = order_pairs_of(log, len(log))
    assert pairs.buyers.tolist() == [1, 1, 1, 2, 0]
    assert [pairs.of(row)[0].tolist() for row in range(5)] == [[3], [2, 3], [1, 3], [0, 1, 2], []]
    assert [order_pairs_of(log, len(log), kept=1).of(row)[0].tolist() for row in (1, 3)] == [[2], [0]]
    assert order_pairs_of(log, len(log), most=2).of(3)[0].tolist() == [0]
    renumbered = view_at(log, START_MS + 2 * DAY_MS)
    assert renumbered.log.products[0] == "p002", "the one that a known customer has comes first"
    three = renumbered.log.products.index("p003")
    assert [renumbered.log.products[row] for row in renumbered.order_pairs.of(three)[0].tolist()] == [
        "p000",
        "p001",
        "p002",
    ]


def decided(log: PurchaseLog, live: BasketWeights | None = None, candidates: int = 27) -> BasketResult:
    settings = EvaluationSettings(search_candidates=candidates, search_questions=60, gate_questions=50)
    searched = view_at(log, START_MS + 10 * DAY_MS) if candidates else None
    return evaluate_baskets_of(searched, view_at(log, SPLIT_MS), END_MS, live, settings)


def test_where_products_go_together_orders_are_chosen_and_popular_products_lose() -> None:
    found = decided(sets_of_six(500, seed=3)).decision
    assert found.winner == CANDIDATE
    assert found.weights.orders.weight > 0
    hits = {result.name: result.value for result in found.results}
    assert hits[CANDIDATE] > 2 * hits[POPULARITY]
    assert found.reason.startswith("For baskets the new configuration is the best")


def test_plant_products_dealt_to_orders_by_chance() -> None:
    """No products go together: the candidate and what serves are refused, and popular products win."""
    found = decided(sets_of_six(500, seed=3, by_chance=True), live=WEIGHTS["share"]).decision
    assert found.winner == POPULARITY
    assert found.weights.orders.weight == 0
    refused = {result.name: result.refused or "" for result in found.results}
    assert "not significantly better than popular products" in refused[CANDIDATE]
    assert "not significantly better than popular products" in refused[LIVE]


def test_plant_a_candidate_that_is_worse_than_what_serves() -> None:
    view = view_at(sets_of_six(500, seed=3), SPLIT_MS)
    good = WEIGHTS["share"]
    bad = BasketWeights(msgspec.structs.replace(good.orders, weight=1e-3), ScoreWeights(live=1.0))
    configs = {CANDIDATE: bad, LIVE: good, POPULARITY: popular_basket(good)}
    answers = evaluate_baskets(view, END_MS, basket_methods(view, configs), BasketProtocol())
    found = decide_baskets(answers, configs, 50)
    assert found.winner == LIVE
    refused = {result.name: result.refused or "" for result in found.results}
    assert "significantly worse than the live" in refused[CANDIDATE] or "not significantly better" in refused[CANDIDATE]


@pytest.mark.parametrize(("live", "winner"), [(None, CANDIDATE), (WEIGHTS["share"], LIVE)])
def test_too_few_orders_decide_nothing(live: BasketWeights | None, winner: str) -> None:
    found = decided(sets_of_six(60, seed=3), live, candidates=0).decision
    assert (found.winner, found.weights) == (winner, live or DEFAULT_BASKET)
    assert found.reason.startswith("Too few orders to compare the weights of baskets")


def test_the_same_purchases_and_seed_give_the_same_weights() -> None:
    log = sets_of_six(300, seed=5)
    one, other = (choose_basket_weights(view_at(log, SPLIT_MS), END_MS, SMALL) for _ in range(2))
    assert one == other
    assert one.tried == 52 + SMALL.mutations
    elsewhere = choose_basket_weights(view_at(log, SPLIT_MS), END_MS, replace(SMALL, seed=2))
    assert elsewhere.trials != one.trials


def test_orders_of_one_product_ask_nothing() -> None:
    lines: list[LogLine] = [(day / 4, f"o{day:03d}", "ann", day % 5) for day in range(120)]
    view = view_at(log_of(lines, 5), SPLIT_MS)
    choice = choose_basket_weights(view, END_MS, SMALL)
    assert choice.weights == choice.popular
    assert len(evaluate_baskets(view, END_MS, basket_methods(view, WEIGHTS), BasketProtocol())) == 0


@pytest.mark.parametrize(
    "orders", [{"weight": -1.0}, {"shrink": 0.0}, {"balance": 1.5}, {"balance": -0.1}, {"of_another_time": 1.0}]
)
def test_weights_that_make_no_sense_are_refused(orders: dict[str, Any]) -> None:
    with pytest.raises((ValueError, msgspec.ValidationError)):
        msgspec.convert({"orders": orders, "others": {}}, BasketWeights)
