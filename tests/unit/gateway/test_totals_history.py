"""The history of the totals: the newest readings."""

from services.gateway.queries.figures import Totals
from services.gateway.stream.shop_state import ShopState
from services.gateway.stream.totals_history import TotalsAt, TotalsHistory


def at(second: int, events: int) -> ShopState:
    totals = Totals(revenue=events * 100, events=events)
    return ShopState(second * 1000, totals, dead_letters=0, events_per_second=0.0, lag=None, model_version=None)


def test_the_newest_readings_are_kept_and_a_second_without_figures_leaves_none() -> None:
    history = TotalsHistory(kept=2)
    for state in (at(1, 10), at(2, 12), None, at(4, 12)):
        history.on_shop_state(state)
    assert history.readings() == [TotalsAt(2_000, 1_200, 12), TotalsAt(4_000, 1_200, 12)]


def test_rebuilt_tables_begin_a_new_history() -> None:
    history = TotalsHistory()
    for state in (at(1, 10), at(2, 4), at(3, 5)):
        history.on_shop_state(state)
    assert [reading.events for reading in history.readings()] == [4, 5]
