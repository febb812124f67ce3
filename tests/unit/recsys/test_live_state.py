"""What follows the stream: histories, co-purchases and popularity after known purchases and returns."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.co_purchases import CoPurchases, Neighbours, no_co_purchases
from recsys.decayed_counts import DAY_MS, HOUR_MS
from recsys.live_state import NEVER_MS, Bounds, LiveState, Purchase
from recsys.purchase_history import NO_PAST, Histories, PastPurchases
from recsys.recent_orders import ORDER_PRODUCTS, RecentOrders

NOW_MS = 1_600_000_000_000
HALF_LIFE = HOUR_MS


WIDE = Bounds()


def empty(products: int = 5, bounds: Bounds = WIDE) -> LiveState:
    return LiveState(NO_PAST, no_co_purchases(products), [HALF_LIFE], bounds)


def with_past(bounds: Bounds | None = None) -> LiveState:
    """`ann` holds two of product 1 and one of 3, `bob` three of 3; of 1 and 3 one customer, `ann`, is common."""
    past = PastPurchases(
        users={"ann": 0, "bob": 1},
        starts=np.array([0, 2, 3]),
        rows=np.array([1, 3, 3], np.int32),
        quantity=np.array([2.0, 1.0, 3.0]),
        event_time_ms=NOW_MS - DAY_MS * np.array([2, 1, 3]),
    )
    pairs = CoPurchases(
        starts=np.array([0, 0, 1, 1, 2, 2]),
        rows=np.array([3, 1], np.int32),
        counts=np.array([1, 1], np.int32),
        buyers=np.array([0, 1, 0, 2, 0]),
    )
    return LiveState(past, pairs, [HALF_LIFE], bounds or Bounds())


def bought(
    state: LiveState, customer: str | None, *products: int, event_time_ms: int = NOW_MS, quantity: int = 1
) -> None:
    for product in products:
        state.apply(Purchase(customer, product, quantity, event_time_ms))


def held(state: LiveState, customer: str) -> dict[int, tuple[float, int]]:
    history = state.history(customer)
    return {
        row: (quantity, at)
        for row, quantity, at in zip(
            *map(np.ndarray.tolist, (history.rows, history.quantity, history.event_time_ms)), strict=True
        )
    }


def ties(state: LiveState, product: int, shrink: float = 1.0, balance: float = 0.0) -> dict[int, float]:
    rows, weights = state.neighbours.weights(product, shrink, balance)
    return {row: weight for row, weight in zip(rows.tolist(), weights.tolist(), strict=True) if weight}


def test_an_unknown_user_has_no_history() -> None:
    assert len(empty().history("nobody")) == 0


def test_past_and_stream_add_up_product_by_product() -> None:
    state = with_past()
    bought(state, "ann", 1, 0)
    assert held(state, "ann") == {0: (1, NOW_MS), 1: (3, NOW_MS), 3: (1, NOW_MS - DAY_MS)}
    assert held(state, "bob") == {3: (3, NOW_MS - 3 * DAY_MS)}


def test_a_return_undoes_what_was_bought_in_the_stream() -> None:
    state, untouched = with_past(), with_past()
    bought(state, "ann", 0, event_time_ms=NOW_MS - HOUR_MS)
    bought(state, "ann", 0, quantity=-1)
    assert held(state, "ann") == held(untouched, "ann")
    assert state.trend(HALF_LIFE, NOW_MS) == pytest.approx(untouched.trend(HALF_LIFE, NOW_MS), abs=1e-12)
    for product in range(5):
        assert ties(state, product) == ties(untouched, product)


def test_a_return_of_a_part_keeps_the_rest_and_takes_the_newest_first() -> None:
    state = empty()
    bought(state, "ann", 2, quantity=2, event_time_ms=NOW_MS - HOUR_MS)
    bought(state, "ann", 2, quantity=2)
    bought(state, "ann", 2, quantity=-3)
    assert held(state, "ann") == {2: (1, NOW_MS - HOUR_MS)}
    assert state.trend(HALF_LIFE, NOW_MS)[2] == pytest.approx(0.5), "one line is left, an hour old"


def test_a_return_of_what_the_model_knows_is_remembered() -> None:
    state = with_past()
    bought(state, "ann", 1, quantity=-1)
    assert held(state, "ann")[1] == (1, NOW_MS - 2 * DAY_MS)
    bought(state, "ann", 1, quantity=-1)
    assert list(held(state, "ann")) == [3]
    assert ties(state, 1) == {}, "nobody who holds 3 holds 1 any more"
    bought(state, "ann", 1)
    assert held(state, "ann")[1] == (1, NOW_MS)


def test_a_return_that_nobody_bought_and_a_line_of_no_piece_change_nothing() -> None:
    state = with_past()
    bought(state, "bob", 0, quantity=-5)
    bought(state, None, 0, quantity=-5)
    bought(state, "bob", 0, quantity=0)
    assert held(state, "bob") == {3: (3, NOW_MS - 3 * DAY_MS)}
    assert state.trend(HALF_LIFE, NOW_MS).tolist() == [0.0] * 5
    bought(state, "bob", 0)
    assert held(state, "bob")[0] == (1, NOW_MS), "a later purchase owes nothing"


def test_popularity_counts_anonymous_lines_too_and_fades() -> None:
    state = empty()
    state.warm_up(np.array([4, 4]), NOW_MS - HOUR_MS * np.array([1, 2]))
    bought(state, None, 2)
    bought(state, "ann", 2, quantity=7)
    assert state.trend(HALF_LIFE, NOW_MS).tolist() == pytest.approx([0, 0, 2, 0, 0.75])
    assert state.trend(HALF_LIFE, NOW_MS + HOUR_MS).tolist() == pytest.approx([0, 0, 1, 0, 0.375])


def test_on_sale_is_what_was_sold_within_the_days() -> None:
    state = empty()
    state.warm_up(np.array([0, 1]), NOW_MS - DAY_MS * np.array([30, 31]))
    bought(state, None, 2)
    assert state.on_sale(NOW_MS, 30).tolist() == [True, False, True, False, False]


def test_a_sale_that_comes_late_does_not_turn_back_the_clock() -> None:
    state = empty()
    bought(state, None, 2)
    bought(state, None, 2, event_time_ms=NOW_MS - 3 * DAY_MS)
    assert np.flatnonzero(state.on_sale(NOW_MS, 1)).tolist() == [2]


def test_co_purchases_are_customers_in_common() -> None:
    state = empty()
    for customer in ("ann", "bob"):
        bought(state, customer, 0, 1)
    bought(state, "cid", 0, 2)
    bought(state, "cid", 0)  # again: the same customer
    assert ties(state, 0) == pytest.approx({1: 2 / 4, 2: 1 / 4})  # three buyers of 0, and a shrinkage of 1
    assert ties(state, 1) == pytest.approx({0: 2 / 3})
    assert ties(state, 1, balance=1.0) == pytest.approx({0: 2 / 4})
    assert ties(state, 1, balance=0.5) == pytest.approx({0: 2 / 12**0.5})


def test_fresh_co_purchases_add_to_those_of_the_model() -> None:
    state = with_past()
    bought(state, "bob", 1)
    bought(state, "cid", 3, 4)
    assert ties(state, 3) == pytest.approx({1: 2 / 4, 4: 1 / 4})
    assert ties(state, 1) == pytest.approx({3: 2 / 3})


def test_many_products_have_the_ties_that_each_has_alone() -> None:
    state = with_past()
    bought(state, "bob", 1)
    bought(state, "cid", 3, 4)
    asked = np.array([3, 1, 2, 4])
    together = np.zeros((len(asked), 5))
    places, neighbours, strengths = state.neighbours.weights_each(asked, 1.0, 0.3)
    np.add.at(together, (places, neighbours), strengths)
    for row, product in zip(together, asked.tolist(), strict=True):
        alone = ties(state, product, balance=0.3)
        assert {int(other): row[other] for other in np.flatnonzero(row)} == pytest.approx(alone)
    assert [len(part) for part in state.neighbours.weights_each(asked[:0], 1.0, 0.3)] == [0, 0, 0]


def test_what_was_forgotten_is_not_taken_back_from_others() -> None:
    neighbours = Neighbours(no_co_purchases(4), fresh=1, total=100)
    for other in (1, 2, 3):
        neighbours.add(0, [other])
    assert neighbours.neighbour_counts(0)[0].tolist() == [3], "1 and 2 are forgotten"
    neighbours.remove(0, [1])
    assert neighbours.neighbour_counts(0)[0].tolist() == [3]
    neighbours.add(0, [1])
    assert dict(zip(*map(np.ndarray.tolist, neighbours.neighbour_counts(0)[:2]), strict=True)) == {3: 1.0, 1: 1.0}


def test_what_is_taken_back_from_the_model_is_bounded_too() -> None:
    everybody = np.array([row for product in range(6) for row in range(6) if row != product], np.int32)
    known = CoPurchases(np.arange(7) * 5, everybody, np.ones(30, np.int32), np.full(6, 5))
    neighbours = Neighbours(known, fresh=10, total=4)
    for product in range(5):
        neighbours.remove(product, [product + 1])
        assert neighbours.fresh <= 4


def test_memory_is_bounded() -> None:
    state = empty(products=300, bounds=Bounds(lines=10, customers=3, neighbours=5, pairs=4))
    for customer in ("ann", "bob", "cid", "dan"):
        bought(state, customer, *range(300))
    assert len(state.history("ann")) == 0, "who bought longest ago is forgotten"
    assert state.history("dan").rows.tolist() == list(range(290, 300))
    assert all(len(state.neighbours.weights(product, 1.0, 0.0)[0]) <= 10 for product in range(300))


def test_a_customer_of_many_purchases_keeps_the_newest_products() -> None:
    state = empty(products=100, bounds=Bounds(lines=1000))
    for number in range(100):
        bought(state, "ann", 99 - number, event_time_ms=NOW_MS + number)
    assert state.history("ann").newest(3).rows.tolist() == [0, 1, 2]


Lines = list[tuple[int, int, int]]  # product, quantity, milliseconds since the line before


def after_each(lines: Lines) -> Iterator[Histories]:
    """What `ann` holds, who held products 0 to 3 before, line by line."""
    past = PastPurchases(
        users={"ann": 0},
        starts=np.array([0, 4]),
        rows=np.arange(4, dtype=np.int32),
        quantity=np.array([1.0, 2.0, 1.0, 1.0]),
        event_time_ms=np.array([5, 2, 9, 2]),
    )
    histories, event_time_ms = Histories(past, lines=8, customers=10, total=100), 8
    for product, quantity, later in lines:
        event_time_ms = max(0, event_time_ms + later)
        if quantity > 0:
            histories.add("ann", product, quantity, event_time_ms)
        else:
            histories.apply_return("ann", product, -quantity, event_time_ms)
        yield histories


def lines_of(quantity: list[int], later_ms: list[int]) -> st.SearchStrategy[Lines]:
    line = st.tuples(st.integers(0, 9), st.sampled_from(quantity), st.sampled_from(later_ms))
    return st.lists(line, min_size=5, max_size=30)


@settings(deadline=None, max_examples=300)
@given(lines_of([1], [0, 0, 1]) | lines_of([1, 1, -1], [1, 2, -3]) | lines_of([1], [1, 1, 2, -3]))
def test_the_products_beside_a_new_one_are_those_bought_last(lines: Lines) -> None:
    for histories in after_each(lines):
        held = histories.of("ann")
        for product in range(11):
            candidates = histories.co_purchase_candidates("ann", product, 3)
            if product in held.rows:
                assert candidates is None
            else:
                assert candidates is not None
                assert sorted(candidates) == held.newest(3).rows.tolist()


@given(st.permutations(range(8)))
def test_lines_may_come_in_any_order(order: list[int]) -> None:
    histories = Histories(NO_PAST, lines=5, customers=10, total=100)
    for number in order:
        histories.add("ann", product=number % 6, quantity=1, event_time_ms=100 + number)
    held = histories.of("ann")
    assert dict(zip(held.rows.tolist(), held.event_time_ms.tolist(), strict=True)) == {
        0: 106,
        1: 107,
        3: 103,
        4: 104,
        5: 105,
    }
    assert histories.co_purchase_candidates("ann", 9, 3) == [0, 1, 5]


def test_a_late_return_to_the_past_is_remembered_among_many_newer_lines() -> None:
    state = with_past(Bounds(lines=3))
    bought(state, "ann", 0, 2, 4)
    bought(state, "ann", 1, quantity=-2, event_time_ms=NOW_MS - HOUR_MS)
    assert 1 not in state.history("ann").rows


def test_a_state_seeded_from_counts_equals_one_that_saw_the_sales() -> None:
    rows, event_time_ms = np.array([0, 0, 2]), NOW_MS - HOUR_MS * np.array([1, 3, 2])
    saw, seeded = empty(), empty()
    saw.warm_up(rows, event_time_ms)
    sold_ms = np.full(5, NEVER_MS)
    np.maximum.at(sold_ms, rows, event_time_ms)
    cut_off_ms = NOW_MS - HOUR_MS
    seeded.initialise({HALF_LIFE: saw.trend(HALF_LIFE, cut_off_ms)}, cut_off_ms, sold_ms)
    for state in (saw, seeded):
        bought(state, "ann", 4)
        assert state.watermark_ms == NOW_MS
    assert seeded.trend(HALF_LIFE, NOW_MS) == pytest.approx(saw.trend(HALF_LIFE, NOW_MS), rel=1e-12)
    assert seeded.trend(HALF_LIFE, NOW_MS) == pytest.approx([2**-1 + 2**-3, 0, 2**-2, 0, 1])
    assert seeded.on_sale(NOW_MS, 1).tolist() == saw.on_sale(NOW_MS, 1).tolist() == [True, False, True, False, True]


def test_every_change_of_a_history_has_a_number_of_its_own() -> None:
    state = with_past()
    seen = [state.changed("ann")]
    assert seen == [0]
    bought(state, "ann", 2, quantity=2)
    seen.append(state.changed("ann"))
    bought(state, "bob", 2)
    assert state.changed("ann") == seen[-1], "another customer's purchase"
    for quantity in (-1, -1):
        bought(state, "ann", 2, quantity=quantity)
        seen.append(state.changed("ann"))
    bought(state, "ann", 1, quantity=-1)  # owed by the past
    seen.append(state.changed("ann"))
    assert len(set(seen)) == len(seen)


def test_a_customer_who_is_forgotten_is_as_the_model_left_them() -> None:
    state = empty(bounds=Bounds(customers=1))
    bought(state, "ann", 1)
    bought(state, "bob", 1)
    assert (state.changed("ann"), len(state.history("ann"))) == (0, 0)


def ordered(state: LiveState, order: int, *products: int, quantity: int = 1) -> None:
    for product in products:
        state.apply(Purchase(None, product, quantity, NOW_MS, order))


def pairs_of(state: LiveState, product: int) -> tuple[dict[int, float], float]:
    """The orders that other products have in common with one, and its own."""
    rows, counts, own, _ = state.order_pairs.neighbour_counts(product)
    return dict(zip(rows.tolist(), counts.tolist(), strict=True)), own


def test_products_of_an_order_are_paired_whoever_buys_and_in_whatever_order_lines_come() -> None:
    state = empty()
    ordered(state, 7, 0, 1)
    ordered(state, 8, 1, 2)
    ordered(state, 7, 2, 1)  # lines of two orders may alternate; a product twice in one order is one
    state.apply(Purchase("ann", 3, 1, NOW_MS, 9))
    assert pairs_of(state, 1) == ({0: 1, 2: 2}, 2)
    assert pairs_of(state, 2) == ({0: 1, 1: 2}, 2)
    assert pairs_of(state, 3) == ({}, 1)
    assert state.order_pairs.together(1, 2) == state.order_pairs.together(2, 1) == 2
    assert state.sizes().order_pairs == 6


def test_a_return_leaves_what_was_bought_together() -> None:
    state = empty()
    ordered(state, 7, 0, 1)
    ordered(state, 7, 1, quantity=-1)
    assert pairs_of(state, 0) == ({1: 1}, 1)


def test_pairs_of_the_stream_add_to_those_of_the_model() -> None:
    past = CoPurchases(
        starts=np.array([0, 1, 1, 1, 1, 1]),
        rows=np.array([1], np.int32),
        counts=np.array([311], np.int32),
        buyers=np.array([400, 350, 0, 0, 0]),
    )
    state = LiveState(NO_PAST, no_co_purchases(5), [HALF_LIFE], order_pairs=past)
    ordered(state, 7, 0, 1)
    assert pairs_of(state, 0) == ({1: 312}, 401)
    assert state.order_pairs.together(1, 0) == 312, "1 does not keep the pair of the model, 0 does"


def test_a_large_order_is_paired_as_far_as_its_first_products() -> None:
    products = ORDER_PRODUCTS + 10
    state = empty(products)
    ordered(state, 7, *range(products))
    assert len(pairs_of(state, 0)[0]) == ORDER_PRODUCTS - 1
    assert pairs_of(state, products - 1) == ({}, 1)


def test_only_recent_orders_are_remembered() -> None:
    orders = RecentOrders(2)
    for order in range(4):
        assert orders.add(order, 0) == ()
    assert orders.add(2, 1) == (0,)
    assert orders.add(0, 1) == (0,), "between the newest two and four"
    assert orders.add(9, 0) == orders.add(10, 0) == ()
    assert orders.add(3, 1) == (), "forgotten"


def test_a_product_first_sold_this_morning_is_paired_by_noon() -> None:
    state = empty(products=6)
    for order in range(3):
        ordered(state, order, 0, 5)
    neighbours, weights = state.order_pairs.weights(0, shrink=1.0, balance=0.0)
    assert (neighbours.tolist(), weights.tolist()) == ([5], [pytest.approx(3 / 4)])


def test_a_forgotten_customer_is_unknown_and_all_others_stay() -> None:
    live = with_past()
    for customer, product in (("ann", 2), ("cid", 4), ("cid", 1)):
        live.apply(Purchase(customer, product, 1, NOW_MS))
    bought, sizes = live.history("bob"), live.sizes()
    assert set(live.customers()) == {"ann", "bob", "cid"}
    for customer in ("ann", "nobody"):
        live.forget(customer)
    assert len(live.history("ann")) == 0
    assert live.changed("ann") == 0
    assert live.history("bob").rows.tolist() == bought.rows.tolist()
    assert live.history("cid").rows.tolist() == [1, 4]
    assert (live.sizes().customers, live.sizes().lines) == (sizes.customers - 1, sizes.lines - 1)
    live.apply(Purchase("ann", 2, 1, NOW_MS))
    assert live.history("ann").rows.tolist() == [2]
