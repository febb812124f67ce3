"""How long the event loop of a service stands still.

Nothing else is answered while the loop is held, so every service measures it: a task sleeps for a short time, again
and again, and what it wakes too late is how long something else had the loop, or how long the machine had no
processor for this process. The time that the loop's own thread has computed meanwhile tells the two apart, and the
time of garbage collections what of it was no request's fault.
"""

import asyncio
import gc
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from services.common.metrics import LOOP_LONGEST_STALL_SECONDS, LOOP_STALL_SECONDS

logger = logging.getLogger(__name__)

TICK_S = 0.05
# A stall that a person notices, and that is worth a line in the log.
LONG_STALL_S = 0.25
_WINDOW_S = 10.0
_WINDOWS = 6


class Longest:
    """The longest of the values added in the last minute. Times in seconds on any clock that never goes back."""

    def __init__(self) -> None:
        self._windows: deque[tuple[float, float]] = deque(maxlen=_WINDOWS)

    def add(self, value: float, now: float) -> None:
        """Take a value in."""
        if not self._windows or now - self._windows[-1][0] >= _WINDOW_S:
            self._windows.append((now, value))
        elif value > self._windows[-1][1]:
            self._windows[-1] = (self._windows[-1][0], value)

    def value(self, now: float) -> float:
        """The longest; 0 where nothing was added."""
        kept = (value for begun, value in list(self._windows) if now - begun < _WINDOW_S * _WINDOWS)
        return max(kept, default=0.0)


class Collections:
    """Seconds spent in garbage collections, of all threads: each holds the interpreter, and so the loop."""

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
def counted_collections() -> Iterator[Collections]:
    """What is collected until the block is left."""
    collections = Collections()
    gc.callbacks.append(collections)
    try:
        yield collections
    finally:
        gc.callbacks.remove(collections)


async def watch_loop() -> None:
    """Measure the running event loop until cancelled."""
    with counted_collections() as collections:
        await _watch(collections)


async def _watch(collections: Collections) -> None:
    longest = Longest()
    LOOP_LONGEST_STALL_SECONDS.set_function(lambda: longest.value(time.monotonic()))
    while True:
        asleep, computed, collected_s = time.monotonic(), time.thread_time(), collections.seconds
        await asyncio.sleep(TICK_S)
        now = time.monotonic()
        late = max(0.0, now - asleep - TICK_S)
        LOOP_STALL_SECONDS.observe(late)
        longest.add(late, now)
        if late >= LONG_STALL_S:
            logger.warning(
                "the event loop stood still for %.0f ms, %.0f ms of them at work in its own thread, "
                "%.0f ms collecting garbage",
                late * 1000,
                (time.thread_time() - computed) * 1000,
                (collections.seconds - collected_s) * 1000,
            )


@asynccontextmanager
async def watched_loop() -> AsyncIterator[None]:
    """Measure the running event loop until the block is left."""
    task = asyncio.create_task(watch_loop(), name="loop-watch")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
