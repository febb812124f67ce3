"""Background tasks that repeat until they are cancelled."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import TypeVar, cast

logger = logging.getLogger(__name__)

Result = TypeVar("Result")
Action = Callable[[], Awaitable[None]]


@asynccontextmanager
async def run_periodically(schedule: Iterable[tuple[Action, float]]) -> AsyncIterator[None]:
    """Run each action at its interval (seconds, from the end of one run to the next) until the block is left."""
    tasks = [asyncio.create_task(repeat(action, seconds)) for action, seconds in schedule]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def in_daemon_thread(call: Callable[[], Result]) -> Result:
    """The result of a blocking call, or what it raises. A call that hangs does not delay the end of the process."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Result] = loop.create_future()

    def settle(result: Result | None, error: Exception | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(cast(Result, result))

    def run() -> None:
        result, error = None, None
        try:
            result = call()
        except Exception as raised:
            error = raised
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, name="call", daemon=True).start()
    return await future


async def repeat(action: Action, seconds: float) -> None:
    """Run the action every `seconds` until cancelled. An error is logged and does not end the repetition."""
    while True:
        try:
            await action()
        except Exception:
            name = getattr(action, "__qualname__", str(action))
            logger.exception("%s failed", name, extra={"task": name})
        if _cancelled():
            return
        await asyncio.sleep(seconds)


def _cancelled() -> bool:
    # A client library may turn the cancellation it was awaiting under into an error of its own.
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
