"""Limits on dead letters: an alarm on too many invalid records, so many consecutive ones or a ratio of the newest.

`InvalidRateMonitor` decides, and is pure. `InvalidRateAlarm` reports: metrics, a figure of the health, a log line at
begin and end, and, where the settings ask to halt, an exception that ends the service before it passes the records.
"""

import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import NamedTuple

from services.common.metrics import DEAD_LETTERS_ALARM, DEAD_LETTERS_RATIO, DEAD_LETTERS_RUN
from services.common.settings import DeadLetterLimits
from services.common.telemetry import Health

logger = logging.getLogger(__name__)


class TooManyInvalidRecords(Exception):
    """A limit was reached, and the settings ask to halt there; the message says what to do."""


class SourceState(NamedTuple):
    """A source's consecutive invalid records up to now, the ratio among its newest, and whether its alarm is on."""

    consecutive: int
    ratio: float
    alarming: bool


class AlarmTransition(NamedTuple):
    """What observing some records changed. Both may be true: the alarm began and ended within them.

    `limit`: the limit that was reached first, as text; empty where none was.
    """

    begun: bool
    ended: bool
    limit: str


@dataclass(slots=True)
class _Source:
    next: int
    consecutive: int = 0
    last: int = -2
    recent: deque[int] = field(default_factory=deque)
    alarming: bool = False


class InvalidRateMonitor:
    """Monitors each source by the positions of its invalid records: offsets of a partition, rows of a file.

    An alarm begins at `max_consecutive` invalid records in a row, or at `max_ratio` × `window` of the newest `window`.
    It ends when a record is valid and the ratio has fallen to half of its limit, so that it does not flicker.
    """

    def __init__(self, max_consecutive: int, max_ratio: float, window: int) -> None:
        self._max_consecutive = max_consecutive
        self._window = window
        self._max_recent = ceil(max_ratio * window)
        self._sources: dict[str, _Source] = {}

    def observe(self, source: str, start: int, end: int, invalid: Sequence[int]) -> AlarmTransition | None:
        """Take in the records from `start` to `end` (exclusive), of which those at `invalid` (ascending) are invalid.

        None where no alarm began or ended. Records observed before are skipped, so repeating is harmless.
        """
        known = self._sources.get(source)
        if known is None:
            known = self._sources[source] = _Source(start)
        if end <= known.next or not (invalid or known.recent or known.consecutive):
            known.next = max(known.next, end)
            return None
        limit = self._count(known, invalid)
        known.next = end
        if known.last != end - 1:
            known.consecutive = 0
        self._drop_old(known, end)
        return self._transition(known, limit)

    def state(self, source: str) -> SourceState:
        """The source's state after the records observed last."""
        known = self._sources.get(source) or _Source(0)
        return SourceState(known.consecutive, len(known.recent) / self._window, known.alarming)

    def forget(self) -> None:
        """Drop all sources, as after a rebalance."""
        self._sources.clear()

    def _count(self, known: _Source, invalid: Sequence[int]) -> str:
        """Count the invalid ones; returns the limit that was reached first, or an empty text."""
        limit = ""
        for position in invalid:
            if position < known.next:
                continue
            known.consecutive = known.consecutive + 1 if position == known.last + 1 else 1
            known.last = position
            known.recent.append(position)
            self._drop_old(known, position + 1)
            if not limit and known.consecutive >= self._max_consecutive:
                limit = f"{known.consecutive:,} consecutive records are invalid"
            if not limit and len(known.recent) >= self._max_recent:
                limit = f"{len(known.recent):,} of the newest {self._window:,} records are invalid"
        return limit

    def _drop_old(self, known: _Source, end: int) -> None:
        while known.recent and known.recent[0] < end - self._window:
            known.recent.popleft()

    def _transition(self, known: _Source, limit: str) -> AlarmTransition | None:
        begun = bool(limit) and not known.alarming
        recovered = known.consecutive < self._max_consecutive and 2 * len(known.recent) <= self._max_recent
        ended = (known.alarming or begun) and recovered
        known.alarming = (known.alarming or begun) and not ended
        return AlarmTransition(begun, ended, limit) if begun or ended else None


class InvalidRateAlarm:
    """Reports the alarms of a service's sources as they begin and end."""

    def __init__(self, limits: DeadLetterLimits, health: Health) -> None:
        self._monitor = InvalidRateMonitor(
            limits.dead_letters_max_consecutive, limits.dead_letters_max_ratio, limits.dead_letters_window
        )
        self._halt = limits.dead_letters_halt
        self._health = health
        self._alarming: dict[str, str] = {}
        self._shown: dict[str, SourceState] = {}
        self._health.report("dead_letters_alarm", None)

    def observe(self, source: str, start: int, end: int, invalid: Sequence[int], reason: str = "") -> None:
        """See InvalidRateMonitor; `reason` is that of one of the invalid records. Raises TooManyInvalidRecords."""
        transition = self._monitor.observe(source, start, end, invalid)
        now = self._monitor.state(source)
        if now != self._shown.get(source):
            self._show(source, now)
        if transition is not None:
            self._report(source, transition, reason)

    def forget(self) -> None:
        """Drop all sources: after a rebalance another process reports those that this one has lost."""
        self._monitor.forget()
        for source in self._shown:
            for metric in (DEAD_LETTERS_ALARM, DEAD_LETTERS_RUN, DEAD_LETTERS_RATIO):
                metric.remove(source)
        self._shown.clear()
        self._alarming.clear()
        self._health.report("dead_letters_alarm", None)

    def _show(self, source: str, now: SourceState) -> None:
        DEAD_LETTERS_ALARM.labels(source).set(now.alarming)
        DEAD_LETTERS_RUN.labels(source).set(now.consecutive)
        DEAD_LETTERS_RATIO.labels(source).set(now.ratio)
        self._shown[source] = now

    def _report(self, source: str, transition: AlarmTransition, reason: str) -> None:
        fields = {"source": source}
        if transition.begun:
            alarm = f"{source}: {transition.limit} ({reason})"
            logger.warning("dead letters: alarm: %s", alarm, extra={**fields, "reason": reason})
            if self._halt:
                raise TooManyInvalidRecords(
                    f"{alarm}; stopped before them, as TILLSTREAM_DEAD_LETTERS_HALT asks. Fix the sender; to pass "
                    "these records raise TILLSTREAM_DEAD_LETTERS_MAX_CONSECUTIVE and _MAX_RATIO, or unset _HALT; then "
                    "start again"
                )
            self._alarming[source] = alarm
        if transition.ended:
            self._alarming.pop(source, None)
            logger.warning("dead letters: alarm over: %s", source, extra=fields)
        self._health.report("dead_letters_alarm", "; ".join(self._alarming.values()) or None)
