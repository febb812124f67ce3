"""Events per second by the broker's clock, whatever the gateway's clock says."""

import pytest

from services.gateway.stream.arrival_rate import ArrivalRate

BROKER_S = 1_700_000_000


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def readings(skew_s: float, seconds: range, arrivals_until: int, rate: int = 5) -> list[float | None]:
    """What a gateway reads each second whose clock is `skew_s` ahead; lines arrive up to a second of the broker."""
    clock = Clock()
    arrival_rate = ArrivalRate(clock)
    found: list[float | None] = []
    for second in seconds:
        arrived = {str(BROKER_S + at): str(rate) for at in range(second - 60, min(second, arrivals_until) + 1)}
        found.append(arrival_rate.of([arrived], BROKER_S + second + skew_s))
        clock.now += 1
    return found


@pytest.mark.parametrize("skew_s", [-3600, -15, 0, 15, 3600])
def test_the_rate_does_not_depend_on_the_gateways_clock(skew_s: float) -> None:
    first, *others = readings(skew_s, range(20), arrivals_until=99)
    assert first in (None, 5.0)
    assert others == [5.0] * 19


@pytest.mark.parametrize("skew_s", [-15, 0, 15])
def test_it_falls_to_zero_once_nothing_arrives(skew_s: float) -> None:
    found = readings(skew_s, range(20), arrivals_until=5)
    assert found[6:8] == [5.0, 4.5]
    assert found[17:] == [0.0] * 3


def test_arrivals_of_long_ago_are_unknown_first_and_never_a_rate() -> None:
    found = readings(0, range(100, 115), arrivals_until=75)
    assert found[:10] == [None] * 10
    assert found[11:] == [0.0] * 4


def test_without_an_arrival_the_rate_is_zero_and_the_first_one_counts_at_once() -> None:
    clock = Clock()
    arrival_rate = ArrivalRate(clock)
    assert arrival_rate.of([{}, {}], BROKER_S) == 0.0
    clock.now += 1
    assert arrival_rate.of([{str(BROKER_S): "7"}, {str(BROKER_S): "3"}], BROKER_S + 500) == 0.0
    clock.now += 1
    assert arrival_rate.of([{str(BROKER_S): "7"}, {str(BROKER_S): "3"}], BROKER_S + 501) == 1.0


def test_another_generation_of_the_tables_is_unknown_first() -> None:
    clock = Clock()
    arrival_rate = ArrivalRate(clock)
    arrival_rate.of([{str(BROKER_S): "7"}], BROKER_S)
    assert arrival_rate.of([{str(BROKER_S - 500): "7"}], BROKER_S) is None
