"""Waiting for what another process, thread or task brings about."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from inspect import isawaitable


def wait_until(condition: Callable[[], object], what: str, timeout_s: float = 120, pause_s: float = 0.05) -> None:
    """Return once the condition holds. Raises TimeoutError, which says what was waited for."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        _check(deadline, what, timeout_s)
        time.sleep(pause_s)


async def eventually(
    condition: Callable[[], object | Awaitable[object]], what: str, timeout_s: float = 120, pause_s: float = 0.02
) -> None:
    """Return once the condition, plain or async, holds; other tasks run meanwhile. Raises TimeoutError."""
    deadline = time.monotonic() + timeout_s
    while not await _value(condition):
        _check(deadline, what, timeout_s)
        await asyncio.sleep(pause_s)


async def _value(condition: Callable[[], object | Awaitable[object]]) -> object:
    found = condition()
    return await found if isawaitable(found) else found


def _check(deadline: float, what: str, timeout_s: float) -> None:
    if time.monotonic() >= deadline:
        raise TimeoutError(f"{what}: not within {timeout_s:g} s")
