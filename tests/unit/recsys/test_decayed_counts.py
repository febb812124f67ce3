"""DecayTerm counts, computed by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.decayed_counts import HOUR_MS, DecayedCounts

START_MS = 1_600_000_000_000
HOUR = HOUR_MS


def test_each_half_life_halves_an_event() -> None:
    counts = DecayedCounts(2, HOUR)
    counts.add(0, START_MS)
    counts.add(1, START_MS + HOUR)
    assert counts.at(START_MS + HOUR) == pytest.approx([0.5, 1.0], rel=1e-12)
    assert counts.at(START_MS + 3 * HOUR) == pytest.approx([0.125, 0.25], rel=1e-12)


def test_an_event_that_comes_late_weighs_what_it_would_have_weighed() -> None:
    counts = DecayedCounts(1, HOUR)
    counts.add(0, START_MS + 2 * HOUR)
    counts.add(0, START_MS)
    assert counts.at(START_MS + 2 * HOUR) == pytest.approx([1.25], rel=1e-12)


def test_what_is_taken_back_leaves_nothing() -> None:
    counts = DecayedCounts(1, HOUR)
    counts.add(0, START_MS)
    counts.add(0, START_MS + HOUR)
    counts.add(0, START_MS, -1.0)
    assert counts.at(START_MS + HOUR) == pytest.approx([1.0], rel=1e-12)
    counts.add(0, START_MS + HOUR, -1.0)
    assert counts.at(START_MS + HOUR) == pytest.approx([0.0], abs=1e-12)


def test_years_of_a_short_half_life_neither_overflow_nor_lose_what_is_new() -> None:
    counts = DecayedCounts(2, HOUR)
    for year in range(5):
        counts.add(0, START_MS + year * 365 * 24 * HOUR)
    now = START_MS + 4 * 365 * 24 * HOUR
    counts.add(1, now)
    assert counts.at(now) == pytest.approx([1.0, 1.0], rel=1e-12)


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5000 * HOUR)), min_size=1, max_size=40),
    st.sampled_from([HOUR, 6 * HOUR, 168 * HOUR]),
)
def test_one_by_one_all_at_once_and_by_definition_are_the_same(events: list[tuple[int, int]], half_life: int) -> None:
    now = START_MS + 5000 * HOUR
    singly, together = DecayedCounts(4, half_life), DecayedCounts(4, half_life)
    for row, after in events:
        singly.add(row, START_MS + after)
    rows, times = zip(*events, strict=True)
    together.add_each(np.array(rows), START_MS + np.array(times))
    by_hand = [sum(2.0 ** ((START_MS + at - now) / half_life) for row, at in events if row == r) for r in range(4)]
    assert singly.at(now) == pytest.approx(by_hand, rel=1e-9)
    assert together.at(now) == pytest.approx(by_hand, rel=1e-9)
