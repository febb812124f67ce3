"""What time it is in the shop, by its events."""

import random

from hypothesis import given
from hypothesis import strategies as st

from recsys.co_purchases import no_co_purchases
from recsys.decayed_counts import DAY_MS, HOUR_MS
from recsys.event_clock import EventClock
from recsys.live_state import LiveState, Purchase
from recsys.purchase_history import NO_PAST
from services.common.event_clock import QUORUM, watermark_of

NOW_MS = 1_600_000_000_000
YEAR_MS = 365 * DAY_MS


def test_the_newest_event_is_now() -> None:
    clock = EventClock()
    clock.observe(NOW_MS)
    clock.observe(NOW_MS - DAY_MS)
    clock.observe(NOW_MS + 5 * DAY_MS)
    assert clock.watermark_ms == NOW_MS + 5 * DAY_MS


def test_a_few_events_of_the_far_future_are_no_news_until_there_are_twenty() -> None:
    clock = EventClock()
    clock.begin(NOW_MS)
    clock.observe(NOW_MS + HOUR_MS)
    for number in range(19):
        clock.observe(NOW_MS + YEAR_MS + number)
        assert clock.watermark_ms == NOW_MS + HOUR_MS
    assert clock.defer(NOW_MS + YEAR_MS, 0, 1.0)
    assert clock.observe(NOW_MS + YEAR_MS)
    assert list(clock.due()) == [(NOW_MS + YEAR_MS, 0, 1.0)]
    assert clock.watermark_ms == NOW_MS + YEAR_MS


def test_among_the_first_twenty_one_of_the_far_future_is_found_out() -> None:
    clock = EventClock()
    for number in range(20):
        clock.observe(NOW_MS + YEAR_MS if number == 3 else NOW_MS + number)
    assert clock.watermark_ms == NOW_MS + 19


@given(st.permutations(range(60)), st.integers(0, 25))
def test_popularity_does_not_depend_on_when_the_far_future_came(order: list[int], ahead: int) -> None:
    """Of 60 sales some are of next year; whatever came first, the others count as if these had never been."""
    times = [NOW_MS + (YEAR_MS if number < ahead else 0) + number * HOUR_MS // 10 for number in range(60)]
    state, plain = fresh(), fresh()
    for number in order:
        state.apply(Purchase("ann" if number % 2 else None, number % 5, 1, times[number]))
    for number in range(60):
        if ahead >= 20 or number >= ahead:
            plain.apply(Purchase(None, number % 5, 1, times[number]))
    now_ms = state.watermark_ms
    assert now_ms == plain.watermark_ms
    assert abs(state.trend(6 * HOUR_MS, now_ms) - plain.trend(6 * HOUR_MS, now_ms)).max() < 1e-9


@given(st.lists(st.integers(0, 1000), min_size=15, max_size=40), st.randoms())
def test_training_ends_where_the_live_state_would_be(hours: list[int], order: random.Random) -> None:
    times = [NOW_MS + hour * HOUR_MS for hour in hours]
    latest = sorted([NOW_MS] * QUORUM + times)[-QUORUM:]  # as for a state that begins at a cut-off
    order.shuffle(times)
    state = fresh()
    for at_ms in times:
        state.apply(Purchase(None, 0, 1, at_ms))
    assert watermark_of(latest) == state.watermark_ms


def test_a_line_of_today_does_not_end_a_training_on_data_of_another_year() -> None:
    times = [NOW_MS - number * HOUR_MS for number in range(QUORUM)]
    assert watermark_of([NOW_MS + 5 * YEAR_MS, *times][:QUORUM]) == NOW_MS


def test_a_sale_of_the_far_future_is_brought_back() -> None:
    state = fresh()
    state.apply(Purchase("ann", 0, 1, NOW_MS + YEAR_MS))
    state.apply(Purchase("ann", 0, -1, NOW_MS))
    for number in range(20):
        state.apply(Purchase(None, 1, 1, NOW_MS + YEAR_MS + number))
    assert state.trend(HOUR_MS * 6, state.watermark_ms)[0] == 0


def fresh() -> LiveState:
    state = LiveState(NO_PAST, no_co_purchases(5), [6 * HOUR_MS])
    state.initialise({}, NOW_MS, state._sold_ms)
    return state
