"""Work that repeats beside the requests."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager

logger = logging.getLogger(__name__)

Action = Callable[[], Awaitable[None]]


@asynccontextmanager
async def repeating(rhythm: Iterable[tuple[Action, float]]) -> AsyncIterator[None]:
    """Run each action at its interval, in seconds, until the block is left."""
    tasks = [asyncio.create_task(_repeat(action, seconds)) for action, seconds in rhythm]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _repeat(action: Action, seconds: float) -> None:
    """Errors are logged, and the next turn comes all the same."""
    while True:
        try:
            await action()
        except Exception:
            logger.exception("%s failed", getattr(action, "__qualname__", action))
        if _cancelled():
            return
        await asyncio.sleep(seconds)


def _cancelled() -> bool:
    # A client library may turn the cancellation it was awaiting under into an error of its own.
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
