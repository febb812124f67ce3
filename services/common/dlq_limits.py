"""Noticing that too many records are refused: so many in a row, or too large a share of the newest ones.

`RefusalWatch` decides, and is pure; `RefusalAlarm` tells: metrics, a figure of the health, a log line at begin and end,
and where the settings ask for it an exception that ends the service before the records are passed.
"""

import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import NamedTuple

from services.common.metrics import DEAD_LETTERS_ALARM, DEAD_LETTERS_RATIO, DEAD_LETTERS_RUN
from services.common.settings import DeadLetterCaps
from services.common.telemetry import Health

log = logging.getLogger(__name__)


class TooManyRefused(Exception):
    """A cap was reached, and the settings ask to stop there; the message says what to do."""


class Standing(NamedTuple):
    """Where a source stands: refused in a row up to now, share of refused among the newest, and whether that alarms."""

    run: int
    ratio: float
    alarming: bool


class Turn(NamedTuple):
    """What observing some records changed. Both may be true: it began and ended within them."""

    begun: bool
    ended: bool
    words: str


@dataclass(slots=True)
class _Source:
    next: int
    run: int = 0
    last: int = -2
    recent: deque[int] = field(default_factory=deque)
    alarming: bool = False


class RefusalWatch:
    """Watches each source by the places of its refused records: offsets of a partition, rows of a file.

    An alarm begins when `run` records in a row are refused, or `ratio` × `window` of the newest `window`. It ends when
    a record is accepted and the share has fallen to half of its cap, so that it does not flicker.
    """

    def __init__(self, run: int, ratio: float, window: int) -> None:
        self._run = run
        self._window = window
        self._most = ceil(ratio * window)
        self._sources: dict[str, _Source] = {}

    def observe(self, source: str, start: int, end: int, refused: Sequence[int]) -> Turn | None:
        """Take in the records from `start` to `end` (exclusive), of which those at `refused` (rising) were refused.

        None where nothing turned. Records that were observed before are passed over, so repeating is harmless.
        """
        known = self._sources.get(source)
        if known is None:
            known = self._sources[source] = _Source(start)
        if end <= known.next or not (refused or known.recent or known.run):
            known.next = max(known.next, end)
            return None
        words = self._count(known, refused)
        known.next = end
        if known.last != end - 1:
            known.run = 0
        self._drop_old(known, end)
        return self._turn(known, words)

    def standing(self, source: str) -> Standing:
        """Where a source stands after what was observed last."""
        known = self._sources.get(source) or _Source(0)
        return Standing(known.run, len(known.recent) / self._window, known.alarming)

    def forget(self) -> None:
        """Drop all sources, as after a rebalance."""
        self._sources.clear()

    def _count(self, known: _Source, refused: Sequence[int]) -> str:
        """Count the refused ones; returns which cap was reached first, in words, or an empty text."""
        words = ""
        for place in refused:
            if place < known.next:
                continue
            known.run = known.run + 1 if place == known.last + 1 else 1
            known.last = place
            known.recent.append(place)
            self._drop_old(known, place + 1)
            if not words and known.run >= self._run:
                words = f"{known.run:,} records in a row are refused"
            if not words and len(known.recent) >= self._most:
                words = f"{len(known.recent):,} of the newest {self._window:,} records are refused"
        return words

    def _drop_old(self, known: _Source, end: int) -> None:
        while known.recent and known.recent[0] < end - self._window:
            known.recent.popleft()

    def _turn(self, known: _Source, words: str) -> Turn | None:
        begun = bool(words) and not known.alarming
        well = known.run < self._run and 2 * len(known.recent) <= self._most
        ended = (known.alarming or begun) and well
        known.alarming = (known.alarming or begun) and not ended
        return Turn(begun, ended, words) if begun or ended else None


class RefusalAlarm:
    """Tells of a service's refusals as they turn."""

    def __init__(self, caps: DeadLetterCaps, health: Health) -> None:
        self._watch = RefusalWatch(caps.dead_letters_run, caps.dead_letters_ratio, caps.dead_letters_window)
        self._stop = caps.dead_letters_stop
        self._health = health
        self._alarming: dict[str, str] = {}
        self._shown: dict[str, Standing] = {}
        self._health.report("dead_letters_alarm", None)

    def observe(self, source: str, start: int, end: int, refused: Sequence[int], reason: str = "") -> None:
        """See RefusalWatch; `reason` is that of one of the refused. Raises TooManyRefused."""
        turn = self._watch.observe(source, start, end, refused)
        now = self._watch.standing(source)
        if now != self._shown.get(source):
            self._show(source, now)
        if turn is not None:
            self._tell(source, turn, reason)

    def forget(self) -> None:
        """Other partitions are read now: what was known of the ones before is not ours to tell any more."""
        self._watch.forget()
        for source in self._shown:
            for metric in (DEAD_LETTERS_ALARM, DEAD_LETTERS_RUN, DEAD_LETTERS_RATIO):
                metric.remove(source)
        self._shown.clear()
        self._alarming.clear()
        self._health.report("dead_letters_alarm", None)

    def _show(self, source: str, now: Standing) -> None:
        DEAD_LETTERS_ALARM.labels(source).set(now.alarming)
        DEAD_LETTERS_RUN.labels(source).set(now.run)
        DEAD_LETTERS_RATIO.labels(source).set(now.ratio)
        self._shown[source] = now

    def _tell(self, source: str, turn: Turn, reason: str) -> None:
        if turn.begun:
            said = f"{source}: {turn.words} ({reason})"
            log.warning("dead letters: alarm: %s", said)
            if self._stop:
                raise TooManyRefused(
                    f"{said}; stopped before them, as TILLSTREAM_DEAD_LETTERS_STOP asks. Fix the sender; to pass these "
                    "records raise TILLSTREAM_DEAD_LETTERS_RUN and _RATIO, or unset _STOP; then start again"
                )
            self._alarming[source] = said
        if turn.ended:
            self._alarming.pop(source, None)
            log.warning("dead letters: alarm over: %s", source)
        self._health.report("dead_letters_alarm", "; ".join(self._alarming.values()) or None)
