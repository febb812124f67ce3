"""The outermost ASGI layer: undecoded paths, hosts, security headers, body limit, latency, request ids, errors."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from http import HTTPMethod, HTTPStatus
from typing import Any

from prometheus_client import Histogram
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.common import tracing
from services.common.metrics import GATEWAY_REQUEST_SECONDS
from services.common.request_id import HEADER, REQUEST_ID, new_request_id, valid_request_id
from services.common.tracing import NOT_RECORDED, Span
from services.gateway.api.hosts import AllowedHosts
from services.gateway.api.problems import Problem, problem_response
from services.gateway.api.security_headers import NOT_STORED, RawHeaders, security_headers

logger = logging.getLogger(__name__)

# Of requests that are counted by their method; whatever else a client sends is one label.
_METHODS = frozenset(HTTPMethod)
_HEADER = HEADER.encode()

# For a year a browser that came by HTTPS asks by nothing else.
_HTTPS_ONLY = (b"strict-transport-security", b"max-age=31536000")


@cache
def request_seconds(method: str, route: str, status: int) -> Histogram:
    """Looked up once: that takes longer than observing."""
    return GATEWAY_REQUEST_SECONDS.labels(method, route, str(status))


class GatewayMiddleware:
    """ASGI middleware around the whole app. Renders every error as a problem document."""

    def __init__(
        self,
        app: ASGIApp,
        hosts: AllowedHosts,
        max_body_bytes: int,
        draining: Callable[[], bool] = lambda: False,
        image_hosts: Sequence[str] = (),
    ) -> None:
        """`draining`: whether connections should end with their current response. `image_hosts`: origins of images."""
        self._app = app
        self._headers = security_headers(image_hosts)
        self._hosts = hosts
        self._max_body_bytes = max_body_bytes
        self._draining = draining

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        _route_undecoded(scope)
        REQUEST_ID.set(valid_request_id(Headers(scope=scope).get(HEADER)) or new_request_id())
        with _begin_trace(scope) as span:
            exchange = _Exchange(
                scope, receive, send, span, self._max_body_bytes, draining=self._draining, headers=self._headers
            )
            await self._answer(scope, exchange)

    async def _answer(self, scope: Scope, exchange: "_Exchange") -> None:
        try:
            self._hosts.check(scope)
            exchange.check_length()
            await self._app(scope, exchange.receive, exchange.send)
        except ClientDisconnect:
            pass  # nobody reads a response
        except Problem as problem:
            await exchange.fail(HTTPStatus(problem.status_code), problem.detail, problem.more)
        except Exception:
            # Not its path: that may hold a customer's id.
            method, route = _method(scope), _route(scope)
            logger.exception("%s %s failed", method, route, extra={"method": method, "route": route})
            await exchange.fail(HTTPStatus.INTERNAL_SERVER_ERROR, "the gateway failed; its log says why")


def _route_undecoded(scope: Scope) -> None:
    """Route on the undecoded path, so that `%2F` in an id is no separator; params.py decodes each parameter."""
    raw_path: bytes | None = scope.get("raw_path")
    if raw_path and raw_path.startswith(b"/v1/"):
        scope["path"] = raw_path.decode("ascii", errors="replace")


def _begin_trace(scope: Scope) -> Span:
    """A client's own trace is not continued: it would decide how many requests are recorded."""
    return tracing.begin(_method(scope), "server") if scope["path"].startswith("/v1/") else NOT_RECORDED


def _method(scope: Scope) -> str:
    return scope["method"] if scope["method"] in _METHODS else "other"


def _route(scope: Scope) -> str:
    """The route's template, without the values in its path."""
    return getattr(scope.get("route"), "path", "none")


class _Exchange:
    """One request and its response. The span ends with the first byte of the response: a stream may go on for days."""

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        span: Span,
        max_body_bytes: int,
        *,
        draining: Callable[[], bool],
        headers: RawHeaders,
    ) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._span = span
        self._max_body_bytes = max_body_bytes
        self._draining = draining
        self._headers = headers
        self._received = 0
        self._started_at = time.perf_counter()
        self._response_started = False

    def check_length(self) -> None:
        """Raises Problem 413 where the announced body is too large."""
        length = Headers(scope=self._scope).get("content-length", "0")
        if length.isdecimal() and int(length) > self._max_body_bytes:
            raise self._too_large()

    async def receive(self) -> Message:
        """The next chunk of the body. Raises Problem 413 where the sum is too large."""
        message = await self._receive()
        self._received += len(message.get("body", b""))
        if self._received > self._max_body_bytes:
            raise self._too_large()
        return message

    def _too_large(self) -> Problem:
        return Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is larger than {self._max_body_bytes:,} bytes")

    async def send(self, message: Message) -> None:
        """Send the response with the security headers."""
        if message["type"] == "http.response.start":
            self._response_started = True
            headers = message["headers"] = [*message.get("headers", ()), *self._headers]
            if self._scope["scheme"] == "https":
                headers.append(_HTTPS_ONLY)
            if self._scope["path"].startswith("/v1/") and not any(name == b"cache-control" for name, _ in headers):
                headers.append(NOT_STORED)
            headers.append((_HEADER, (REQUEST_ID.get() or "").encode()))
            if self._draining():
                headers.append((b"connection", b"close"))  # the client's next request goes to another replica
            self._observe(message["status"])
        await self._send(message)

    def _observe(self, status: int) -> None:
        method, route = _method(self._scope), _route(self._scope)
        request_seconds(method, route, status).observe(time.perf_counter() - self._started_at, self._span.exemplar)
        if self._span is NOT_RECORDED:
            return
        self._span.rename(f"{method} {route}")
        self._span.set("http.request.method", method)
        self._span.set("http.route", route)
        self._span.set("http.response.status_code", status)
        self._span.set("tillstream.request_id", REQUEST_ID.get() or "")
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            self._span.fail(str(status))
        self._span.end()

    async def fail(self, status: HTTPStatus, detail: str, more: Mapping[str, Any] | None = None) -> None:
        """Respond with a problem document. Aborts the connection where the response has started."""
        if self._response_started:
            raise ConnectionAbortedError(detail)
        await problem_response(status, detail, more)(self._scope, self.receive, self.send)
