"""The composed score from parts whose sums were worked out by hand."""

import msgspec
import numpy as np
import pytest

from recsys.category_affinity import Categories, no_categories
from recsys.co_purchases import CoPurchases, no_co_purchases
from recsys.decayed_counts import DAY_MS, HOUR_MS
from recsys.fold_in import FoldIn
from recsys.live_state import LiveState, Purchase
from recsys.purchase_history import NO_PAST, NOTHING, History, PastPurchases
from recsys.score_weights import DecayTerm, ScoreWeights
from recsys.scorer import MAX_FOLDED_PRODUCTS, ComposedScorer, Explanation, TrainedParts
from recsys.topk import Allowed, Float32s, Float64s, Ranked, Rows
from tests.support.models import als

NOW_MS = 1_600_000_000_000
PRODUCTS = 8
SHORT, LONG = DecayTerm(1.0, 1.0), DecayTerm(24.0, 0.5)


def knowledge(
    factors: Float32s | None = None, popularity: Float64s | None = None, categories: Categories | None = None
) -> TrainedParts:
    items = np.zeros((PRODUCTS, 2), np.float32) if factors is None else factors
    return TrainedParts(
        items,
        FoldIn(items, alpha=40.0, regularisation=0.01),
        np.zeros(PRODUCTS) if popularity is None else popularity,
        categories or no_categories(PRODUCTS),
    )


def state(past: PastPurchases = NO_PAST, pairs: CoPurchases | None = None) -> LiveState:
    """All products were sold a day ago, once."""
    live = LiveState(
        past, pairs or no_co_purchases(PRODUCTS), [SHORT.half_life_h * HOUR_MS, LONG.half_life_h * HOUR_MS]
    )
    live.warm_up(np.arange(PRODUCTS), np.full(PRODUCTS, NOW_MS - DAY_MS))
    return live


def board() -> tuple[TrainedParts, LiveState]:
    """Even customers hold even products, odd ones odd products, each all but the one of their own number."""
    ratings = np.array(
        [[np.log(2) * (u % 2 == p % 2 and u != p) for p in range(PRODUCTS)] for u in range(PRODUCTS)], np.float64
    )
    _, items = als(ratings, 2, alpha=40.0, regularisation=0.01, seed=7)
    owners, rows = np.nonzero(ratings)
    past = PastPurchases(
        users={f"u{number}": number for number in range(PRODUCTS)},
        starts=np.concatenate(([0], np.cumsum(np.bincount(owners)))),
        rows=rows,
        quantity=np.ones(len(rows)),
        event_time_ms=np.full(len(rows), NOW_MS - DAY_MS),
    )
    together = (ratings > 0).astype(int).T @ (ratings > 0).astype(int)
    np.fill_diagonal(together, 0)
    of, others = np.nonzero(together)
    pairs = CoPurchases(
        starts=np.concatenate(([0], np.cumsum(np.bincount(of)))),
        rows=others.astype(np.int32),
        counts=together[of, others].astype(np.int32),
        buyers=(ratings > 0).sum(axis=0),
    )
    colours = Categories(np.arange(PRODUCTS, dtype=np.int32) % 2, np.eye(2))
    popularity = np.arange(PRODUCTS, dtype=np.float64)
    return knowledge(items.astype(np.float32), popularity, colours), state(past, pairs)


EVERYTHING = ScoreWeights(
    factors=1.0,
    popularity=0.01,
    live=0.02,
    neighbours=0.5,
    categories=0.25,
    repeats=0.125,
    trends=(SHORT, LONG),
    baseline_trends=(DecayTerm(24.0, 0.015),),
    recency=(DecayTerm(336.0, 1.0), DecayTerm(1.0, 0.5)),
    factor_decay=(DecayTerm(24.0, 0.7), DecayTerm(1e6, 0.3)),
    shrink=2.0,
    balance=0.3,
)


def allowed(scorer: ComposedScorer, history: History, live: LiveState, mask_bought: bool | None = None) -> Allowed:
    return scorer.allowed(history, scorer.shared_scores(live, NOW_MS), mask_bought=mask_bought)


def explained(scorer: ComposedScorer, history: History, live: LiveState, rows: Rows) -> Explanation:
    return scorer.explain(scorer.customer(history), live, scorer.shared_scores(live, NOW_MS), rows)


def top_k(scorer: ComposedScorer, history: History, live: LiveState, k: int, mask: Allowed) -> Ranked:
    """The answer to one customer."""
    shared = scorer.shared_scores(live, NOW_MS)
    return next(scorer.top_k_each([scorer.customer(history)], live, shared, k, [mask]))


def answer(scorer: ComposedScorer, live: LiveState, customer: str, k: int) -> tuple[list[int], list[float]]:
    history = live.history(customer)
    ranked = top_k(scorer, history, live, k, allowed(scorer, history, live))
    return ranked.rows.tolist(), ranked.scores.tolist()


@pytest.mark.parametrize("part", ["factors", "neighbours", "categories"])
@pytest.mark.parametrize("number", range(PRODUCTS))
def test_each_personal_part_alone_finds_the_one_product_of_the_colour_that_is_missing(part: str, number: int) -> None:
    parts, live = board()
    alone = msgspec.structs.replace(ScoreWeights(trends=(SHORT,), shrink=1.0), **{part: 1.0})
    scorer = ComposedScorer(parts, alone)
    assert answer(scorer, live, f"u{number}", 1)[0] == [number]


def test_the_live_part_is_the_logarithm_of_the_faded_counts() -> None:
    live = state()
    for _ in range(3):
        live.apply(Purchase(None, 5, 1, NOW_MS - HOUR_MS))
    scorer = ComposedScorer(knowledge(), ScoreWeights(live=2.0, trends=(SHORT, LONG)))
    rows, scores = answer(scorer, live, "nobody", 2)
    assert rows == [5, 0], "of equals the smaller row"
    day_old = 2.0**-24 + 0.5 * 2.0**-1
    assert scores == pytest.approx(
        [2 * np.log1p(day_old + 3 * 2.0**-1 + 0.5 * 3 * 2.0 ** (-1 / 24)), 2 * np.log1p(day_old)], rel=1e-12
    )


def test_what_has_sold_for_long_can_be_held_against_a_product() -> None:
    live = state()
    live.warm_up(np.full(9, 3), np.full(9, NOW_MS - DAY_MS))
    live.apply(Purchase(None, 5, 1, NOW_MS))
    scorer = ComposedScorer(
        knowledge(), ScoreWeights(live=1.0, trends=(SHORT,), baseline_trends=(DecayTerm(24.0, 0.5),))
    )
    rows, scores = answer(scorer, live, "nobody", PRODUCTS)
    assert (rows[0], rows[-1]) == (5, 3)
    day_old = 2.0**-24
    assert scores[0] == pytest.approx(np.log1p(day_old + 1) - 0.5 * np.log1p(0.5 + 1), rel=1e-12)
    assert scores[-1] == pytest.approx(np.log1p(10 * day_old) - 0.5 * np.log1p(10 * 0.5), rel=1e-12)


def test_factors_fade_with_the_time_since_the_newest_purchase() -> None:
    parts, live = board()
    fresh = ComposedScorer(parts, ScoreWeights(factors=1.0, trends=(SHORT,)))
    fading = ComposedScorer(
        parts, ScoreWeights(factors=1.0, trends=(SHORT,), factor_decay=(DecayTerm(24.0, 0.5), DecayTerm(1e9, 0.25)))
    )
    rows = np.arange(PRODUCTS)
    # u0 bought a day ago: half of a half and, as good as lasting, a quarter.
    before, after = (explained(scorer, live.history("u0"), live, rows) for scorer in (fresh, fading))
    assert after.factors == pytest.approx(0.5 * before.factors, rel=1e-6)
    live.apply(Purchase("u0", 0, 1, NOW_MS))
    before, after = (explained(scorer, live.history("u0"), live, rows) for scorer in (fresh, fading))
    assert after.factors == pytest.approx(0.75 * before.factors, rel=1e-6), "the newest purchase counts"


def test_who_was_away_for_longer_gets_popular_products_and_what_they_buy_again() -> None:
    parts, live = board()
    weights = ScoreWeights(
        factors=1.0, neighbours=1.0, categories=1.0, repeats=1.0, live=0.1, mask_bought=False, trends=(SHORT,)
    )
    always, near = (
        ComposedScorer(parts, each) for each in (weights, msgspec.structs.replace(weights, personal_days=30))
    )
    history, rows = live.history("u0"), np.arange(PRODUCTS)
    newest = int(history.event_time_ms.max())
    for days, personal in ((30, True), (31, False)):
        now_ms = newest + days * DAY_MS
        with_term, without = (
            scorer.explain(scorer.customer(history), live, scorer.shared_scores(live, now_ms), rows)
            for scorer in (always, near)
        )
        for term in ("factors", "neighbours", "categories"):
            expected = getattr(with_term, term) if personal else np.zeros(PRODUCTS)
            assert getattr(without, term).tolist() == expected.tolist(), (days, term)
        assert without.repeats.tolist() == with_term.repeats.tolist()
        assert with_term.neighbours.any()


def test_what_was_kept_gives_the_same_answer_bit_for_bit() -> None:
    parts, live = board()
    scorer, history, everything = ComposedScorer(parts, EVERYTHING), live.history("u3"), [np.ones(PRODUCTS, np.bool_)]
    customer, shared = scorer.customer(history), scorer.shared_scores(live, NOW_MS)
    fresh = top_k(scorer, history, live, 5, everything[0])
    for _ in range(2):
        (again,) = scorer.top_k_each([customer], live, shared, 5, everything)
        assert (again.rows.tolist(), again.scores.tobytes()) == (fresh.rows.tolist(), fresh.scores.tobytes())


def test_of_very_many_purchases_the_newest_are_scored_and_all_are_masked() -> None:
    products = MAX_FOLDED_PRODUCTS + 3
    factors = np.random.default_rng(1).normal(size=(products, 2)).astype(np.float32)
    popularity = np.zeros(products)
    parts = TrainedParts(factors, FoldIn(factors, 40.0, 0.01), popularity, no_categories(products))
    rows = np.arange(products - 1)
    history = History(rows, np.ones(len(rows)), NOW_MS - DAY_MS + rows)
    live = LiveState(NO_PAST, no_co_purchases(products), [SHORT.half_life_h * HOUR_MS])
    live.warm_up(np.arange(products), np.full(products, NOW_MS))
    scorer = ComposedScorer(parts, ScoreWeights(factors=1.0, trends=(SHORT,)))
    assert np.flatnonzero(allowed(scorer, history, live)).tolist() == [products - 1]
    newest = History(rows[2:], history.quantity[2:], history.event_time_ms[2:])
    assert scorer.customer(history).vector.tolist() == scorer.customer(newest).vector.tolist()


def test_the_popularity_of_the_model_is_one_more_dimension() -> None:
    scorer = ComposedScorer(knowledge(popularity=np.arange(8.0)), ScoreWeights(popularity=0.5, trends=(SHORT,)))
    rows, scores = answer(scorer, state(), "nobody", 3)
    assert rows == [7, 6, 5]
    assert scores == pytest.approx(0.5 * np.log([8, 7, 6]), rel=1e-6)


def test_neighbours_count_by_the_recency_of_the_purchase() -> None:
    # 0 and 1 have one of their two buyers in common each with 2 and 3; 0 was bought a half-life before 1.
    pairs = CoPurchases(
        starts=np.array([0, 1, 2, 2, 2, 2, 2, 2, 2]),
        rows=np.array([2, 3], np.int32),
        counts=np.array([1, 1], np.int32),
        buyers=np.array([2, 2, 1, 1, 0, 0, 0, 0]),
    )
    live = state(pairs=pairs)
    live.apply(Purchase("ann", 0, 1, NOW_MS - HOUR_MS))
    live.apply(Purchase("ann", 1, 1, NOW_MS))
    scorer = ComposedScorer(
        knowledge(), ScoreWeights(neighbours=4.0, shrink=1.0, recency=(DecayTerm(1.0, 1.0),), trends=(SHORT,))
    )
    rows, scores = answer(scorer, live, "ann", 2)
    # Ann is a third buyer of each, and the shrinkage is one more.
    assert rows == [3, 2]
    assert scores == (pytest.approx([4 * 1 / 4, 4 * 0.5 * 1 / 4]))


def test_categories_lead_to_what_sells_in_them() -> None:
    ties = np.array([[0.2, 0.6], [0.0, 0.1]])
    categories = Categories(np.array([0, 1, 1, 0, -1, -1, -1, -1], np.int32), ties)
    live = state()
    live.apply(Purchase(None, 2, 1, NOW_MS - DAY_MS))  # 2 sold twice, 1 once, 0 and 3 once
    live.apply(Purchase("ann", 0, 1, NOW_MS - DAY_MS))  # and 0 once more, by ann
    scorer = ComposedScorer(
        knowledge(categories=categories), ScoreWeights(categories=1.0, recency=(DecayTerm(24.0, 1.0),), trends=(LONG,))
    )
    rows, scores = answer(scorer, live, "ann", 4)
    assert rows == [2, 1, 3, 4]
    assert scores == (pytest.approx([0.5 * 0.6 * 2 / 3, 0.5 * 0.6 / 3, 0.5 * 0.2 / 3, 0.0]))


def test_a_purchase_counts_for_the_next_answer_and_a_return_undoes_it() -> None:
    parts, live = board()
    scorer = ComposedScorer(parts, EVERYTHING)
    before = answer(scorer, live, "u0", 3)
    live.apply(Purchase("u0", 0, 1, NOW_MS))
    assert 0 not in answer(scorer, live, "u0", PRODUCTS)[0]
    live.apply(Purchase("u0", 0, -1, NOW_MS))
    rows, scores = answer(scorer, live, "u0", 3)
    assert rows == before[0]
    assert scores == (pytest.approx(before[1], rel=1e-12))


def test_an_unknown_user_s_first_purchase_makes_the_answer_personal() -> None:
    parts, live = board()
    scorer = ComposedScorer(parts, EVERYTHING)
    live.apply(Purchase("new", 3, 1, NOW_MS))
    assert [row % 2 for row in answer(scorer, live, "new", 3)[0]] == [1, 1, 1]


def test_a_batch_equals_its_single_answers_bit_for_bit() -> None:
    parts, live = board()
    live.apply(Purchase("u1", 4, 2, NOW_MS - HOUR_MS))
    scorer = ComposedScorer(parts, EVERYTHING)
    histories = [live.history(f"u{number}") for number in range(PRODUCTS)] + [NOTHING]
    masks = [allowed(scorer, history, live) for history in histories]
    customers, shared = [scorer.customer(history) for history in histories], scorer.shared_scores(live, NOW_MS)
    for history, mask, ranked in zip(
        histories, masks, scorer.top_k_each(customers, live, shared, 3, masks), strict=True
    ):
        single = top_k(scorer, history, live, 3, mask)
        assert (ranked.rows.tolist(), ranked.scores.tobytes()) == (single.rows.tolist(), single.scores.tobytes())


@pytest.mark.parametrize("customer", ["u0", "u1", "new", "nobody"])
def test_the_parts_sum_to_the_score(customer: str) -> None:
    parts, live = board()
    live.apply(Purchase("new", 3, 2, NOW_MS - 2 * HOUR_MS))
    live.apply(Purchase("new", 6, 1, NOW_MS))
    live.apply(Purchase("u0", 5, 1, NOW_MS - HOUR_MS))
    scorer, history = ComposedScorer(parts, EVERYTHING), live.history(customer)
    ranked = top_k(scorer, history, live, PRODUCTS, np.ones(PRODUCTS, np.bool_))
    explanation = explained(scorer, history, live, ranked.rows)
    assert explanation.scores == pytest.approx(ranked.scores, rel=1e-6, abs=1e-9)
    for row, neighbours in zip(ranked.rows.tolist(), explanation.neighbours.tolist(), strict=True):
        if neighbours:
            assert 0 <= explanation.bought_together(row) < len(history)


def test_purchases_are_shown_again_where_the_shop_or_the_request_says_so() -> None:
    parts, live = board()
    history = live.history("u0")
    shop = ScoreWeights(factors=1.0, mask_bought=False, trends=(SHORT,))
    again, never = ComposedScorer(parts, shop), ComposedScorer(parts, EVERYTHING)
    assert allowed(again, history, live).all()
    assert allowed(again, history, live, mask_bought=True).tolist() == allowed(never, history, live).tolist()
    assert np.flatnonzero(~allowed(never, history, live)).tolist() == [2, 4, 6]


def test_a_purchase_speaks_for_buying_the_same_again() -> None:
    live = state()
    live.apply(Purchase("ann", 4, 4, NOW_MS - HOUR_MS))
    live.apply(Purchase("ann", 2, 1, NOW_MS))
    shop = ScoreWeights(repeats=2.0, mask_bought=False, recency=(DecayTerm(1.0, 1.0),), trends=(SHORT,))
    rows, scores = answer(ComposedScorer(knowledge(), shop), live, "ann", 3)
    assert rows == [4, 2, 0]
    assert scores == pytest.approx([2 * 0.5 * np.log(5), 2 * np.log(2), 0.0])


def test_only_what_sold_lately_and_passes_the_filters_is_allowed() -> None:
    scorer = ComposedScorer(knowledge(), ScoreWeights(sold_within_days=2, trends=(SHORT,)))
    live = state()
    passing = np.arange(PRODUCTS) > 2
    moment = scorer.shared_scores(live, NOW_MS)
    assert np.flatnonzero(scorer.allowed(NOTHING, moment, passing)).tolist() == [3, 4, 5, 6, 7]
    live.apply(Purchase(None, 6, 1, NOW_MS + DAY_MS))
    assert np.flatnonzero(scorer.shared_scores(live, NOW_MS + 2 * DAY_MS).on_sale).tolist() == [6]
    assert np.flatnonzero(moment.on_sale).tolist() == list(range(PRODUCTS))


def test_products_without_factors_take_part_by_everything_else() -> None:
    parts, live = board()
    untrained = TrainedParts(
        parts.item_factors[:6], FoldIn(parts.item_factors[:6], 40.0, 0.01), parts.popularity, parts.categories
    )
    scorer = ComposedScorer(untrained, EVERYTHING)
    assert answer(scorer, live, "u6", 1)[0] == [6]
    explanation = explained(scorer, live.history("u6"), live, np.array([6, 7]))
    assert explanation.factors.tolist() == [0.0, 0.0]
    assert (explanation.neighbours[0], explanation.categories[0]) > (0, 0)


@pytest.mark.parametrize(
    ("senseless", "key"),
    [
        ({"trends": ()}, "trends"),
        ({"trends": (DecayTerm(0.0, 1.0),)}, "trends"),
        ({"recency": (DecayTerm(1.0, -1.0),)}, "recency"),
        ({"baseline_trends": (DecayTerm(-1.0, 1.0),)}, "steady"),
        ({"factor_decay": (DecayTerm(1.0, -1.0),)}, "fade"),
        ({"shrink": 0.0}, "shrink"),
        ({"balance": 1.5}, "balance"),
        ({"purchases": 0}, "purchases"),
        ({"sold_within_days": 0}, "sold_within_days"),
        ({"personal_days": 0}, "personal_days"),
        ({"offline_weights": ScoreWeights(offline_weights=ScoreWeights())}, "still"),
    ],
)
def test_senseless_weights_are_refused_by_their_key_in_the_manifest(senseless: dict[str, object], key: str) -> None:
    with pytest.raises(ValueError, match=key):
        ScoreWeights(**senseless)  # type: ignore[arg-type]


def test_the_keys_of_the_manifest_are_those_of_the_format() -> None:
    keys = set(msgspec.to_builtins(ScoreWeights(offline_weights=ScoreWeights())))
    assert {"fade", "steady", "still"} <= keys
    assert "personal_days" not in keys, "older recommenders do not know it: it is there only where it is set"
    assert msgspec.to_builtins(ScoreWeights(personal_days=30))["personal_days"] == 30
    assert not {"factor_decay", "baseline_trends", "offline_weights"} & keys
