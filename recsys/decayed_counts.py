"""Exponentially decayed counts: an event loses half its weight each half-life. NumPy only; exact, one number a row.

Forward decay (Cormode, Shkapenyuk, Srivastava, Xu, "Forward Decay: A Practical Time Decay Model for Streaming
Systems", 2009): an event at time t is added as 2^((t − L)/h) with a landmark L, and a count is read at time `now` times
2^((L − now)/h). So an event costs one addition, however late it comes; removing it is the same with a minus sign.
"""

import numpy as np

from recsys.topk import Float64s, Int64s, Rows

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
_MAX_HALF_LIVES = 256.0  # past the landmark; 2^256 times any count of events is far from the end of the range


def decay_factor(age_ms: Int64s | Float64s, half_life_ms: float) -> Float64s:
    """2^(−age/half-life), elementwise."""
    weights: Float64s = np.exp2(age_ms / -half_life_ms)
    return weights


class DecayedCounts:
    """Counts [rows] of events in time. Times are epoch milliseconds."""

    def __init__(self, rows: int, half_life_ms: float) -> None:
        self._values = np.zeros(rows)
        self._cells = self._values.data  # the same numbers: one of them is reached in half the time
        self._half_life_ms = half_life_ms
        self._landmark_ms = 0.0

    def add(self, row: int, at_ms: int, weight: float = 1.0) -> None:
        """Count an event; `weight` −1 removes it."""
        half_lives = (at_ms - self._landmark_ms) / self._half_life_ms
        if half_lives > _MAX_HALF_LIVES:
            self._advance_landmark(at_ms)
            half_lives = (at_ms - self._landmark_ms) / self._half_life_ms
        self._cells[row] += weight * 2.0**half_lives

    def add_each(self, rows: Rows, at_ms: Int64s) -> None:
        """Count many events [n]."""
        if len(rows):
            self._advance_landmark(int(at_ms.max()))
            age_ms: Float64s = self._landmark_ms - at_ms.astype(np.float64)
            self._values += np.bincount(rows, decay_factor(age_ms, self._half_life_ms), minlength=len(self._values))

    def add_counts(self, counts: Float64s, at_ms: int) -> None:
        """Add counts [rows] as they stood at `at_ms`."""
        self._advance_landmark(at_ms)
        self._values += counts * 2.0 ** ((at_ms - self._landmark_ms) / self._half_life_ms)

    def at(self, now_ms: int) -> Float64s:
        """The counts [rows] as they stand at `now_ms`; a new array."""
        # Removed events leave at most a rounding error, of either sign.
        factor: float = 2.0 ** ((self._landmark_ms - now_ms) / self._half_life_ms)
        return np.maximum(self._values, 0.0) * factor

    def _advance_landmark(self, at_ms: int) -> None:
        """Move the landmark where an event lies far past it: by whole half-lives, so that nothing is rounded."""
        ahead = (at_ms - self._landmark_ms) / self._half_life_ms
        if ahead > _MAX_HALF_LIVES:
            np.ldexp(self._values, -int(ahead), out=self._values)
            self._landmark_ms += int(ahead) * self._half_life_ms
