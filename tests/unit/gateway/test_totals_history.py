"""The pulse: the newest readings of the totals."""

from services.gateway.queries.figures import Totals
from services.gateway.stream.shop_state import ShopState
from services.gateway.stream.totals_history import TotalsAt, TotalsHistory


def at(second: int, events: int) -> ShopState:
    totals = Totals(revenue=events * 100, events=events)
    return ShopState(second * 1000, totals, dead_letters=0, events_per_second=0.0, lag=None, model_version=None)


def test_the_newest_readings_are_kept_and_a_second_without_figures_leaves_none() -> None:
    pulse = TotalsHistory(kept=2)
    for snapshot in (at(1, 10), at(2, 12), None, at(4, 12)):
        pulse.on_shop_state(snapshot)
    assert pulse.readings() == [TotalsAt(2_000, 1_200, 12), TotalsAt(4_000, 1_200, 12)]


def test_tables_that_were_built_anew_begin_a_new_pulse() -> None:
    pulse = TotalsHistory()
    for snapshot in (at(1, 10), at(2, 4), at(3, 5)):
        pulse.on_shop_state(snapshot)
    assert [reading.events for reading in pulse.readings()] == [4, 5]
