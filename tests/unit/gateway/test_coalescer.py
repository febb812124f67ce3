"""An action that runs soon after it was asked for, and not too often."""

import asyncio
from contextlib import suppress

import pytest

from services.gateway.stream.coalescer import Coalescer


class Action:
    """Counts its runs; each takes so many seconds of the clock."""

    def __init__(self, takes_s: float = 0.0) -> None:
        self.now = 100.0
        self.runs = 0
        self.takes_s = takes_s
        self.coalescer = Coalescer(self.run, lambda: 0.1, lambda: self.now)

    async def run(self) -> None:
        self.runs += 1
        self.now += self.takes_s


async def test_what_is_asked_meanwhile_is_one_run() -> None:
    action = Action()
    for _ in range(5):
        action.coalescer.ask()
    await action.coalescer.step()
    assert action.runs == 1
    action.now += 100.0
    waiting = asyncio.create_task(action.coalescer.step())
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done(), "nothing was asked since"
    waiting.cancel()
    with suppress(asyncio.CancelledError):
        await waiting


async def test_what_is_asked_during_a_run_is_another_one() -> None:
    action = Action()

    async def asking() -> None:
        action.runs += 1
        coalescer.ask()
        action.now += 1.0

    coalescer = Coalescer(asking, lambda: 0.1, lambda: action.now)
    coalescer.ask()
    await coalescer.step()
    action.now += 100.0
    async with asyncio.timeout(60):
        await coalescer.step()
    assert action.runs == 2


@pytest.mark.parametrize(("takes_s", "due_in_s"), [(0.0, 0.1), (0.005, 0.095), (0.05, 0.45)])
async def test_the_next_run_waits_for_the_interval_and_for_ten_times_the_last_one(
    takes_s: float, due_in_s: float
) -> None:
    action = Action(takes_s)
    assert action.coalescer.due_in() == 0
    action.coalescer.ask()
    await action.coalescer.step()
    assert action.coalescer.due_in() == pytest.approx(due_in_s)
    action.now += 10
    assert action.coalescer.due_in() == 0


async def test_a_run_that_fails_is_not_repeated_at_once() -> None:
    now = 100.0

    async def failing() -> None:
        raise OSError("made to fail")

    coalescer = Coalescer(failing, lambda: 0.1, lambda: now)
    coalescer.ask()
    with pytest.raises(OSError, match="made to fail"):
        await coalescer.step()
    assert coalescer.due_in() == pytest.approx(0.1)
