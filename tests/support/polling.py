"""Waiting for what another process, thread or task brings about."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from inspect import isawaitable

REST = 3
"""A pause is at least so many times the CPU time of the check: the processes waited for need the same cores."""
LONGEST_S = 1.0


def wait_until(condition: Callable[[], object], what: str, timeout_s: float = 120, pause_s: float = 0.05) -> None:
    """Return once the condition holds. Raises TimeoutError, which says what was waited for."""
    deadline = time.monotonic() + timeout_s
    began = time.thread_time()
    while not condition():
        _check(deadline, what, timeout_s)
        time.sleep(_pause(pause_s, time.thread_time() - began))
        began = time.thread_time()


async def eventually(
    condition: Callable[[], object | Awaitable[object]], what: str, timeout_s: float = 120, pause_s: float = 0.02
) -> None:
    """Return once the condition, plain or async, holds; other tasks run meanwhile. Raises TimeoutError."""
    deadline = time.monotonic() + timeout_s
    began = time.thread_time()
    while not await _value(condition):
        _check(deadline, what, timeout_s)
        await asyncio.sleep(_pause(pause_s, time.thread_time() - began))
        began = time.thread_time()


async def _value(condition: Callable[[], object | Awaitable[object]]) -> object:
    found = condition()
    return await found if isawaitable(found) else found


def _check(deadline: float, what: str, timeout_s: float) -> None:
    if time.monotonic() >= deadline:
        raise TimeoutError(f"{what}: not within {timeout_s:g} s")


def _pause(least_s: float, check_s: float) -> float:
    return max(least_s, min(REST * check_s, LONGEST_S))
