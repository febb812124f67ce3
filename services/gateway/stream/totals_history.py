"""History of the totals, one reading a second: a page draws the last minutes from it as soon as it opens."""

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from services.gateway.stream.shop_state import ShopState

READINGS_KEPT = 1_000


class TotalsAt(NamedTuple):
    """All-time totals, and when they were read (epoch milliseconds). Revenue in cents."""

    taken_ms: int
    revenue: int
    events: int


class TotalsHistory:
    """Keeps the newest readings. Listens to the shop state; a second without one leaves no reading."""

    def __init__(self, kept: int = READINGS_KEPT) -> None:
        self._readings: deque[TotalsAt] = deque(maxlen=kept)

    def on_shop_state(self, state: ShopState | None) -> None:
        """Record this second's totals."""
        if state is None:
            return
        reading = TotalsAt(state.taken_ms, state.totals.revenue, state.totals.events)
        if self._readings and reading.events < self._readings[-1].events:
            self._readings.clear()  # rebuilt tables: a difference to the previous ones is not a sale
        self._readings.append(reading)

    def readings(self) -> Sequence[TotalsAt]:
        """The readings, oldest first."""
        return list(self._readings)
