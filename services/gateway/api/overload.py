"""Sheds load: requests for recommendations beyond what is answered soon get 503 at once, not a place in a queue.

A short queue is normal, and so is a long one behind a pause. A queue that stands although answers flow does not shrink
by waiting: from then on only so many requests are in flight, until none was refused for a second (the idea of Nichols
and Jacobson, "Controlling Queue Delay", 2012).
"""

import math
import re
import time
from collections.abc import Callable
from functools import cache
from http import HTTPStatus
from typing import NamedTuple

from prometheus_client import Histogram
from starlette.types import ASGIApp, Receive, Scope, Send

from services.common.metrics import GATEWAY_REQUEST_SECONDS, GATEWAY_SHED
from services.common.request_id import HEADER, new_request_id, valid_request_id
from services.gateway.api.problems import CONTENT_TYPE, problem_body
from services.gateway.api.security_headers import NOT_STORED, RawHeaders, security_headers

_PATIENCE_S = 0.5  # so long a queue may stand: longer than the pause of a model that takes over, or of a collector
_RECOVERY_S = 1.0  # so long nothing must be refused until a queue may stand again
_PAUSE_S = 0.03  # without an answer for so long, the recommender pauses
_BURST = 3  # times the limit: the most in flight while answers flow
_LONGEST_BURST = 8  # times the limit: behind a pause, and never more
_DETAIL = "more recommendations are asked for than can be computed"
_ADMITTED = "tillstream.admitted"


class ShedRoute(NamedTuple):
    """A route whose requests are shed. They are refused before routing; `path` is what metrics name them by."""

    path: str
    pattern: re.Pattern[bytes]


def _route(path: str) -> ShedRoute:
    return ShedRoute(path, re.compile(re.sub(r"\{\w+\}", "[^/]+", path).encode()))


SHED_ROUTES = (_route("/v1/users/{user_id}/recommendations"), _route("/v1/products/{product_id}/similar"))
_LAST_SEGMENTS = tuple(route.path.rpartition("}")[2].encode() for route in SHED_ROUTES)


class StandingQueue:
    """Decides which requests are let in. Pure."""

    def __init__(self, in_flight: int, clock: Callable[[], float] = time.monotonic) -> None:
        """`in_flight`: requests that a queue which stands is cut to."""
        self._limit = in_flight
        self._clock = clock
        self._now = 0
        self._standing_since: float | None = None
        self._refused_at = -math.inf
        self._left_at = -math.inf
        self._behind_pause = False

    def enter(self, *, may_stand: bool = False) -> bool:
        """Whether the request is let in; if so, `leave` follows. `may_stand`: the queue is no sign of load."""
        if self._now < self._limit:
            self._now += 1
            return True
        now = self._clock()
        if self._now >= self._most(now, may_stand) or (not may_stand and self._too_long(now)):
            self._refused_at = now
            return False
        self._now += 1
        return True

    def leave(self) -> None:
        """A request that was let in has ended."""
        self._now -= 1
        if self._now < self._limit:
            self._standing_since, self._behind_pause = None, False
            self._left_at = -math.inf
            return
        now = self._clock()
        self._behind_pause = self._behind_pause or self._pauses(now)
        self._left_at = now

    def _most(self, now: float, may_stand: bool) -> int:
        longest = may_stand or self._behind_pause or self._pauses(now)
        return (_LONGEST_BURST if longest else _BURST) * self._limit

    def _pauses(self, now: float) -> bool:
        """Whether nothing was answered for a while, since the queue reached the limit."""
        since = max(self._left_at, self._standing_since or -math.inf)
        return since > -math.inf and now - since >= _PAUSE_S

    def _too_long(self, now: float) -> bool:
        if self._standing_since is None:
            self._standing_since = now
        return now - self._refused_at < _RECOVERY_S or now - self._standing_since >= _PATIENCE_S


class Shedding:
    """Lets requests in, by their path. While the recommender does not answer, only the longest burst bounds them."""

    def __init__(self, in_flight: int, answering: Callable[[], bool]) -> None:
        """`answering`: whether the recommender answers."""
        self._queue = StandingQueue(in_flight)
        self._answering = answering

    def let_in(self, scope: Scope) -> bool:
        """Whether the request may go on; if so, `runs_counted` runs it. One that was let in is not counted again."""
        route = None if _ADMITTED in scope else _shed_route(scope)
        if route is None:
            return True
        if self._queue.enter(may_stand=not self._answering()):
            scope[_ADMITTED] = True
            return True
        GATEWAY_SHED.inc()
        _refusals(route.path).observe(0.0)
        return False

    def runs_counted(self, app: ASGIApp, scope: Scope) -> ASGIApp:
        """The app for a request that was let in: its end is noted."""
        if _ADMITTED not in scope:
            return app

        async def counted(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await app(scope, receive, send)
            finally:
                self._queue.leave()

        return counted


class SheddingMiddleware:
    """The outermost ASGI middleware: a refusal costs no other layer. LimitedConnection refuses even before it."""

    def __init__(self, app: ASGIApp, shedding: Shedding) -> None:
        self._app = app
        self._shedding = shedding

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or _ADMITTED in scope:
            await self._app(scope, receive, send)
        elif self._shedding.let_in(scope):
            await self._shedding.runs_counted(self._app, scope)(scope, receive, send)
        else:
            headers = refusal_headers(scope["headers"])
            await send({"type": "http.response.start", "status": HTTPStatus.SERVICE_UNAVAILABLE, "headers": headers})
            await send({"type": "http.response.body", "body": REFUSAL})


REFUSAL = problem_body(HTTPStatus.SERVICE_UNAVAILABLE, _DETAIL)
_REFUSAL_HEADERS = [
    (b"content-length", b"%d" % len(REFUSAL)),
    (b"content-type", CONTENT_TYPE.encode()),
    (b"retry-after", b"1"),
    NOT_STORED,
    *security_headers(),
]
_ENCODED_HEADERS = b"".join(b"%s: %s\r\n" % header for header in _REFUSAL_HEADERS)
_HEADER = HEADER.encode()


def refusal_headers(headers: RawHeaders) -> list[tuple[bytes, bytes]]:
    """The headers of a refusal, with the request's id."""
    return [*_REFUSAL_HEADERS, (_HEADER, _request_id(headers))]


def encoded_refusal(headers: RawHeaders) -> bytes:
    """A refusal as HTTP/1.1, for a connection that stays open."""
    return b"HTTP/1.1 503 Service Unavailable\r\n%s%s: %s\r\n\r\n%s" % (
        _ENCODED_HEADERS,
        _HEADER,
        _request_id(headers),
        REFUSAL,
    )


def _request_id(headers: RawHeaders) -> bytes:
    sent = next((value.decode("latin-1") for name, value in headers if name == _HEADER), None)
    return (valid_request_id(sent) or new_request_id()).encode()


@cache
def _refusals(path: str) -> Histogram:
    """Looked up once: that takes longer than observing."""
    return GATEWAY_REQUEST_SECONDS.labels("GET", path, str(HTTPStatus.SERVICE_UNAVAILABLE.value))


def _shed_route(scope: Scope) -> ShedRoute | None:
    path: bytes = scope.get("raw_path") or scope["path"].encode()
    if scope["method"] != "GET" or not path.endswith(_LAST_SEGMENTS):
        return None
    return next((route for route in SHED_ROUTES if route.pattern.fullmatch(path)), None)
