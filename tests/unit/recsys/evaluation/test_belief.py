"""What is known of a gain, added up."""

import numpy as np
import pytest

from recsys.decayed_counts import DAY_MS
from recsys.evaluation.belief import ACROSS_SHOPS, ENOUGH, Belief, gain
from recsys.topk import Float64s, Int64s

DAYS = 20


def windows(
    days: int, per_day: int, one: float, other: float, both: float = 0.0, seed: int = 1
) -> tuple[Float64s, Float64s, Int64s]:
    """Values of two methods: a share `both` of the questions is a hit of both, the others by chance."""
    random = np.random.default_rng(seed)
    same = random.random(days * per_day) < both
    values = [np.where(same | (random.random(len(same)) < chance), 2.0, 0.0) for chance in (one, other)]
    return values[0], values[1], np.repeat(np.arange(days) * DAY_MS, per_day)


def test_evidence_adds_up_by_precision() -> None:
    found = Belief(0.1, 0.2).and_also(Belief(0.3, 0.1))
    assert found.mean == pytest.approx((0.1 * 25 + 0.3 * 100) / 125)
    assert found.deviation == pytest.approx(125**-0.5)
    assert found.and_also(None) == found


def test_the_chance_is_that_of_a_gain_above_zero() -> None:
    assert Belief(0.0, 0.3).chance == pytest.approx(0.5)
    assert Belief(0.2, 0.1).chance == pytest.approx(0.97725, abs=1e-5)


def test_other_shops_alone_are_not_enough() -> None:
    assert 0.5 < ACROSS_SHOPS.chance < ENOUGH


def test_a_gain_that_one_small_window_cannot_show_is_believed_after_several() -> None:
    """Fifteen percent, of which 300 questions alone say little: the interval of the difference contains zero."""
    first = gain(*windows(10, 30, 0.06, 0.04, both=0.04, seed=5))
    several = gain(*windows(40, 30, 0.06, 0.04, both=0.04, seed=5))
    assert first is not None
    assert several is not None
    assert first.mean < 1.96 * first.deviation
    assert ACROSS_SHOPS.and_also(first).chance < ENOUGH < ACROSS_SHOPS.and_also(several).chance


def test_where_nothing_is_gained_much_evidence_overrules_other_shops() -> None:
    found = gain(*windows(DAYS, 200, 0.1, 0.1, seed=5))
    assert found is not None
    assert abs(found.mean) < 2 * found.deviation
    assert ACROSS_SHOPS.and_also(Belief(-0.05, 0.05)).chance < 0.3


def test_a_single_hit_says_next_to_nothing() -> None:
    one = np.zeros(100)
    one[7] = 2.0
    found = gain(one, np.zeros(100), np.repeat(np.arange(10) * DAY_MS, 10))
    assert found is not None
    assert found.deviation > 1
    assert ACROSS_SHOPS.and_also(found).chance < ENOUGH


def test_without_a_hit_there_is_nothing_to_see() -> None:
    assert gain(np.zeros(10), np.zeros(10), np.arange(10) * DAY_MS) is None
    assert gain(np.empty(0), np.empty(0), np.empty(0, np.int64)) is None


def test_days_are_drawn_not_questions() -> None:
    one, other, at_ms = windows(DAYS, 50, 0.1, 0.1, seed=5)
    one[:50] = 2.0
    lucky = gain(one, other, at_ms)
    spread = gain(one, other, np.arange(len(one)) * DAY_MS)
    assert lucky is not None
    assert spread is not None
    assert lucky.deviation > 1.5 * spread.deviation
