"""Metrics of one model's stream: records by outcome, lag, age, size of the state."""

import math
import time
from collections.abc import Callable
from contextlib import suppress

from recsys.stream_apply import ApplyOutcome, StreamApplier
from services.common.metrics import (
    RECOMMENDER_STATE,
    RECOMMENDER_STATE_FORGOTTEN,
    RECOMMENDER_STREAM_AGE,
    RECOMMENDER_STREAM_LAG,
    RECOMMENDER_STREAM_RECORDS,
)

_STATE_KINDS = ("customers", "lines", "neighbours", "order_pairs", "products")


class StreamMetrics:
    """Reports under the label of one version, until `remove`."""

    def __init__(self, version: str, applier: StreamApplier, age_ms: Callable[[int], int | None]) -> None:
        self.events_per_second: float | None = None  # purchases applied, over the last report; None before it
        self._version = version
        self._applier = applier
        self._age_ms = age_ms
        self._counted: dict[str, int] = {}

    def start(self) -> None:
        """Report the age from now on, each time it is scraped."""
        RECOMMENDER_STREAM_AGE.labels(self._version).set_function(self._age_s)

    def report(self, lag: int | None, seconds: float) -> None:
        """Report what was applied in the last `seconds`, and what is remembered."""
        applied = self._applier.outcomes[ApplyOutcome.APPLIED]
        self.events_per_second = (applied - self._counted.get(ApplyOutcome.APPLIED, 0)) / seconds
        for outcome, count in self._applier.outcomes.items():
            RECOMMENDER_STREAM_RECORDS.labels(outcome.value).inc(count - self._counted.get(outcome, 0))
            self._counted[outcome] = count
        if lag is not None:
            RECOMMENDER_STREAM_LAG.labels(self._version).set(lag)
        sizes = self._applier.live.sizes()
        fresh = self._applier.catalogue.fresh
        entries = (sizes.customers, sizes.lines, sizes.neighbours, sizes.order_pairs, fresh)
        for kind, held in zip(_STATE_KINDS, entries, strict=True):
            RECOMMENDER_STATE.labels(self._version, kind).set(held)
        RECOMMENDER_STATE_FORGOTTEN.labels(self._version).set(sizes.forgotten)

    def remove(self) -> None:
        """Remove every series of the version."""
        for gauge in (RECOMMENDER_STREAM_LAG, RECOMMENDER_STREAM_AGE, RECOMMENDER_STATE_FORGOTTEN):
            with suppress(KeyError):
                gauge.remove(self._version)
        for kind in _STATE_KINDS:
            with suppress(KeyError):
                RECOMMENDER_STATE.remove(self._version, kind)

    def _age_s(self) -> float:
        age_ms = self._age_ms(time.time_ns() // 1_000_000)
        return math.nan if age_ms is None else age_ms / 1000
