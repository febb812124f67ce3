"""Runs an action soon after it was asked for, and not too often: what is asked meanwhile is one more run."""

import asyncio
import time
from collections.abc import Callable

from services.common.tasks import Action

# Of the event loop's time, an action may take so much.
_SHARE = 0.1


class Coalescer:
    """`step`, repeated, waits until the action is due and runs it.

    Between the starts of two runs there are at least `interval_s()` seconds, and ten times what the last run took.
    """

    def __init__(
        self, action: Action, interval_s: Callable[[], float], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._action = action
        self._interval_s = interval_s
        self._clock = clock
        self._asked = asyncio.Event()
        self._began_at = 0.0
        self._took_s = 0.0

    def ask(self) -> None:
        """Run the action, now or when it is due."""
        self._asked.set()

    def due_in(self) -> float:
        """Seconds until the action may run again; 0 where it may run now."""
        interval_s = max(self._interval_s(), self._took_s / _SHARE)
        return max(0.0, self._began_at + interval_s - self._clock())

    async def step(self) -> None:
        """Wait until the action is asked for and due, and run it once."""
        await self._asked.wait()
        await asyncio.sleep(self.due_in())
        self._asked.clear()
        self._began_at = self._clock()
        try:
            await self._action()
        finally:
            self._took_s = self._clock() - self._began_at
