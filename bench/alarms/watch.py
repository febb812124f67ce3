"""What fires, and since when: asked of Prometheus and of the page's own /v1/system every second."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from local.http import NoAnswer, get_json

Key = TypeVar("Key")

WATCHDOG = "Watchdog"
_EVERY_S = 1.0
_UNTOLD = ("alertname", "severity", "instance")


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert by its name and what tells it from others of the name: the values of its labels."""

    name: str
    severity: str
    labels: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name} {' '.join(self.labels)}".rstrip()


@dataclass(slots=True)
class Period:
    """From when until when, seconds of the monotonic clock; `end` is None while it lasts."""

    begin: float
    end: float | None = None


@dataclass(slots=True)
class Seen:
    """When each alert fired, and when the page had each name."""

    fired: dict[Alert, list[Period]] = field(default_factory=dict)
    shown: dict[str, list[Period]] = field(default_factory=dict)

    def firing(self) -> set[Alert]:
        """What fires now."""
        return {alert for alert, periods in self.fired.items() if periods[-1].end is None}

    def begun(self, since: float) -> dict[Alert, float]:
        """What began to fire since then, and how many seconds after."""
        firsts = {
            alert: [p.begin - since for p in periods if p.begin >= since] for alert, periods in self.fired.items()
        }
        return {alert: times[0] for alert, times in firsts.items() if times}


class Watch:
    """Polls until it is cancelled."""

    def __init__(self, prometheus: str, page: str) -> None:
        """`prometheus` and `page` are addresses."""
        self.seen = Seen()
        self.rounds = 0
        self._prometheus = f"{prometheus}/api/v1/alerts"
        self._page = f"{page}/v1/system"

    async def run(self) -> None:
        """Ask both, once a second."""
        while True:
            begun = time.monotonic()
            alerts, system = await asyncio.gather(
                asyncio.to_thread(_asked, self._prometheus), asyncio.to_thread(_asked, self._page)
            )
            if alerts is not None:
                note(self.seen.fired, firing_in(alerts), time.monotonic())
                self.rounds += 1
            if system is not None:
                note(self.seen.shown, {alert["name"] for alert in system["alerts"]["firing"]}, time.monotonic())
            await asyncio.sleep(begun + _EVERY_S - time.monotonic())

    async def until(self, holds: Callable[[Seen], bool], timeout_s: float) -> float | None:
        """The moment when it holds; None where it does not within the time."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if holds(self.seen):
                return time.monotonic()
            await asyncio.sleep(_EVERY_S / 4)
        return None


def note(periods: dict[Key, list[Period]], now_on: set[Key], now: float) -> None:
    """Begin the periods of what is on, and end those of what is not any longer."""
    for key in now_on:
        known = periods.setdefault(key, [])
        if not known or known[-1].end is not None:
            known.append(Period(now))
    for key, known in periods.items():
        if key not in now_on and known[-1].end is None:
            known[-1].end = now


def firing_in(answer: Mapping[str, Any]) -> set[Alert]:
    """Those in the answer of `/api/v1/alerts` that fire, without the watchdog."""
    alerts = [alert["labels"] for alert in answer["data"]["alerts"] if alert["state"] == "firing"]
    return {_alert(labels) for labels in alerts if labels["alertname"] != WATCHDOG}


def _alert(labels: Mapping[str, str]) -> Alert:
    shown = tuple(value for name, value in sorted(labels.items()) if name not in _UNTOLD)
    return Alert(labels["alertname"], labels["severity"], shown)


def _asked(url: str) -> Any:
    """The answer; None where there is none, such as of a gateway that is the fault."""
    try:
        return get_json(url, timeout_s=2)
    except NoAnswer:
        return None
