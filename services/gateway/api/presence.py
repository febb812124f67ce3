"""Expensive work: for a client that is still there, and only so much at the same time."""

import asyncio
from collections.abc import Coroutine
from http import HTTPStatus
from typing import Any, TypeVar

from fastapi import Request
from starlette.requests import ClientDisconnect

from services.gateway.api.problems import Problem

Result = TypeVar("Result")


def busy(detail: str) -> Problem:
    """A 503 problem: the client may ask again in a second."""
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, {"Retry-After": "1"})


async def while_present(request: Request, work: Coroutine[Any, Any, Result], seconds: float = 10.0) -> Result:
    """The result of the work, which ends when the client disconnects or the time is over.

    Call it once the request's body is read. Raises ClientDisconnect, or Problem 503.
    """
    working, leaving = asyncio.create_task(work), asyncio.create_task(_disconnected(request))
    try:
        await asyncio.wait((working, leaving), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        if leaving.done():
            leaving.result()  # raises where more of a body came than is allowed
            raise ClientDisconnect
        raise busy(f"this took longer than {seconds:g} s")
    finally:
        working.cancel()
        leaving.cancel()


class Turnstile:
    """Lets so many through at the same time, in order; so many more may wait. Others get Problem 503."""

    def __init__(self, at_once: int, waiting: int, detail: str) -> None:
        self._turn = asyncio.Semaphore(at_once)
        self._places = at_once + waiting
        self._detail = detail

    async def __aenter__(self) -> None:
        if not self._places:
            raise busy(self._detail)
        self._places -= 1
        try:
            await self._turn.acquire()
        except BaseException:
            self._places += 1
            raise

    async def __aexit__(self, *_: object) -> None:
        self._turn.release()
        self._places += 1


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
