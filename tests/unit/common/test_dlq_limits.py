"""The alarm on too many invalid records: when it begins, when it ends, and what it reports."""

import logging
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.dlq_limits import (
    AlarmTransition,
    InvalidRateAlarm,
    InvalidRateMonitor,
    SourceState,
    TooManyInvalidRecords,
)
from services.common.settings import DeadLetterLimits
from services.common.telemetry import Health
from tests.support.metrics import gauge

RUN, RATIO, WINDOW = 5, 0.4, 20


def new_monitor() -> InvalidRateMonitor:
    return InvalidRateMonitor(RUN, RATIO, WINDOW)


def fed(records: str, sizes: Iterable[int] = ()) -> list[tuple[int, AlarmTransition]]:
    """Each turn, with the records before it: `x` is invalid; portions of these sizes come first, then one by one."""
    monitor, turns, start = new_monitor(), [], 0
    for size in [*sizes, *[1] * len(records)]:
        portion = records[start : start + size]
        invalid = [start + at for at, record in enumerate(portion) if record == "x"]
        if portion and (turn := monitor.observe("s", start, start + len(portion), invalid)):
            turns.append((start + len(portion), turn))
        start += len(portion)
    return turns


def test_a_run_begins_the_alarm_and_accepted_records_end_it() -> None:
    turns = fed("." * 30 + "x" * 5 + "." * 20)
    assert turns == [
        (35, AlarmTransition(True, False, "5 consecutive records are invalid")),
        (51, AlarmTransition(False, True, "")),  # the first of the five is no longer among the newest 20
    ]


def test_a_run_may_span_portions_and_a_gap_ends_it() -> None:
    assert [at for at, _ in fed("xxxx.xxxx")] == [9]  # by the share: 8 of the newest 20
    assert fed("." * 20 + "xxxx" + "." * 20 + "xxxx", [22, 20]) == []
    assert [at for at, _ in fed("." * 20 + "xxxxx", [23, 2])] == [25]


def test_a_share_begins_the_alarm_and_half_of_it_ends_it() -> None:
    turns = fed("." * 20 + "x." * 8 + "." * 20)
    assert [(at, turn.begun, turn.ended) for at, turn in turns] == [(35, True, False), (47, False, True)]
    assert turns[0][1].limit == "8 of the newest 20 records are invalid"


def test_a_long_run_of_invalid_records_keeps_the_alarm_on_whatever_the_share() -> None:
    """With a limit on consecutive records alone, every record of the window may be invalid."""
    monitor = InvalidRateMonitor(max_consecutive=2, max_ratio=1.0, window=20)
    assert monitor.observe("s", 0, 20, []) is None
    assert monitor.observe("s", 20, 22, [20, 21]) == AlarmTransition(True, False, "2 consecutive records are invalid")
    assert monitor.observe("s", 22, 23, [22]) is None, "three of twenty, and none accepted yet"
    assert monitor.observe("s", 23, 24, []) == AlarmTransition(False, True, "")


def test_few_records_are_no_share() -> None:
    assert fed("x.x.x") == []


def test_an_alarm_may_begin_and_end_within_one_portion() -> None:
    assert fed("." * 20 + "x" * 6 + "." * 20, [46]) == [
        (46, AlarmTransition(True, True, "5 consecutive records are invalid"))
    ]


def test_records_that_come_again_count_once() -> None:
    monitor = new_monitor()
    for _ in range(9):
        assert monitor.observe("s", 0, 4, [0, 1, 2, 3]) is None
    assert monitor.state("s") == SourceState(4, 0.2, False)
    assert monitor.observe("s", 2, 5, [2, 3, 4]) is not None


def test_an_earlier_portion_that_comes_again_ends_no_run() -> None:
    monitor = new_monitor()
    assert monitor.observe("s", 0, 10, [6, 7, 8, 9]) is None
    assert monitor.observe("s", 0, 5, []) is None
    assert monitor.observe("s", 10, 11, [10]) == AlarmTransition(True, False, "5 consecutive records are invalid")


def test_sources_are_watched_apart() -> None:
    monitor = new_monitor()
    for at in range(4):
        assert monitor.observe("a", at, at + 1, [at]) is None
        assert monitor.observe("b", at, at + 1, [at]) is None


@given(st.text("x.", max_size=200), st.lists(st.integers(1, 30)))
def test_portions_do_not_matter_for_where_it_stands(records: str, sizes: list[int]) -> None:
    one_by_one, together, start = new_monitor(), new_monitor(), 0
    for size in [*sizes, len(records)]:
        portion = range(start, min(start + size, len(records)))
        if portion:
            invalid = [at for at in portion if records[at] == "x"]
            together.observe("s", portion.start, portion.stop, invalid)
            start = portion.stop
    for at, record in enumerate(records):
        one_by_one.observe("s", at, at + 1, [at] if record == "x" else [])
    plain_run = len(records) - len(records.rstrip("x"))
    assert together.state("s")[:2] == one_by_one.state("s")[:2]
    assert together.state("s")[:2] == (plain_run, records[-WINDOW:].count("x") / WINDOW)


LIMITS = {"dead_letters_max_consecutive": RUN, "dead_letters_max_ratio": RATIO, "dead_letters_window": WINDOW}


def metric(name: str, source: str) -> float | None:
    return gauge(f"dead_letters_{name}", source=source)


def test_the_alarm_is_told_once_at_begin_and_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    health = Health("test")
    alarm = InvalidRateAlarm(DeadLetterLimits.model_validate(LIMITS), health)
    assert health.describe()["figures"] == {"dead_letters_alarm": None}
    for start in range(0, 30, 3):
        alarm.observe("kz.csv", start, start + 3, [start, start + 1, start + 2], "bad_time")
    assert (metric("alarm", "kz.csv"), metric("run", "kz.csv"), metric("ratio", "kz.csv")) == (1, 30, 1)
    said = "kz.csv: 5 consecutive records are invalid (bad_time)"
    assert health.describe()["figures"] == {"dead_letters_alarm": said}
    alarm.observe("kz.csv", 30, 60, [])
    assert (metric("alarm", "kz.csv"), metric("run", "kz.csv"), metric("ratio", "kz.csv")) == (0, 0, 0)
    assert health.describe()["figures"] == {"dead_letters_alarm": None}
    assert [record.message for record in caplog.records] == [
        f"dead letters: alarm: {said}",
        "dead letters: alarm over: kz.csv",
    ]
    alarm.forget()
    assert metric("alarm", "kz.csv") is None
    alarm.observe("kz.csv", 0, 5, [*range(5)], "bad_time")
    assert metric("alarm", "kz.csv") == 1, "what was watched before is forgotten: these rows are new"


def test_it_stops_where_that_is_asked_for() -> None:
    alarm = InvalidRateAlarm(DeadLetterLimits.model_validate({**LIMITS, "dead_letters_halt": True}), Health("test"))
    alarm.observe("purchases/0", 0, 4, [0, 1, 2, 3], "not_json")
    with pytest.raises(TooManyInvalidRecords, match="TILLSTREAM_DEAD_LETTERS_HALT") as stopped:
        alarm.observe("purchases/0", 4, 5, [4], "not_json")
    assert "\n" not in str(stopped.value)
