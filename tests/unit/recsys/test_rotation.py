"""Which products rest for a visit, and for how long."""

import numpy as np
import pytest

from recsys.decayed_counts import HOUR_MS
from recsys.rotation import Rotation, resting
from recsys.topk import Ranked

IDS = [f"p{number:02d}" for number in range(13)]
BEST = Ranked(np.arange(100, 113), np.arange(13.0)[::-1])
NOW_MS = 1_600_000_000_000


def rests(visit: int, k: int = 3, best: Ranked = BEST) -> set[int]:
    return set(resting(best, IDS[: len(best.rows)], k, visit).tolist())


def test_all_but_k_of_the_best_rest() -> None:
    assert all(len(rests(visit)) == 10 for visit in range(20))
    assert rests(1) <= set(range(100, 113))


def test_where_there_are_no_more_than_k_nothing_rests() -> None:
    assert rests(1, k=13) == rests(1, k=20) == set()


def test_a_product_s_chance_falls_with_its_place() -> None:
    visits = 2000
    shown = [sum(row not in rests(visit) for visit in range(visits)) / visits for row in BEST.rows.tolist()]
    assert 0.66 < shown[0] < 0.76
    assert shown[0] > shown[1] > shown[3] > shown[7] > shown[12] > 0.04


def test_a_product_keeps_its_draw_where_the_order_of_the_others_changes() -> None:
    """A sale during a visit moves products by a place or two: most of the answer stays."""
    moved = Ranked(BEST.rows[[1, 0, *range(2, 13)]], BEST.scores)
    ids = [IDS[1], IDS[0], *IDS[2:]]
    same = [len(rests(visit) & set(resting(moved, ids, 3, visit).tolist())) for visit in range(200)]
    assert np.mean(same) > 9.5


def test_a_visit_lasts_its_hours_and_begins_at_another_time_for_each_customer() -> None:
    rotation = Rotation(10, visit_hours=6)
    times = range(NOW_MS, NOW_MS + 12 * HOUR_MS, HOUR_MS // 4)
    begins: set[int] = set()
    for customer in ("ann", "bob", "cid"):
        visits = [rotation.visit(customer, at_ms) for at_ms in times]
        changes = [place for place in range(1, len(visits)) if visits[place] != visits[place - 1]]
        assert len(set(visits)) == 3, "of twelve hours, two whole visits or parts of three"
        assert np.diff(changes).tolist() == [24]
        begins.add(changes[0])
    assert len(begins) > 1


def test_customers_and_visits_draw_for_themselves() -> None:
    rotation = Rotation(10)
    day_ms = 24 * HOUR_MS
    visits = [rotation.visit(f"u{user}", NOW_MS + day * day_ms) for user in range(20) for day in range(20)]
    assert len({tuple(sorted(rests(visit))) for visit in visits}) > 50


@pytest.mark.parametrize(("customer", "expected"), [("ann", 148480494905013422), ("böb", 1580922060981879727)])
def test_the_seed_of_a_visit_is_the_same_on_every_machine(customer: str, expected: int) -> None:
    assert Rotation(10).visit(customer, NOW_MS) == expected
