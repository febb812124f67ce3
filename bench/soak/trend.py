"""Least-squares line through samples: the growth of a figure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Trend:
    """Slope of the least-squares line and its standard error, both in units an hour; NaN from fewer than 3 samples."""

    slope: float
    error: float

    def grows_faster_than(self, limit: float) -> bool:
        """Whether the slope lies above the limit by more than twice its standard error."""
        return self.slope - 2 * self.error > limit


def trend(seconds: Sequence[float], values: Sequence[float]) -> Trend:
    """The trend of values sampled at these times, by ordinary least squares."""
    count = len(seconds)
    if count < 3:
        return Trend(math.nan, math.nan)
    hours = [second / 3600 for second in seconds]
    mean_x, mean_y = sum(hours) / count, sum(values) / count
    spread = sum((x - mean_x) ** 2 for x in hours)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in zip(hours, values, strict=True)) / spread
    residuals = sum((y - mean_y - slope * (x - mean_x)) ** 2 for x, y in zip(hours, values, strict=True))
    return Trend(slope, math.sqrt(residuals / (count - 2) / spread))
