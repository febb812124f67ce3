"""How far the figures are behind the log, in records and in seconds, from ends and applied offsets alone."""

import pytest

from services.gateway.stream.lag_tracker import LagTracker, PartitionLag
from tests.support.metrics import gauge


def test_what_is_applied_at_once_does_not_wait() -> None:
    lag = PartitionLag(100, now=0)
    for second in range(1, 60):
        lag.appended_to(100 + 10 * second, now=second)
        lag.applied_to(100 + 10 * second, now=second)
        assert (lag.records, lag.seconds(second), lag.stalled_seconds(second)) == (0, 0, 0)


def test_a_partition_without_records_never_lags() -> None:
    lag = PartitionLag(100, now=0)
    lag.appended_to(100, now=5)
    assert (lag.records, lag.seconds(900), lag.stalled_seconds(900)) == (0, 0, 0)


def test_a_stuck_aggregator_lags_and_stalls() -> None:
    lag = PartitionLag(100, now=0)
    for second in range(10, 20):
        lag.appended_to(100 + second, now=second)
    assert (lag.records, lag.seconds(70), lag.stalled_seconds(70)) == (19, 60, 60)


def test_a_slow_aggregator_lags_and_does_not_stall() -> None:
    lag = PartitionLag(0, now=0)
    for second in range(1, 101):
        lag.appended_to(10 * second, now=second)
        lag.applied_to(5 * second, now=second)
    assert lag.records == 500
    assert lag.seconds(100) == 49  # record 500 was seen in the log at second 51
    assert lag.stalled_seconds(100) == 0


def test_a_long_outage_keeps_its_begin_and_its_end() -> None:
    lag = PartitionLag(0, now=0)
    for second in range(1, 10_001):
        lag.appended_to(second, now=second)
    assert lag.seconds(10_000) == 9_999
    lag.applied_to(9_999, now=10_001)
    assert (lag.records, lag.seconds(10_001)) == (1, 1)
    lag.applied_to(10_000, now=10_002)
    assert lag.seconds(10_002) == 0


def test_a_redis_that_went_back_lags_again() -> None:
    lag = PartitionLag(0, now=0)
    lag.appended_to(50, now=1)
    lag.applied_to(50, now=1)
    lag.applied_to(20, now=10)  # restored from a snapshot
    assert (lag.records, lag.seconds(15), lag.stalled_seconds(15)) == (30, 5, 5)


def test_a_recreated_topic_begins_anew() -> None:
    lag = PartitionLag(100, now=0)
    lag.appended_to(200, now=1)
    lag.appended_to(3, now=2)
    assert (lag.records, lag.seconds(9)) == (0, 0)


def value(metric: str, partition: int) -> float | None:
    return gauge(f"gateway_{metric}", partition=str(partition))


@pytest.mark.parametrize("partition", [7001])
def test_time_goes_on_while_nobody_answers(partition: int) -> None:
    now = 0.0
    tracker = LagTracker(lambda: now)
    tracker.appended({partition: 5})
    tracker.report()
    assert value("lag_records", partition) is None, "what is applied was never read"
    tracker.applied({partition: 5})
    tracker.appended({partition: 9})
    now = 40.0
    tracker.report()
    assert (value("lag_records", partition), value("lag_seconds", partition)) == (4, 40)
    assert value("stalled_seconds", partition) == 40
