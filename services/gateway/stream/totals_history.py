"""The pulse: what the totals were, second by second, so that a page draws the last minutes as soon as it opens."""

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from services.gateway.stream.shop_state import ShopState

READINGS_KEPT = 1_000


class TotalsAt(NamedTuple):
    """Totals since the beginning, and when they were read (epoch milliseconds). Revenue in cents."""

    taken_ms: int
    revenue: int
    events: int


class TotalsHistory:
    """Remembers the newest readings. Listens to the snapshots; a second without one leaves no reading."""

    def __init__(self, kept: int = READINGS_KEPT) -> None:
        self._readings: deque[TotalsAt] = deque(maxlen=kept)

    def on_shop_state(self, snapshot: ShopState | None) -> None:
        """Note this second's totals."""
        if snapshot is None:
            return
        reading = TotalsAt(snapshot.taken_ms, snapshot.totals.revenue, snapshot.totals.events)
        if self._readings and reading.events < self._readings[-1].events:
            self._readings.clear()  # tables built anew: a difference to the old ones is no sale
        self._readings.append(reading)

    def readings(self) -> Sequence[TotalsAt]:
        """The oldest first."""
        return list(self._readings)
