"""A watch over the figures: whether they are fresh, twice a second, as a page would see it."""

import threading
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from local.http import NoAnswer, get_json

_POLL_S = 0.5
_OLD_S = 4.0
_SECONDS_BEHIND = 5


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at the summary. `problem` says why the figures are not fresh; empty when they are."""

    at: float
    problem: str


class FiguresWatch:
    """Samples in a thread of its own, from `start` to `stop`."""

    def __init__(self, gateway: str, events_per_second: float) -> None:
        self._gateway = gateway
        self._allowed_lag = events_per_second * _SECONDS_BEHIND
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.samples: list[Sample] = []

    def start(self) -> None:
        """Begin to sample."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._ended.set()
        self._thread.join()

    def settled(self, seconds: float) -> bool:
        """Whether the figures have been fresh for so long."""
        recent = [sample for sample in list(self.samples) if sample.at > time.time() - seconds]
        return bool(recent) and not any(sample.problem for sample in recent)

    def fresh_after(self, moment: float) -> float:
        """Seconds from `moment` to the last sample that was not fresh; 0 if all were."""
        stale = [sample.at for sample in self.samples if sample.at > moment and sample.problem]
        return max(stale) - moment if stale else 0.0

    def longest_stale_since(self, moment: float) -> float:
        """Seconds of the longest time without a fresh sample; 0 if all were fresh."""
        longest, began = 0.0, None
        for sample in [each for each in self.samples if each.at > moment]:
            began = (began or sample.at) if sample.problem else None
            longest = max(longest, sample.at - began) if began else longest
        return longest

    def problems_since(self, moment: float) -> list[str]:
        """What was wrong, each once, in the order of its first sight."""
        return list(dict.fromkeys(each.problem for each in self.samples if each.at > moment and each.problem))

    def _watch(self) -> None:
        while not self._ended.wait(_POLL_S):
            self.samples.append(Sample(time.time(), self._problem()))

    def _problem(self) -> str:
        try:
            summary = get_json(f"{self._gateway}/v1/stats/summary", timeout_s=2)
        except NoAnswer:
            return "no answer"
        return problem_of(summary, time.time(), self._allowed_lag)


def problem_of(summary: dict[str, Any], now: float, allowed_lag: float) -> str:
    """Why the figures of a summary are not fresh; empty when they are."""
    if "as_of" not in summary:
        return f"status {summary.get('status')}"
    if now - datetime.fromisoformat(summary["as_of"]).timestamp() > _OLD_S:
        return "old figures"
    if summary["lag"] is None:
        return "lag unknown"
    return "lag" if summary["lag"] > allowed_lag else ""
