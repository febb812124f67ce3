"""Work that repeats beside the requests."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

logger = logging.getLogger(__name__)


async def repeat(action: Callable[[], Awaitable[None]], seconds: float) -> None:
    """Run `action` at this interval until cancelled; an error is logged and the next turn comes all the same."""
    while True:
        try:
            await action()
        except Exception:
            logger.exception("%s failed", getattr(action, "__qualname__", action))
        await asyncio.sleep(seconds)
