"""The present of a shop: no single event moves it, and it does not depend on the order of events."""

from hypothesis import given
from hypothesis import strategies as st

from recsys.event_clock import EventClock
from services.common.event_clock import MAX_AHEAD_MS, NEVER_MS, QUORUM, NewestEvents, newest, watermark_of

NOW_MS = 1_600_000_000_000
YEAR_MS = 365 * 24 * 3_600_000
TIMES = st.lists(st.integers(NOW_MS - 3 * MAX_AHEAD_MS, NOW_MS + 3 * MAX_AHEAD_MS), max_size=60)


def test_before_the_first_event_there_is_no_present() -> None:
    assert watermark_of([]) == NEVER_MS
    assert NewestEvents().watermark_ms is None


def test_up_to_nineteen_events_of_another_year_move_nothing() -> None:
    shop = [NOW_MS - number for number in range(30)]
    for odd in range(QUORUM):
        assert watermark_of([*shop, *[NOW_MS + YEAR_MS] * odd]) == NOW_MS
    assert watermark_of([*shop, *[NOW_MS + YEAR_MS] * QUORUM]) == NOW_MS + YEAR_MS


@given(TIMES)
def test_it_is_the_recommenders_clock(times: list[int]) -> None:
    clock = EventClock()
    clock.begin(NOW_MS)
    for at_ms in times:
        clock.observe(at_ms)
        clock.defer(at_ms, 0, 1.0)
        list(clock.due())
    assert watermark_of([NOW_MS] * QUORUM + times) == clock.watermark_ms


@given(TIMES, st.integers(1, 30))
def test_the_newest_are_enough_in_whatever_batches_they_come(times: list[int], size: int) -> None:
    known = NewestEvents()
    for start in range(0, len(times), size):
        batch = times[start : start + size]
        known.observe(at_ms for at_ms in batch if at_ms > known.oldest_ms)
    assert known.watermark_ms == (watermark_of(times) if len(times) >= QUORUM else None)
    assert watermark_of(newest(times)) == watermark_of(times)


@given(TIMES, TIMES)
def test_more_events_never_set_it_back(times: list[int], more: list[int]) -> None:
    """So a floor that was computed from fewer events is never too high."""
    if len(times) >= QUORUM:
        assert watermark_of(times) <= watermark_of([*times, *more])
