"""Background tasks repeat, outlive their errors, and end when they are cancelled."""

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable

import pytest

from services.common.tasks import in_daemon_thread, repeat, run_periodically


def counted(runs: list[int], wanted: int) -> tuple[Callable[[], Awaitable[None]], asyncio.Event]:
    """An action that counts its runs, and the event that it sets at the wanted one."""
    reached = asyncio.Event()

    async def action() -> None:
        runs.append(len(runs))
        if len(runs) == wanted:
            reached.set()

    return action, reached


async def test_actions_run_side_by_side_until_the_block_is_left() -> None:
    first_runs: list[int] = []
    second_runs: list[int] = []
    first, first_reached = counted(first_runs, 3)
    second, second_reached = counted(second_runs, 1)
    async with asyncio.timeout(60), run_periodically([(first, 0.001), (second, 60.0)]):
        await first_reached.wait()
        await second_reached.wait()
    runs = len(first_runs)
    assert len(second_runs) == 1, "it waits for its interval"
    await asyncio.sleep(0.02)
    assert len(first_runs) == runs, "it ended with the block"


async def test_an_error_is_logged_and_the_action_runs_again(caplog: pytest.LogCaptureFixture) -> None:
    runs: list[int] = []
    count, reached = counted(runs, 2)

    async def failing() -> None:
        await count()
        raise ValueError("no answer")

    with caplog.at_level(logging.ERROR):
        async with asyncio.timeout(60), run_periodically([(failing, 0.001)]):
            await reached.wait()
    assert "failing failed" in caplog.text
    assert "no answer" in caplog.text


async def test_a_cancellation_that_the_action_turns_into_an_error_still_ends_the_repetition() -> None:
    begun = asyncio.Event()

    async def swallowing() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ConnectionError("cut off") from None

    task = asyncio.create_task(repeat(swallowing, 0.001))
    await begun.wait()
    task.cancel()
    done, _ = await asyncio.wait({task}, timeout=60)
    assert done == {task}


async def test_a_blocking_call_gives_its_result_or_its_error() -> None:
    def failing() -> int:
        raise KeyError("gone")

    assert await in_daemon_thread(lambda: 42) == 42
    with pytest.raises(KeyError, match="gone"):
        await in_daemon_thread(failing)


async def test_a_blocking_call_that_hangs_can_be_given_up() -> None:
    released = threading.Event()
    waiting = asyncio.create_task(in_daemon_thread(released.wait))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    released.set()
