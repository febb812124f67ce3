"""What is known at a moment, counted by hand, and that nothing later leaks into it."""

import numpy as np
import pytest

from recsys.decayed_counts import DAY_MS, HOUR_MS
from recsys.evaluation.pair_counts import Groups, most_in_common
from recsys.evaluation.purchase_log import Order, PurchaseLog
from recsys.evaluation.training_view import (
    TrainingView,
    categories_of,
    co_purchases_of,
    net_purchases_before,
    view_at,
)
from tests.support.purchase_log import START_MS, LogLine, log_of, two_worlds

LINES: list[LogLine] = [
    (0, "a", "ann", 5),
    (0, "a", "ann", 2),
    (1, "b", "bob", 5),
    (2, "c", None, 4),
    (3, "d", "bob", 2),
    (3, "d", "bob", 1),
    (4, "e", "cid", 1),
    (5, "f", "ann", 5),
    (6, "g", "cid", 0),
]


def ids(known: TrainingView, rows: list[int]) -> list[str]:
    return [known.log.products[row] for row in rows]


def test_orders_are_neighbouring_lines() -> None:
    log = log_of(LINES, 6)
    assert list(log.each_order(0, 4)) == [Order(0, 2), Order(2, 3), Order(3, 4)]
    assert list(log.each_order(4, 4)) == []
    assert log.at(START_MS + 3 * DAY_MS) == 4


def test_products_with_factors_come_first_in_the_order_of_their_ids() -> None:
    known = view_at(log_of(LINES, 6), START_MS + 5 * DAY_MS)
    assert (known.scored, list(known.log.products)) == (3, ["p001", "p002", "p005", "p000", "p003", "p004"])
    assert ids(known, known.log.rows.tolist()) == [f"p{row:03d}" for _, _, _, row in LINES]


def test_histories_are_net_and_of_the_time_before() -> None:
    known = view_at(log_of(LINES, 6, quantity=[1, 1, 2, 1, 1, 1, 1, 3, 1]), START_MS + round(5.5 * DAY_MS))
    ann, bob = known.past.of("ann"), known.past.of("bob")
    assert ids(known, ann.rows.tolist()) == ["p002", "p005"]
    assert ann.quantity.tolist() == [1, 4]
    assert (ann.event_time_ms - START_MS).tolist() == [0, 5 * DAY_MS]
    assert ids(known, bob.rows.tolist()) == ["p001", "p002", "p005"]
    assert len(known.past.of("dan")) == 0


def test_what_was_returned_is_not_held() -> None:
    lines: list[LogLine] = [(0, "a", "ann", 0), (1, "b", "ann", 0), (2, "c", "ann", 1)]
    held = net_purchases_before(log_of(lines, 2, quantity=[2, -2, 1]), 3)
    assert (held.rows.tolist(), held.quantity.tolist()) == ([1], [1])


def test_co_purchases_are_customers_in_common() -> None:
    log = log_of(LINES, 6)
    pairs = co_purchases_of(net_purchases_before(log, len(log)), 6)
    together = {
        (product, row): count
        for product in range(6)
        for row, count in zip(*map(np.ndarray.tolist, pairs.of(product)), strict=True)
    }
    one_way = {(2, 5): 2, (1, 2): 1, (1, 5): 1, (0, 1): 1}
    assert together == one_way | {(second, first): count for (first, second), count in one_way.items()}
    assert pairs.buyers.tolist() == [1, 2, 2, 0, 0, 2]


def test_only_the_newest_products_and_the_commonest_neighbours_are_kept() -> None:
    log = log_of([*LINES, (7, "h", "bob", 3)], 6)
    held = net_purchases_before(log, len(log))
    assert co_purchases_of(held, 6, newest=1).rows.tolist() == []
    assert co_purchases_of(held, 6, kept=1).of(5)[0].tolist() == [2]


def test_ties_of_categories_are_shares_of_buyers() -> None:
    # ann: two of category 0; bob: two of 0 and one of 1; cid: one of 1 and one of none.
    log = log_of(LINES, 6, category=[-1, 1, 0, 1, 1, 0])
    categories = categories_of(log, net_purchases_before(log, len(log)), shrink=1.0)
    assert categories.affinity == pytest.approx(np.array([[2 / 3, 1 / 3], [1 / 3, 0]]))


def test_only_the_most_bought_categories_have_ties_and_the_others_are_unknown() -> None:
    # Buyers: two of category 0, two of 1, one of 2; category 3 nobody holds.
    log = log_of([*LINES, (7, "h", "dan", 3)], 6, category=[-1, 1, 0, 2, 3, 0])
    held = net_purchases_before(log, len(log))
    categories = categories_of(log, held, shrink=1.0, most=2)
    assert categories.of.tolist() == [-1, 1, 0, -1, -1, 0]
    assert categories.affinity == pytest.approx(np.array([[2 / 3, 1 / 3], [1 / 3, 0]]))
    swapped = log_of([*LINES, (7, "h", "dan", 3)], 6, category=[-1, 1, 2, 0, 3, 2])
    assert categories_of(swapped, held, most=1).of.tolist() == [-1, 0, -1, -1, -1, -1], "of equals the first"


@pytest.mark.parametrize("at_once", [1, 40, 300, 100_000])
def test_pairs_are_counted_whatever_the_size_of_a_batch(at_once: int) -> None:
    rng, most, kept, products = np.random.default_rng(1), 4, 3, 9
    held = [rng.permutation(products)[: rng.integers(0, 7)].tolist() for _ in range(60)]
    owners = np.repeat(np.arange(60), [len(rows) for rows in held])
    together = np.zeros((products, products), int)
    for rows in held:
        together[np.ix_(rows[:most], rows[:most])] += 1
    np.fill_diagonal(together, 0)
    pairs = most_in_common(Groups(owners, np.concatenate(held).astype(np.int64)), products, most, kept, at_once)
    for product, counts in enumerate(together):
        expected = np.argsort(-counts, kind="stable")[: min(kept, np.count_nonzero(counts))]
        rows, found = pairs.of(product)
        assert (rows.tolist(), found.tolist()) == (expected.tolist(), counts[expected].tolist())
    assert pairs.buyers.sum() == sum(map(len, held))


def test_no_group_has_no_pair() -> None:
    none = np.empty(0, np.int64)
    pairs = most_in_common(Groups(none, none), 3, 4, 5)
    assert (pairs.starts.tolist(), pairs.rows.tolist(), pairs.buyers.tolist()) == ([0] * 4, [], [0] * 3)


def test_popularity_counts_the_days_before() -> None:
    known = view_at(log_of(LINES, 6), START_MS + 5 * DAY_MS)
    assert dict(zip(known.log.products, known.popularity(2).tolist(), strict=True))["p001"] == 2
    assert known.popularity(2).sum() == 3
    assert known.popularity(None).sum() == 7


def test_the_state_starts_with_the_sales_before() -> None:
    known = view_at(log_of(LINES, 6), START_MS + 5 * DAY_MS)
    live = known.live_state((24.0 * HOUR_MS,))
    assert live.trend(24.0 * HOUR_MS, START_MS + 4 * DAY_MS)[known.log.products.index("p005")] == pytest.approx(
        2**-4 + 2**-3
    )
    assert ids(known, np.flatnonzero(live.on_sale(START_MS + 5 * DAY_MS, 2)).tolist()) == ["p001", "p002"]


def test_nothing_later_is_known() -> None:
    log, moment = two_worlds(60, seed=1), START_MS + 20 * DAY_MS
    end = log.at(moment)
    until = PurchaseLog(
        log.at_ms[:end],
        log.orders[:end],
        log.customers[:end],
        log.rows[:end],
        log.quantity[:end],
        log.users,
        log.products,
        log.category,
    )
    whole, cut = view_at(log, moment), view_at(until, moment)
    assert list(whole.log.products) == list(cut.log.products)
    for ours, theirs in (
        (whole.past.rows, cut.past.rows),
        (whole.past.event_time_ms, cut.past.event_time_ms),
        (whole.co_purchases.counts, cut.co_purchases.counts),
        (whole.categories.affinity, cut.categories.affinity),
        (whole.popularity(), cut.popularity()),
        (whole.live_state((HOUR_MS,)).trend(HOUR_MS, moment), cut.live_state((HOUR_MS,)).trend(HOUR_MS, moment)),
    ):
        assert np.array_equal(ours, theirs)
