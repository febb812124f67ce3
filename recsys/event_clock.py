"""The shop's now, told from event times alone: the data may be of another year, and one event may be of a wrong one."""

import heapq
from collections.abc import Iterable, Iterator

NEVER_MS = -(2**62)
WITNESSES = 20
_AHEAD_MS = 24 * 3_600_000  # as far as the contract lets an event lie past its arrival


class Moment:
    """The newest event time, in epoch milliseconds, of those at most a day past the 20th newest.

    What lies further ahead waits until the shop gets there. So a single event of the far future neither ages everything
    that was sold nor counts more than it, and it does not matter in the end which events it came before.
    """

    def __init__(self) -> None:
        self.newest_ms = NEVER_MS
        self._horizon_ms = -NEVER_MS  # nothing is ahead while few events are known
        self._latest: list[int] = []  # a heap of the newest times, the oldest of them first
        self._ahead: list[tuple[int, int, float]] = []  # a heap of sales: time, product, weight

    def begin(self, at_ms: int) -> None:
        """A time that is beyond doubt."""
        for _ in range(WITNESSES):
            self.see(at_ms)
        self.newest_ms = max(self.newest_ms, at_ms)

    def see(self, at_ms: int) -> bool:
        """Take in the time of one event; whether the shop has got to sales that waited."""
        latest = self._latest
        if len(latest) < WITNESSES:
            heapq.heappush(latest, at_ms)
            if len(latest) == WITNESSES:
                self._horizon_ms = latest[0] + _AHEAD_MS
                self.newest_ms = max(known_ms for known_ms in latest if known_ms <= self._horizon_ms)
        elif at_ms > latest[0]:
            heapq.heapreplace(latest, at_ms)
            self._horizon_ms = latest[0] + _AHEAD_MS
        if at_ms <= self._horizon_ms:
            self.newest_ms = max(self.newest_ms, at_ms)
        return bool(self._ahead) and self._ahead[0][0] <= self._horizon_ms

    def waits(self, at_ms: int, product: int, weight: float) -> bool:
        """Whether a sale is of a time that the shop has not got to; then it is kept for later.

        There are never more than some twenty: of more, the horizon would lie further.
        """
        if at_ms <= self._horizon_ms:
            return False
        heapq.heappush(self._ahead, (at_ms, product, weight))
        return True

    def reached(self) -> Iterator[tuple[int, int, float]]:
        """The sales that waited for this time: time, product, weight."""
        while self._ahead and self._ahead[0][0] <= self._horizon_ms:
            sale = heapq.heappop(self._ahead)
            self.newest_ms = max(self.newest_ms, sale[0])
            yield sale


def newest_of(latest_ms: Iterable[int]) -> int:
    """The newest event time that is beyond doubt, of the `WITNESSES` newest of all (or of all, where there are fewer).

    So that a training's end is what the live state would say of the same events.
    """
    moment = Moment()
    for at_ms in latest_ms:
        moment.see(at_ms)
    return moment.newest_ms
