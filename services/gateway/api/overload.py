"""Sheds load: requests for recommendations beyond what is answered soon get 503 at once, not a place in a queue.

A burst may wait. A queue that stands does not shrink by waiting: from then on only so many requests are in flight,
until none was refused for a second (the idea of Nichols and Jacobson, "Controlling Queue Delay", 2012).
"""

import re
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import NamedTuple

from starlette.types import ASGIApp, Receive, Scope, Send

from services.common.metrics import GATEWAY_SHED
from services.gateway.api.problems import problem_response

_PATIENCE_S = 0.5  # so long a burst may stand: longer than the pause of a model that takes over, or of a collector
_RECOVERY_S = 1.0  # so long nothing must be refused until a burst may stand again
_BURST = 8  # times the limit: never more in flight
_DETAIL = "more recommendations are asked for than can be computed"


class ShedRoute(NamedTuple):
    """A route whose requests are shed. They are refused before routing; `path` is what metrics name them by."""

    path: str
    pattern: re.Pattern[str]


def _route(path: str) -> ShedRoute:
    return ShedRoute(path, re.compile(re.sub(r"\{\w+\}", "[^/]+", path)))


SHED_ROUTES = (_route("/v1/users/{user_id}/recommendations"), _route("/v1/products/{product_id}/similar"))


class StandingQueue:
    """Decides which requests are let in. Pure."""

    def __init__(self, in_flight: int, clock: Callable[[], float] = time.monotonic) -> None:
        """`in_flight`: requests that a queue which stands is cut to."""
        self._limit = in_flight
        self._clock = clock
        self._now = 0
        self._standing_since: float | None = None
        self._refused_at = -_RECOVERY_S

    def enter(self, *, may_stand: bool = False) -> bool:
        """Whether the request is let in; if so, `leave` follows. `may_stand`: the queue is no sign of load."""
        if self._now >= _BURST * self._limit or (not may_stand and self._now >= self._limit and self._too_long()):
            self._refused_at = self._clock()
            return False
        self._now += 1
        return True

    def leave(self) -> None:
        """A request that was let in has ended."""
        self._now -= 1
        if self._now < self._limit:
            self._standing_since = None

    def _too_long(self) -> bool:
        now = self._clock()
        if self._standing_since is None:
            self._standing_since = now
        return now - self._refused_at < _RECOVERY_S or now - self._standing_since >= _PATIENCE_S


class SheddingMiddleware:
    """ASGI middleware; within the one that adds headers and metrics.

    It stands before everything that costs time. While the recommender does not answer, requests wait for its deadline
    before they get popular products: then only the largest burst bounds them.
    """

    def __init__(self, app: ASGIApp, in_flight: int, answering: Callable[[], bool]) -> None:
        """`answering`: whether the recommender answers."""
        self._app = app
        self._answering = answering
        self._queue = StandingQueue(in_flight)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = _shed_route(scope)
        if route is None:
            await self._app(scope, receive, send)
        elif self._queue.enter(may_stand=not self._answering()):
            try:
                await self._app(scope, receive, send)
            finally:
                self._queue.leave()
        else:
            GATEWAY_SHED.inc()
            scope["route"] = route
            refusal = problem_response(HTTPStatus.SERVICE_UNAVAILABLE, _DETAIL, headers={"Retry-After": "1"})
            await refusal(scope, receive, send)


def _shed_route(scope: Scope) -> ShedRoute | None:
    if scope["type"] != "http":
        return None
    return next((route for route in SHED_ROUTES if route.pattern.fullmatch(scope["path"])), None)
