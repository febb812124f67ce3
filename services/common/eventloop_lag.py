"""Event-loop lag: how long the event loop of a service was blocked.

While the loop is blocked nothing is answered, so every service measures it: a task sleeps for a short time, again and
again. How much too late it wakes is how long other code held the loop, or how long the machine had no processor for
this process. The CPU time of the loop's thread meanwhile tells the two apart; the time of garbage collections is the
part that no request caused.
"""

import asyncio
import gc
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from services.common.metrics import LOOP_LONGEST_STALL_SECONDS, LOOP_STALL_SECONDS
from services.common.telemetry import Health

logger = logging.getLogger(__name__)

TICK_S = 0.05
# A stall that a person notices, and that is worth a log line.
LONG_STALL_S = 0.25
_WINDOW_S = 10.0
_WINDOWS = 6


class SlidingMax:
    """The maximum of the values added in the last minute. Times in seconds on any monotonic clock."""

    def __init__(self) -> None:
        self._windows: deque[tuple[float, float]] = deque(maxlen=_WINDOWS)

    def add(self, value: float, now: float) -> None:
        """Add a value."""
        if not self._windows or now - self._windows[-1][0] >= _WINDOW_S:
            self._windows.append((now, value))
        elif value > self._windows[-1][1]:
            self._windows[-1] = (self._windows[-1][0], value)

    def value(self, now: float) -> float:
        """The maximum; 0 where nothing was added."""
        kept = (value for begun, value in list(self._windows) if now - begun < _WINDOW_S * _WINDOWS)
        return max(kept, default=0.0)


class GcTimer:
    """Seconds spent in garbage collections of all threads: each holds the interpreter, and so blocks the loop."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._begun = 0.0

    def __call__(self, phase: str, _: object) -> None:
        """For `gc.callbacks`."""
        if phase == "start":
            self._begun = time.monotonic()
        else:
            self.seconds += time.monotonic() - self._begun


@contextmanager
def timed_gc() -> Iterator[GcTimer]:
    """Time the garbage collections until the block is left."""
    gc_timer = GcTimer()
    gc.callbacks.append(gc_timer)
    try:
        yield gc_timer
    finally:
        gc.callbacks.remove(gc_timer)


async def watch_loop(health: Health) -> None:
    """Measure the running event loop until cancelled; each turn is a sign of life."""
    with timed_gc() as gc_timer:
        await _watch(health, gc_timer)


async def _watch(health: Health, gc_timer: GcTimer) -> None:
    longest = SlidingMax()
    LOOP_LONGEST_STALL_SECONDS.set_function(lambda: longest.value(time.monotonic()))
    while True:
        health.beat()
        asleep, cpu_s, gc_s = time.monotonic(), time.thread_time(), gc_timer.seconds
        await asyncio.sleep(TICK_S)
        now = time.monotonic()
        late = max(0.0, now - asleep - TICK_S)
        LOOP_STALL_SECONDS.observe(late)
        longest.add(late, now)
        if late >= LONG_STALL_S:
            blocked_ms, cpu_ms = late * 1000, (time.thread_time() - cpu_s) * 1000
            gc_ms = (gc_timer.seconds - gc_s) * 1000
            logger.warning(
                "event loop blocked for %.0f ms (%.0f ms CPU in the loop thread, %.0f ms garbage collection)",
                blocked_ms,
                cpu_ms,
                gc_ms,
                extra={"blocked_ms": round(blocked_ms), "cpu_ms": round(cpu_ms), "gc_ms": round(gc_ms)},
            )


@asynccontextmanager
async def watched_loop(health: Health) -> AsyncIterator[None]:
    """Measure the running event loop until the block is left."""
    task = asyncio.create_task(watch_loop(health), name="loop-watch")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
