"""Rates, played against a clock of the test's own."""

from collections.abc import Sequence

import pytest

from services.common.events import Reason
from services.producer.pace import MaxPace, Pace, ReplayPace, SteadyPace, parse_rate
from services.producer.rows import Record, RejectedRow


def rows(*event_seconds: float | None) -> list[Record | RejectedRow]:
    """Rows by event time; None is a dead letter."""
    return [
        RejectedRow("kz.csv", b"", [], Reason.BAD_ROW) if s is None else Record(0, b"", b"", int(s * 1000))
        for s in event_seconds
    ]


def play(pace: Pace, waiting: Sequence[Record | RejectedRow], now_s: float = 100.0) -> list[float]:
    """When each row goes, in seconds after the start, if every wait is kept."""
    start_s = now_s
    times: list[float] = []
    while waiting:
        count, wait_s = pace.due(waiting, now_s)
        assert count or wait_s > 0
        times += [now_s - start_s] * count
        waiting = waiting[count:]
        now_s += 0.0 if count else wait_s
    return times


def test_max_sends_everything_at_once() -> None:
    assert play(MaxPace(), rows(1, 2, 3)) == [0, 0, 0]


def test_steady_spreads_evenly() -> None:
    assert play(SteadyPace(2), rows(*range(4))) == pytest.approx([0, 0.5, 1.0, 1.5])


def test_steady_holds_a_high_rate_in_small_groups() -> None:
    times = play(SteadyPace(5000), rows(*[0.0] * 20_000))
    assert times[-1] == pytest.approx(4.0, abs=0.03)
    assert max(times.count(time) for time in set(times)) <= 60


def test_steady_does_not_rush_after_a_pause() -> None:
    pace = SteadyPace(10)
    assert pace.due(rows(1), 100.0) == (1, 0.0)
    assert pace.due(rows(*range(1000)), 160.0)[0] == 1
    assert pace.due(rows(*range(1000)), 160.5)[0] == 5


def test_replay_follows_event_time() -> None:
    assert play(ReplayPace(10), rows(0, 5, 5, 15)) == pytest.approx([0, 0.5, 0.5, 1.5])


def test_replay_sends_late_rows_with_their_predecessor() -> None:
    assert play(ReplayPace(1), rows(1000, 1001, 3, None, 500, 1002)) == pytest.approx([0, 1, 1, 1, 1, 2])


def test_replay_never_stalls_on_a_hole() -> None:
    half_a_year = 180 * 86_400
    assert play(ReplayPace(2), rows(0, half_a_year, half_a_year + 1)) == pytest.approx([0, 2.0, 2.5])


def test_replay_keeps_its_speed_when_waits_last_longer_than_asked() -> None:
    pace = ReplayPace(1)
    assert pace.due(rows(0, 1), 100.0)[0] == 1
    assert pace.due(rows(1, 2), 100.0)[0] == 0
    assert pace.due(rows(1, 2), 101.3)[0] == 1
    count, wait_s = pace.due(rows(2), 101.3)
    assert (count, round(wait_s, 6)) == (0, 0.7)


def test_replay_that_begins_with_dead_letters() -> None:
    assert play(ReplayPace(1), rows(None, None, 7, 8)) == pytest.approx([0, 0, 0, 1])


@pytest.mark.parametrize(
    ("text", "kind"), [("max", MaxPace), ("50", SteadyPace), ("0.5", SteadyPace), ("x3600", ReplayPace)]
)
def test_rates_are_read(text: str, kind: type) -> None:
    assert isinstance(parse_rate(text), kind)


@pytest.mark.parametrize("text", ["", "0", "-1", "x", "x0", "nan", "inf", "fast", "3600x"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a rate"):
        parse_rate(text)
