"""A read that all who ask for it meanwhile share."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Generic, TypeVar

Result = TypeVar("Result")


class SharedRead(Generic[Result]):
    """Begins at once. It ends early when the last of its readers has left: then nobody wants its result."""

    def __init__(self, work: Coroutine[Any, Any, Result]) -> None:
        self._task = asyncio.create_task(work)
        self._readers = 0
        self._abandoned = False

    @property
    def under_way(self) -> bool:
        """Whether it is still reading or waiting for its turn."""
        return not self._task.done() and not self._abandoned

    @property
    def failed(self) -> bool:
        """Whether it will give no result: ask for another one."""
        return self._abandoned or (self._task.done() and (self._task.cancelled() or self._task.exception() is not None))

    async def result(self) -> Result:
        """The result. A reader that leaves does not disturb the others."""
        self._readers += 1
        try:
            return await asyncio.shield(self._task)
        finally:
            self._readers -= 1
            if not self._readers and not self._task.done():
                self._abandoned = True
                self._task.cancel()
