"""Pipelining: the script calls of one chunk run in Redis while the next chunk is folded."""

import asyncio
from collections.abc import Coroutine
from typing import Any

# Turns of the event loop until a request is sent; only then may the next chunk take the processor.
_TURNS_TO_SEND = 8


class InFlightCall:
    """Runs the script calls of one chunk at a time as a task of its own."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None

    async def start(self, calls: Coroutine[Any, Any, None]) -> None:
        """Start these calls once the previous ones have succeeded; raises what those raise."""
        try:
            await self.wait()
        except BaseException:
            calls.close()
            raise
        self._task = asyncio.create_task(calls)
        for _ in range(_TURNS_TO_SEND):
            await asyncio.sleep(0)

    async def wait(self) -> None:
        """Wait for the calls that were started; raises what they raise."""
        task, self._task = self._task, None
        if task is not None:
            await task

    async def drain(self) -> None:
        """Wait for the calls in flight, whatever they raise: the marks fence them."""
        task, self._task = self._task, None
        if task is not None:
            await asyncio.gather(task, return_exceptions=True)
