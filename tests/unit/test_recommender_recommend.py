"""Recommendations from a checkerboard of purchases, where the right answers are known."""

from dataclasses import replace

import pytest

from services.recommender.catalogue import Filters
from services.recommender.model import Model, load_model
from services.recommender.recommend import Answer, ReasonCode, Strategy, for_basket, for_user, for_users, similar
from tests.models import MODELS, ModelSpec, Objects, checkerboard, publish, trained


def model_of(spec: ModelSpec) -> Model:
    store = Objects()
    publish(store, spec)
    return load_model(store, f"{MODELS}/{spec.version}", spec.version)


@pytest.fixture(scope="module")
def board() -> Model:
    return model_of(checkerboard(size=8))


def shown(model: Model, answer: Answer) -> list[str]:
    return [model.catalogue.product_ids[pick.product] for pick in answer.picks]


@pytest.mark.parametrize("number", range(8))
def test_a_customer_gets_the_one_product_of_their_colour_that_they_lack(board: Model, number: int) -> None:
    answer = for_user(board, f"u{number:02d}", 1, Filters())
    assert answer.strategy == Strategy.PERSONAL
    assert shown(board, answer) == [f"p{number:02d}"]


def test_purchases_are_shown_again_if_asked_for(board: Model) -> None:
    answer = for_user(board, "u00", 4, Filters(exclude_purchased=False))
    assert sorted(shown(board, answer)) == ["p00", "p02", "p04", "p06"]


def test_equal_scores_come_in_order_of_product_id(board: Model) -> None:
    # The products of the other colour are all alike to this customer.
    answer = for_user(board, "u00", 5, Filters())
    assert shown(board, answer) == ["p00", "p01", "p03", "p05", "p07"]
    assert len({pick.score for pick in answer.picks[1:]}) == 1


def test_filters_narrow_a_personal_answer(board: Model) -> None:
    assert shown(board, for_user(board, "u00", 2, Filters(category="furniture"))) == ["p01", "p03"]
    assert shown(board, for_user(board, "u00", 3, Filters(min_price=3000, max_price=5000))) == ["p03", "p05"]
    assert shown(board, for_user(board, "u00", 1, Filters(exclude=("p00",)))) == ["p01"]


def test_an_unknown_customer_gets_popular_products_and_the_score_as_reason(board: Model) -> None:
    answer = for_user(board, "nobody", 3, Filters())
    assert answer.strategy == Strategy.POPULAR
    assert shown(board, answer) == ["p90", "p00", "p01"]
    assert [(pick.reason.code, pick.reason.weight) for pick in answer.picks] == [
        (ReasonCode.POPULAR, 50.0),
        (ReasonCode.POPULAR, 10.0),
        (ReasonCode.POPULAR, 10.0),
    ]


def test_filters_narrow_a_popular_answer(board: Model) -> None:
    assert shown(board, for_user(board, "nobody", 2, Filters(brand="unknown"))) == ["p01", "p03"]
    assert shown(board, for_user(board, "nobody", 2, Filters(category="nothing"))) == []


def test_where_the_filters_leave_nothing_with_factors_popular_products_answer(board: Model) -> None:
    answer = for_user(board, "u00", 3, Filters(brand="zeta"))
    assert (answer.strategy, shown(board, answer)) == (Strategy.POPULAR, ["p90"])


def test_the_reason_is_the_purchase_that_contributes_most() -> None:
    # `mike` bought both worlds, tea ten times: what comes from tea's world is explained by tea.
    spec = trained(
        {
            "ann": {"tea": 1, "cup": 1, "kettle": 1},
            "bob": {"tea": 2, "cup": 1, "kettle": 2},
            "cid": {"saw": 1, "nail": 1, "hammer": 1},
            "dan": {"saw": 1, "nail": 3, "hammer": 1},
            "mike": {"tea": 10, "cup": 1, "saw": 1},
        },
        rank=2,
    )
    model = model_of(spec)
    answer = for_user(model, "mike", 3, Filters())
    reasons = {
        model.catalogue.product_ids[pick.product]: model.catalogue.product_ids[pick.reason.product]
        for pick in answer.picks
        if pick.reason.product is not None
    }
    assert reasons == {"kettle": "tea", "nail": "saw", "hammer": "saw"}
    assert all(pick.reason.code == ReasonCode.LIKE_PURCHASE for pick in answer.picks)


def test_a_single_purchase_is_the_whole_reason() -> None:
    model = model_of(trained({"ann": {"tea": 1, "cup": 1}, "bob": {"tea": 3}}, rank=2))
    (pick,) = for_user(model, "bob", 1, Filters()).picks
    assert pick.reason.weight == pytest.approx(pick.score, rel=1e-4)


def test_a_score_that_no_purchase_explains_is_owed_to_similar_customers() -> None:
    model = model_of(replace(checkerboard(), purchases={}))
    (pick,) = for_user(model, "u00", 1, Filters()).picks
    assert (pick.reason.code, pick.reason.product) == (ReasonCode.CUSTOMERS_LIKE_YOU, None)
    assert pick.reason.weight == pick.score


def test_a_batch_equals_its_single_answers(board: Model) -> None:
    users = [f"u{number:02d}" for number in range(8)] + ["nobody", "u00"]
    for filters in (Filters(), Filters(category="electronics", exclude=("p02",)), Filters(brand="zeta")):
        assert for_users(board, users, 3, filters) == [for_user(board, user, 3, filters) for user in users]


def test_no_users_no_answers(board: Model) -> None:
    assert for_users(board, [], 3, Filters()) == []


def test_a_basket_finds_its_colour_and_names_the_product_that_explains_it(board: Model) -> None:
    answer = for_basket(board, ["p00", "p02"], 2, Filters())
    assert answer.strategy == Strategy.BASKET
    assert shown(board, answer) == ["p04", "p06"]
    assert {pick.reason.code for pick in answer.picks} == {ReasonCode.LIKE_BASKET}
    assert {pick.reason.product for pick in answer.picks} <= {board.catalogue.row("p00"), 2}


def test_a_basket_of_a_customer_s_purchases_scores_like_that_customer(board: Model) -> None:
    basket = for_basket(board, ["p02", "p04", "p06"], 8, Filters())
    customer = for_user(board, "u00", 8, Filters())
    assert shown(board, basket)[0] == shown(board, customer)[0] == "p00"
    assert basket.picks[0].score == pytest.approx(customer.picks[0].score, rel=1e-5)


def test_a_product_twice_in_the_basket_is_two_pieces() -> None:
    model = model_of(trained({"ann": {"tea": 1, "cup": 1}, "bob": {"tea": 2}}, rank=2))
    basket = for_basket(model, ["tea", "tea"], 1, Filters())
    customer = for_user(model, "bob", 1, Filters())
    assert basket.picks[0].score == pytest.approx(customer.picks[0].score, rel=1e-5)


def test_unknown_products_of_a_basket_are_reported_once_and_ignored(board: Model) -> None:
    answer = for_basket(board, ["p00", "ghost", "p02", "ghost", "spook"], 2, Filters())
    assert answer.unknown_product_ids == ("ghost", "spook")
    assert answer.picks == for_basket(board, ["p00", "p02"], 2, Filters()).picks


def test_a_basket_without_any_factors_gets_popular_products_but_not_its_own(board: Model) -> None:
    answer = for_basket(board, ["ghost", "p90"], 2, Filters())
    assert (answer.strategy, answer.unknown_product_ids) == (Strategy.POPULAR, ("ghost",))
    assert shown(board, answer) == ["p00", "p01"]
    kept = for_basket(board, ["p90"], 1, Filters(exclude_purchased=False))
    assert shown(board, kept) == ["p90"]


def test_similar_products_have_the_same_colour_and_are_not_the_product_itself(board: Model) -> None:
    picks = similar(board, 2, 3, Filters())
    assert [board.catalogue.product_ids[pick.product] for pick in picks] == ["p00", "p04", "p06"]
    assert all(pick.score == pytest.approx(1.0) for pick in picks)
    assert {(pick.reason.code, pick.reason.product) for pick in picks} == {(ReasonCode.SIMILAR, 2)}
    assert similar(board, 2, 3, Filters(category="electronics", max_price=0))[0].product == 0


def test_a_product_without_factors_has_no_similar_ones(board: Model) -> None:
    row = board.catalogue.row("p90")
    assert row is not None
    assert similar(board, row, 3, Filters()) == ()


def test_purchases_of_a_customer_without_factors_are_masked_from_the_popular_list() -> None:
    spec = checkerboard()
    model = model_of(replace(spec, purchases={**spec.purchases, "late": {"p90": 1}}))
    answer = for_user(model, "late", 2, Filters())
    assert (answer.strategy, shown(model, answer)) == (Strategy.POPULAR, ["p00", "p01"])


def test_k_beyond_the_catalogue_gives_what_there_is(board: Model) -> None:
    assert len(for_user(board, "u00", 100, Filters()).picks) == 5
    assert len(for_user(board, "nobody", 100, Filters()).picks) == 9


def test_a_model_of_no_purchases_answers_with_nothing() -> None:
    model = model_of(
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
    assert for_user(model, "u00", 3, Filters()) == Answer(Strategy.POPULAR, ())
    assert for_basket(model, ["p00"], 3, Filters()) == Answer(Strategy.POPULAR, (), ("p00",))
