"""Script calls on their way to Redis while the next chunk is folded."""

import asyncio
from collections.abc import Coroutine
from typing import Any

# Turns of the event loop until a request is on its way; only then may the next chunk take the processor.
_TURNS_TO_SEND = 8


class Underway:
    """Runs one chunk's script calls beside the caller, so that Redis works while the next chunk is folded."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None

    async def start(self, calls: Coroutine[Any, Any, None]) -> None:
        """Begin these calls once the ones before have succeeded."""
        try:
            await self.settle()
        except BaseException:
            calls.close()
            raise
        self._task = asyncio.create_task(calls)
        for _ in range(_TURNS_TO_SEND):
            await asyncio.sleep(0)

    async def settle(self) -> None:
        """Wait for the calls that were begun; raises what they raise."""
        task, self._task = self._task, None
        if task is not None:
            await task

    async def abandon(self) -> None:
        """Let calls that are under way come to their end, whatever it is: they are fenced by the marks."""
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)
