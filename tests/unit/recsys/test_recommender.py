"""Recommendations from a checkerboard of purchases, where the right answers are known."""

import time
from collections.abc import Callable
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from recsys import recommender
from recsys.answers import Answer, Pick, ReasonCode, Related, Strategy
from recsys.basket_weights import BasketWeights, OrderTerm
from recsys.catalogue import Filters
from recsys.decayed_counts import DAY_MS, HOUR_MS
from recsys.live_state import Purchase
from recsys.model import load_model
from recsys.recommender import Recommender
from recsys.rotation import Rotation
from recsys.score_weights import DecayTerm, ScoreWeights
from recsys.scorer import ComposedScorer
from recsys.variety import NONE, Variety
from tests.support.models import CUT_OFF_MS, MODELS, ModelSpec, Objects, Product, checkerboard, publish, trained

CLOCK_MS = CUT_OFF_MS + 3600 * DAY_MS  # the shop's purchases are of another decade
ANY = Filters()

EVERYTHING = ScoreWeights(
    factors=0.3,
    popularity=0.02,
    live=0.03,
    neighbours=0.5,
    categories=0.1,
    repeats=0.2,
    trends=(DecayTerm(6.0, 1.0), DecayTerm(168.0, 0.5)),
    recency=(DecayTerm(336.0, 1.0), DecayTerm(1.0, 0.5)),
    shrink=2.0,
    balance=0.3,
)
TIES = {
    ("electronics.audio", "electronics.audio"): 0.5,
    ("electronics.audio", "furniture.kitchen"): 0.1,
    ("furniture.kitchen", "furniture.kitchen"): 0.3,
}


def recommender_of(spec: ModelSpec, age_ms: Callable[[int], int | None] = lambda now_ms: 0) -> Recommender:
    store = Objects()
    publish(store, spec)
    model = load_model(store, f"{MODELS}/{spec.version}", spec.version)
    return Recommender(model, model.live_state(), age_ms)


def composed(composition: ScoreWeights, spec: ModelSpec | None = None) -> Recommender:
    return recommender_of(replace(spec or checkerboard(), composition=composition, category_ties=TIES))


def only(**weights: float | ScoreWeights) -> ScoreWeights:
    return ScoreWeights(trends=(DecayTerm(24.0, 1.0),), shrink=1.0, **weights)  # type: ignore[arg-type]


MOVING_AND_STILL = only(live=1.0, offline_weights=only(factors=1.0))


@pytest.fixture(scope="module")
def board() -> Recommender:
    """Factors, and popularity where they say nothing."""
    return recommender_of(checkerboard(size=8))


def for_user(recommender: Recommender, user_id: str, k: int, filters: Filters = ANY, now_ms: int = CLOCK_MS) -> Answer:
    return recommender.for_user(user_id, k, filters, now_ms)


def for_basket(recommender: Recommender, product_ids: list[str], k: int, filters: Filters = ANY) -> Answer:
    return recommender.for_basket(product_ids, k, filters, CLOCK_MS)


def ids(recommender: Recommender, picks: tuple[Pick, ...]) -> list[str]:
    return [recommender.model.catalogue.product_ids[pick.product] for pick in picks]


def shown(recommender: Recommender, answer: Answer) -> list[str]:
    return ids(recommender, answer.picks)


def row(recommender: Recommender, product_id: str) -> int:
    found = recommender.model.catalogue.row(product_id)
    assert found is not None
    return found


def buy(
    recommender: Recommender, user_id: str | None, product_id: str, pieces: int = 1, at_ms: int = CUT_OFF_MS
) -> None:
    recommender.live.apply(Purchase(user_id, row(recommender, product_id), pieces, at_ms))


@pytest.mark.parametrize("part", ["factors", "neighbours", "categories"])
@pytest.mark.parametrize("number", range(8))
def test_each_personal_part_gives_a_customer_the_product_of_their_colour_that_they_lack(part: str, number: int) -> None:
    answer = for_user(composed(only(**{part: 1.0})), f"u{number:02d}", 1)
    assert answer.strategy == Strategy.PERSONAL
    assert [pick.product for pick in answer.picks] == [number]


@pytest.mark.parametrize(
    ("part", "code", "product"),
    [
        ("neighbours", ReasonCode.BOUGHT_TOGETHER, "p02"),
        ("factors", ReasonCode.CUSTOMERS_LIKE_YOU, None),
        ("categories", ReasonCode.CATEGORY, None),
    ],
)
def test_the_reason_is_the_part_and_its_weight_the_score(part: str, code: ReasonCode, product: str | None) -> None:
    board = composed(only(**{part: 1.0}))
    (pick,) = for_user(board, "u00", 1).picks
    assert pick.reason.code == code
    assert pick.reason.product == (None if product is None else row(board, product))
    assert pick.reason.weight == pytest.approx(pick.score, rel=1e-6)


def test_of_several_parts_the_largest_is_the_reason() -> None:
    board = composed(EVERYTHING)
    (pick,) = for_user(board, "u00", 1).picks
    scorer, moment = board.model.scorer, board.model.scorer.shared_scores(board.live, CUT_OFF_MS)
    parts = scorer.explain(scorer.customer(board.live.history("u00")), board.live, moment, np.array([pick.product]))
    sizes = {
        ReasonCode.BOUGHT_TOGETHER: parts.neighbours[0],
        ReasonCode.CUSTOMERS_LIKE_YOU: parts.factors[0],
        ReasonCode.CATEGORY: parts.categories[0],
        ReasonCode.POPULAR: parts.popular[0],
    }
    assert min(sizes.values()) > 0, "every part has a say"
    assert (sizes[pick.reason.code], pick.reason.weight) == (max(sizes.values()), max(sizes.values()))
    assert sum(sizes.values()) == pytest.approx(pick.score, rel=1e-6)


def test_bought_together_names_the_purchase_that_contributes_most() -> None:
    spec = replace(
        checkerboard(),
        purchases={"ann": {"p00": 1, "p02": 1, "p04": 1}},
        co_purchases={
            "p00": (10, {"p06": 3}),
            "p02": (10, {"p06": 7}),
            "p04": (10, {"p01": 5}),
            "p06": (10, {"p00": 3, "p02": 7}),
            "p01": (10, {"p04": 5}),
        },
    )
    board = composed(only(neighbours=2.0), spec)
    first, second = for_user(board, "ann", 2).picks
    assert ids(board, (first, second)) == ["p06", "p01"]
    assert (first.reason.product, second.reason.product) == (row(board, "p02"), row(board, "p04"))
    recency = 2.0 ** (-1 / 14)  # bought a day before the cut-off
    assert first.reason.weight == first.score == pytest.approx(2 * recency * (3 + 7) / 11)


def test_bought_before_is_why_groceries_are_shown_again() -> None:
    board = composed(msgspec.structs.replace(only(repeats=1.0, neighbours=0.01), mask_bought=False))
    answer = for_user(board, "u00", 3)
    assert shown(board, answer) == ["p02", "p04", "p06"]
    assert {(pick.reason.code, pick.reason.product) for pick in answer.picks} == {(ReasonCode.BOUGHT_BEFORE, None)}
    assert shown(board, for_user(board, "u00", 1, Filters(exclude_purchased=True))) == ["p00"]


def test_purchases_are_shown_again_if_asked_for(board: Recommender) -> None:
    answer = for_user(board, "u00", 4, Filters(exclude_purchased=False))
    assert sorted(shown(board, answer)) == ["p00", "p02", "p04", "p06"]


def test_equal_scores_come_in_order_of_product_id(board: Recommender) -> None:
    # The products of the other colour are all alike to this customer.
    answer = for_user(board, "u00", 6)
    assert shown(board, answer)[0] == "p00"
    alike = [pick for pick in answer.picks if pick.product % 2]
    assert ids(board, tuple(alike)) == ["p01", "p03", "p05", "p07"]
    assert len({pick.score for pick in alike}) == 1


def test_filters_narrow_a_personal_answer(board: Recommender) -> None:
    assert shown(board, for_user(board, "u00", 2, Filters(category="furniture"))) == ["p01", "p03"]
    assert shown(board, for_user(board, "u00", 3, Filters(min_price=3000, max_price=5000))) == ["p03", "p05"]
    assert "p00" not in shown(board, for_user(board, "u00", 1, Filters(exclude=("p00",))))


def test_an_unknown_customer_gets_popular_products_and_the_score_as_reason(board: Recommender) -> None:
    answer = for_user(board, "nobody", 3)
    assert answer.strategy == Strategy.POPULAR
    assert shown(board, answer) == ["p90", "p00", "p01"]
    expected = 0.001 * np.log([51, 11, 11])
    assert [pick.score for pick in answer.picks] == pytest.approx(expected, rel=1e-6)
    assert [(pick.reason.code, pick.reason.weight) for pick in answer.picks] == [
        (ReasonCode.POPULAR, pick.score) for pick in answer.picks
    ]


def test_filters_narrow_a_popular_answer(board: Recommender) -> None:
    assert shown(board, for_user(board, "nobody", 2, Filters(brand="unknown"))) == ["p01", "p03"]
    assert shown(board, for_user(board, "nobody", 2, Filters(category="nothing"))) == []


def test_where_no_purchase_contributes_the_answer_is_popular_and_says_so(board: Recommender) -> None:
    answer = for_user(board, "u00", 3, Filters(brand="zeta"))
    assert (answer.strategy, shown(board, answer)) == (Strategy.POPULAR, ["p90"])


def test_a_shop_whose_composition_is_popularity_alone_gives_that_to_everybody() -> None:
    board = composed(only(popularity=1.0))
    assert for_user(board, "u00", 3).strategy == Strategy.POPULAR


def test_a_batch_equals_its_single_answers() -> None:
    board = composed(EVERYTHING)
    users = [f"u{number:02d}" for number in range(8)] + ["nobody", "u00"]
    for filters in (Filters(), Filters(category="electronics", exclude=("p02",)), Filters(brand="zeta")):
        single = [for_user(board, user, 3, filters) for user in users]
        assert board.for_users(users, 3, filters, CLOCK_MS) == single


def test_no_users_no_answers(board: Recommender) -> None:
    assert board.for_users([], 3, Filters(), CLOCK_MS) == []


def test_a_purchase_counts_for_the_next_answer_and_is_masked_from_it() -> None:
    board = composed(EVERYTHING)
    assert shown(board, for_user(board, "u00", 1)) == ["p00"]
    assert for_user(board, "new", 1).strategy == Strategy.POPULAR
    buy(board, "u00", "p00")
    buy(board, "new", "p03")
    assert "p00" not in shown(board, for_user(board, "u00", 9))
    answer = for_user(board, "new", 3)
    assert answer.strategy == Strategy.PERSONAL
    assert {pick.product % 2 for pick in answer.picks} == {1}
    buy(board, "u00", "p00", pieces=-1)
    assert shown(board, for_user(board, "u00", 1)) == ["p00"]


def test_popularity_follows_within_a_tenth_of_a_second() -> None:
    board = composed(only(live=1.0))
    assert shown(board, for_user(board, "nobody", 1)) == ["p90"]
    for _ in range(100):
        buy(board, None, "p05")
    assert shown(board, for_user(board, "nobody", 1, now_ms=CLOCK_MS + 99)) == ["p90"]
    assert shown(board, for_user(board, "nobody", 1, now_ms=CLOCK_MS + 100)) == ["p05"]


def test_now_is_the_newest_purchase_and_never_beyond_the_clock() -> None:
    board = composed(only(neighbours=1.0))
    before = for_user(board, "u00", 1).picks[0].score
    for _ in range(20):  # one event of a far day would not be believed
        buy(board, None, "p90", at_ms=CUT_OFF_MS + 14 * DAY_MS)
    later = for_user(board, "u00", 1, now_ms=CLOCK_MS + 1000).picks[0].score
    assert later == pytest.approx(before / 2), "half a life later"
    clock_ms = CUT_OFF_MS + 7 * DAY_MS
    assert for_user(board, "u00", 1, now_ms=clock_ms).picks[0].score == pytest.approx(before / 2**0.5)


@pytest.mark.parametrize("still_h", [24.0, 30.0])
def test_after_a_day_without_the_stream_the_weights_for_that_are_in_force(still_h: float) -> None:
    age_ms = 0
    board = recommender_of(replace(checkerboard(), composition=MOVING_AND_STILL), lambda now_ms: age_ms)
    assert for_user(board, "u00", 1).strategy == Strategy.POPULAR
    age_ms = round(still_h * HOUR_MS)
    late = for_user(board, "u00", 1, now_ms=CLOCK_MS + 100)
    assert (late.strategy, shown(board, late)) == (Strategy.PERSONAL, ["p00"])
    assert for_basket(board, ["p00", "p04"], 1).strategy == Strategy.BASKET
    age_ms = 24 * HOUR_MS - 1
    assert for_user(board, "u00", 1, now_ms=CLOCK_MS + 200).strategy == Strategy.POPULAR, "the stream is back"


def test_before_the_first_contact_with_the_stream_what_is_known_is_as_old_as_the_model() -> None:
    for age_ms, strategy in ((DAY_MS - 1, Strategy.POPULAR), (DAY_MS, Strategy.PERSONAL)):
        board = recommender_of(replace(checkerboard(), composition=MOVING_AND_STILL), lambda now_ms: None)
        assert for_user(board, "u00", 1, now_ms=board.model.created_at_ms + age_ms).strategy == strategy


def test_without_weights_for_it_a_state_that_stands_still_is_answered_from_as_ever() -> None:
    new, old = recommender_of(checkerboard()), recommender_of(checkerboard(), lambda now_ms: 9 * DAY_MS)
    assert for_user(old, "u00", 3) == for_user(new, "u00", 3)


def test_where_too_few_were_sold_lately_those_of_longer_ago_come_after_them() -> None:
    board = recommender_of(replace(checkerboard(), last_sold_ms=CUT_OFF_MS - 40 * DAY_MS))
    buy(board, None, "p05")
    assert shown(board, for_user(board, "nobody", 3)) == ["p05", "p90", "p00"]
    assert shown(board, for_user(board, "u00", 3)) == ["p05", "p00", "p90"]
    assert shown(board, for_user(board, "u00", 3, Filters(category="electronics")))[0] == "p00"
    assert len(for_user(board, "u00", 100).picks) == 6


def test_a_basket_finds_its_colour_and_names_the_product_that_explains_it() -> None:
    board = composed(only(neighbours=1.0, factors=0.01))
    answer = for_basket(board, ["p00", "p02"], 2)
    assert answer.strategy == Strategy.BASKET
    assert shown(board, answer) == ["p04", "p06"]
    assert {(pick.reason.code, pick.reason.product) for pick in answer.picks} <= {
        (ReasonCode.BOUGHT_TOGETHER, row(board, "p00")),
        (ReasonCode.BOUGHT_TOGETHER, row(board, "p02")),
    }


def test_a_basket_of_a_customer_s_purchases_scores_like_that_customer() -> None:
    board = composed(EVERYTHING)
    for product in ("p01", "p03"):
        buy(board, "new", product)
    assert for_basket(board, ["p03", "p01"], 8).picks == for_user(board, "new", 8).picks


def test_a_product_twice_in_the_basket_is_two_pieces() -> None:
    board = recommender_of(trained({"ann": {"tea": 1, "cup": 1}, "bob": {"tea": 2}}, rank=2))
    basket, customer = for_basket(board, ["tea", "tea"], 1), for_user(board, "bob", 1)
    assert basket.picks[0].score == pytest.approx(customer.picks[0].score, rel=1e-5)


ORDERS = {
    "p00": (400, {"p06": 312, "p01": 20}),
    "p02": (10, {"p06": 3, "p03": 9}),
    "p06": (500, {"p00": 312, "p02": 3}),
    "p01": (100, {"p00": 20}),
    "p03": (10, {"p02": 9}),
}


def basket_board(weight: float = 1.0, **others: float) -> Recommender:
    """The weights of customers say the opposite of the orders: customers keep to their colour."""
    basket = BasketWeights(OrderTerm(weight, shrink=1.0, balance=0.0), only(**others))
    spec = replace(checkerboard(), composition=only(factors=1.0), order_pairs=ORDERS, basket=basket)
    return recommender_of(spec)


def test_a_basket_is_completed_from_orders_and_says_how_many() -> None:
    board = basket_board()
    answer = for_basket(board, ["p00", "p02"], 3)
    assert answer.strategy == Strategy.BASKET
    assert shown(board, answer) == ["p06", "p03", "p01"]
    assert [pick.score for pick in answer.picks] == pytest.approx([312 / 401 + 3 / 11, 9 / 11, 20 / 401])
    assert [(pick.reason.code, pick.reason.product, pick.reason.orders) for pick in answer.picks] == [
        (ReasonCode.BOUGHT_TOGETHER, row(board, "p00"), 312),
        (ReasonCode.BOUGHT_TOGETHER, row(board, "p02"), 9),
        (ReasonCode.BOUGHT_TOGETHER, row(board, "p00"), 20),
    ]
    assert shown(board, for_user(board, "u00", 1)) == ["p00"], "customers keep their own weights"
    assert {pick.reason.orders for pick in for_user(board, "u00", 3).picks} == {None}


def test_an_order_of_this_second_counts_for_the_next_basket() -> None:
    board = basket_board()
    for product in ("p02", "p05"):
        board.live.apply(Purchase(None, row(board, product), 1, CUT_OFF_MS, order=1))
    (pick,) = for_basket(board, ["p05"], 1).picks
    assert (ids(board, (pick,)), pick.reason.orders) == (["p02"], 1)


@pytest.mark.parametrize("basket", [["ghost"], ["p90"], [f"p{n:02d}" for n in range(8)] + ["p90"]])
def test_where_orders_say_nothing_a_basket_gets_popular_products(basket: list[str]) -> None:
    board = basket_board(live=0.01)
    answer = for_basket(board, basket, 3)
    assert answer.strategy == Strategy.POPULAR
    assert len(answer.picks) == min(3, 9 - len(basket) if len(basket) == 9 else 3)
    assert {pick.reason.orders for pick in answer.picks} <= {None}


def test_a_basket_of_a_thousand_products_is_answered_at_once() -> None:
    board = basket_board(live=0.01)
    begun = time.process_time()
    answer = for_basket(board, ["p00", *(f"ghost{n}" for n in range(999))], 3)
    assert shown(board, answer)[0] == "p06"
    assert time.process_time() - begun < 0.5


def test_baskets_are_answered_alike_however_old_the_state_is() -> None:
    board = basket_board()
    old = recommender_of(
        replace(
            checkerboard(),
            composition=MOVING_AND_STILL,
            order_pairs=ORDERS,
            basket=BasketWeights(OrderTerm(1.0, 1.0, 0.0), only()),
        ),
        lambda now_ms: 9 * DAY_MS,
    )
    assert for_basket(old, ["p00"], 2).picks == for_basket(board, ["p00"], 2).picks


def test_unknown_products_of_a_basket_are_reported_once_and_ignored(board: Recommender) -> None:
    answer = for_basket(board, ["p00", "ghost", "p02", "ghost", "spook"], 2)
    assert answer.unknown_product_ids == ("ghost", "spook")
    assert answer.picks == for_basket(board, ["p00", "p02"], 2).picks


def test_a_basket_of_which_nothing_is_known_gets_popular_products(board: Recommender) -> None:
    answer = for_basket(board, ["ghost"], 2)
    assert (answer.strategy, answer.unknown_product_ids) == (Strategy.POPULAR, ("ghost",))
    assert shown(board, answer) == ["p90", "p00"]


def test_what_lies_in_the_basket_is_shown_again_only_where_that_is_asked_for() -> None:
    board = composed(msgspec.structs.replace(EVERYTHING, mask_bought=False))
    assert "p90" not in shown(board, for_basket(board, ["p90"], 9))
    assert "p90" in shown(board, for_basket(board, ["p90"], 9, Filters(exclude_purchased=False)))


def related(board: Recommender, product_id: str, k: int, filters: Filters = ANY) -> Related:
    return board.related(row(board, product_id), k, filters, CLOCK_MS)


def test_substitutes_are_of_the_same_category_with_all_their_reasons() -> None:
    board = composed(only(neighbours=1.0))
    picks = related(board, "p02", 3).substitutes
    assert ids(board, picks) == ["p04", "p06", "p00"], "of equally like ones the price decides"
    assert {(pick.reason.code, pick.reason.product) for pick in picks} == {(ReasonCode.SAME_CATEGORY, 2)}
    assert {ReasonCode.SIMILAR, ReasonCode.LIKE_NAME} <= set(picks[0].reason.also)
    assert {pick.reason.weight for pick in picks} == {board.model.likeness.weights.category}
    (cheap,) = related(board, "p02", 3, Filters(category="electronics", max_price=0)).substitutes
    assert cheap.product == 0


def test_complements_are_of_other_categories_with_the_number_of_orders() -> None:
    board = basket_board()
    complements = related(board, "p02", 3).complements
    assert ids(board, complements) == ["p03"], "p02 is in 9 orders with p03, of another category"
    assert (complements[0].reason.code, complements[0].reason.orders) == (ReasonCode.BOUGHT_TOGETHER, 9)
    board.live.apply(Purchase(None, row(board, "p02"), 1, CUT_OFF_MS, order=1))
    board.live.apply(Purchase(None, row(board, "p05"), 1, CUT_OFF_MS, order=1))
    assert set(ids(board, related(board, "p02", 3).complements)) == {"p03", "p05"}, "an order of this second counts"


def test_what_is_shown_as_complement_is_no_substitute() -> None:
    board = basket_board()
    answer = related(board, "p02", 8)
    alike = board.model.likeness.substitutes(row(board, "p02"), 8, board.model.catalogue.allowed(ANY)).ranked.rows
    assert row(board, "p03") in alike
    assert ids(board, answer.complements) == ["p03"]
    assert "p03" not in ids(board, answer.substitutes)
    assert "p01" in ids(board, answer.substitutes), "of another category, but not shown as complement"


def test_a_product_of_which_nothing_is_known_gets_popular_products_and_says_so(board: Recommender) -> None:
    answer = related(board, "p90", 3)
    assert ids(board, answer.substitutes) == ["p00", "p01", "p02"]
    assert {pick.reason.code for pick in answer.substitutes} == {ReasonCode.POPULAR}
    assert answer.complements == ()


def test_substitutes_of_longer_ago_come_last() -> None:
    board = recommender_of(replace(checkerboard(), last_sold_ms=CUT_OFF_MS - 40 * DAY_MS))
    buy(board, None, "p06")
    assert ids(board, related(board, "p02", 3).substitutes)[0] == "p06"
    assert ids(board, related(board, "p02", 1).substitutes) == ["p06"]


def varied(variety: Variety) -> Recommender:
    board = composed(only(popularity=1.0))
    return Recommender(board.model, board.model.live_state(), variety=variety)


def test_of_one_category_no_more_than_the_setting_says_unless_asked_for() -> None:
    board = varied(Variety(alike=False, same_category=1))
    assert shown(board, for_user(board, "nobody", 3)) == ["p90", "p00", "p01"]
    assert shown(board, for_user(board, "u01", 2)) == ["p90", "p00"]
    alike = Filters(alike=True)
    assert shown(board, for_user(board, "u01", 3, alike)) == ["p90", "p00", "p01"]
    assert shown(board, for_basket(board, ["p00"], 3)) == ["p90", "p01", "p02"]
    assert shown(board, for_user(board, "nobody", 2, Filters(category="electronics"))) == ["p00", "p02"]
    assert len(for_user(board, "nobody", 100).picks) == 9, "k beyond the catalogue gives what there is"


def test_a_pool_without_enough_categories_is_enlarged() -> None:
    board = varied(Variety(alike=False, same_category=1))
    answer = for_user(board, "nobody", 3, Filters(exclude=("p01", "p03")))
    assert shown(board, answer) == ["p90", "p00", "p05"], (
        "the best three are p90, p00 and p02, of one category with p00"
    )


def test_a_filter_whose_products_are_all_alike_does_not_cost_a_search_of_everything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(recommender, "MOST", 2)
    board, asked = varied(Variety(alike=False, same_category=1)), list[int]()
    best = ComposedScorer.top_k_each

    def counting(scorer: object, customers: object, live: object, shared: object, k: int, allowed: object) -> object:
        asked.append(k)
        return best(scorer, customers, live, shared, k, allowed)  # type: ignore[arg-type]

    monkeypatch.setattr(ComposedScorer, "top_k_each", counting)
    alike = Filters(exclude=("p90", "p01", "p03", "p05", "p07"))
    assert shown(board, for_user(board, "nobody", 2, alike)) == ["p00", "p02"]
    assert set(asked) == {2}, "without the bound it would go on to 16"


def rotated(resting: int, variety: Variety = NONE) -> Recommender:
    board = composed(only(popularity=1.0))
    return Recommender(board.model, board.model.live_state(), variety=variety, rotation=Rotation(resting))


def test_a_customer_sees_the_same_during_a_visit_and_other_good_products_later() -> None:
    board, best = rotated(2), for_user(rotated(0), "u01", 4)
    days = [CLOCK_MS + day * DAY_MS for day in range(40)]
    answers = [for_user(board, "u01", 2, now_ms=now_ms) for now_ms in days]
    assert {len(answer.picks) for answer in answers} == {2}
    seen = {pick.product for answer in answers for pick in answer.picks}
    assert seen == {pick.product for pick in best.picks}, "the best four, and nothing else"
    assert answers == [for_user(board, "u01", 2, now_ms=now_ms) for now_ms in days], "the visit decides, nothing else"
    assert len({answer.picks for answer in answers}) > 3
    scores = {pick.product: pick.score for pick in best.picks}
    assert all(pick.score == scores[pick.product] for answer in answers for pick in answer.picks)
    assert all(answer.picks[0].score >= answer.picks[1].score for answer in answers)


def test_unknown_customers_and_baskets_get_the_best() -> None:
    board, still = rotated(2), rotated(0)
    assert for_user(board, "nobody", 2) == for_user(still, "nobody", 2)
    assert for_basket(board, ["p00"], 2) == for_basket(still, ["p00"], 2)


def test_rotation_keeps_the_rules_of_variety_and_a_batch_equals_its_single_answers() -> None:
    board = rotated(1, Variety(alike=False, same_category=1))
    users = [f"u{number:02d}" for number in range(8)]
    answers = board.for_users(users, 2, ANY, CLOCK_MS)
    assert answers == [for_user(board, user, 2) for user in users]
    categories = board.model.catalogue.categories
    assert all(len({categories[pick.product] for pick in answer.picks}) == 2 for answer in answers)


def test_where_there_are_no_more_than_k_products_none_rests() -> None:
    assert for_user(rotated(5), "u01", 100).picks == for_user(rotated(0), "u01", 100).picks


def test_with_variety_a_batch_equals_its_single_answers() -> None:
    board = varied(Variety(weight=0.3))
    users = [f"u{number:02d}" for number in range(8)] + ["nobody"]
    assert board.for_users(users, 3, ANY, CLOCK_MS) == [for_user(board, user, 3) for user in users]


def test_k_beyond_the_catalogue_gives_what_there_is(board: Recommender) -> None:
    assert len(for_user(board, "u00", 100).picks) == 6
    assert len(for_user(board, "nobody", 100).picks) == 9


def test_a_model_of_no_purchases_answers_with_nothing() -> None:
    board = recommender_of(
        ModelSpec(
            user_factors={},
            item_factors={},
            catalogue={},
            popularity={},
            purchases={},
            rank=4,
            alpha=1.0,
            regularisation=0.1,
        )
    )
    assert for_user(board, "u00", 3) == Answer(Strategy.POPULAR, ())
    assert for_basket(board, ["p00"], 3) == Answer(Strategy.POPULAR, (), ("p00",))


def test_a_customer_with_fifty_thousand_purchases_is_answered_quickly() -> None:
    products, bought = 60_000, 50_000
    rng = np.random.default_rng(1)
    names = [f"p{number:05d}" for number in range(products)]
    factors = rng.normal(scale=0.2, size=(products, 64)).tolist()
    spec = ModelSpec(
        user_factors={},
        item_factors=dict(zip(names, factors, strict=True)),
        catalogue=dict.fromkeys(names, Product(category="electronics.audio")),
        popularity={},
        purchases={"reseller": dict.fromkeys(names[:bought], 1)},
        co_purchases={},
        rank=64,
        alpha=40.0,
        regularisation=0.1,
        composition=msgspec.structs.replace(EVERYTHING, categories=0.1),
        category_ties=TIES,
    )
    board = recommender_of(spec)
    for_user(board, "nobody", 3)
    took = []
    for number in range(5):
        buy(board, "reseller", names[bought + number], at_ms=CUT_OFF_MS + number)
        started = time.thread_time()  # of this thread, whatever else the machine does
        answer = for_user(board, "reseller", 3)
        took.append(time.thread_time() - started)
        assert min(pick.product for pick in answer.picks) > bought + number
    assert min(took) < 0.25, took  # the others share the processor's caches with whatever else runs


def test_what_is_kept_of_customers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recommender, "_PRODUCTS_KEPT", 12)  # three of four entries each: one and three products
    board = recommender_of(checkerboard())
    solved: list[int] = []
    monkeypatch.setattr(board.model.scorer._fold_in, "vector", counted(solved, board.model.scorer._fold_in.vector))
    asked = ["u00", "u01", "u00", "u02", "u00", "u03", "u00", "u01"]
    for user in asked:
        for_user(board, user, 1)
    assert len(solved) == 5, "u01 alone was asked again after three others"


def counted(calls: list[int], function: object) -> object:
    def call(*arguments: object) -> object:
        calls.append(1)
        return function(*arguments)  # type: ignore[operator]

    return call
