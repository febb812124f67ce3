"""Accepted lines per second, by the broker's clock alone: this host's may differ from it."""

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

WINDOW_S = 10
_CLOCKS_AGREE_S = 2  # as far as the pipeline may take from the broker to here


class ArrivalRate:
    """The rate over the ten whole seconds before the broker's present one.

    That one is the newest arrival's second, and goes on by this process's monotonic clock until a newer one is seen.
    The first arrivals that a gateway finds may have come just now or long ago: where the clocks do not agree, the rate
    is unknown until another arrival is seen, for ten seconds at most.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._newest: int | None = None
        self._seen_at = 0.0
        self._known_from = -math.inf
        self._started = False

    def of(self, arrivals: Sequence[Mapping[str, str]], now_s: float) -> float | None:
        """The rate from the `arrivals` hashes (second → lines) of all shards; None where it is unknown.

        `now_s` is this host's time. Call about once a second.
        """
        counts: Counter[int] = Counter()
        for shard in arrivals:
            counts.update({int(second): int(lines) for second, lines in shard.items()})
        newest, at = max(counts, default=None), self._clock()
        if newest is not None and newest != self._newest:
            went_on = self._started and newest > (self._newest or 0)
            agrees = abs(now_s - newest) <= _CLOCKS_AGREE_S
            self._known_from = at if went_on or agrees else at + WINDOW_S
            self._seen_at = at
        self._newest, self._started = newest, True
        if newest is None:
            return 0.0
        if at < self._known_from:
            return None
        end = newest + int(at - self._seen_at)
        return sum(counts[second] for second in range(end - WINDOW_S, end)) / WINDOW_S
