"""One HTTP connection: its head, its time and its number are limited before a request reaches the app.

uvicorn's own connection collects a head of any size, waits for ever for its end, and for a reader that has stopped.
"""

import asyncio
import math
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, cast

from starlette.types import ASGIApp, Scope
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from services.gateway.api.fair_share import FairShare, NoPlace, network_of
from services.gateway.api.overload import Shedding, encoded_refusal
from services.gateway.api.problems import CONTENT_TYPE, problem_body

# Unsent bytes that may wait below a client's queue, in the kernel and in the transport. With more, a stalled client
# goes unnoticed for minutes. Bytes in flight do not count, so a connection with high latency stays fast.
UNSENT_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Bytes and fields of a request's head, and seconds: for the head, for the body, and for a reader to take more."""

    head_bytes: int
    head_fields: int
    head_seconds: float
    transfer_seconds: float


class _Refused(Exception):
    """Ends the parsing of a request."""


class LimitedConnection(HttpToolsProtocol):
    """Refuses a request whose head is too large, and ends a connection that waits for its client for too long.

    It also applies backpressure to a response as soon as the kernel takes no more bytes.
    """

    def __init__(
        self,
        *args: Any,
        limits: ConnectionLimits,
        share: "FairShare[LimitedConnection]",
        shedding: Shedding,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._shedding = shedding
        self._limits = limits
        self._share = share
        self._owner = ""
        self._refusal = (HTTPStatus.BAD_REQUEST, "this is not an HTTP request")
        # Of the current request: bytes that are not its body, and bytes of its body.
        self._framing_bytes = 0
        self._body_bytes = 0
        # When (on the loop's clock) the client must have sent its head or body, and taken more of a response.
        self._receive_by = math.inf
        self._send_by = math.inf

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=UNSENT_BYTES)
        self._receive_by = self.loop.time() + self._limits.head_seconds
        self._owner = network_of(self.client[0]) if self.client else ""
        try:
            displaced = self._share.enter(self._owner, self)
        except NoPlace:
            transport.abort()
            return
        if displaced is not None:
            displaced.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._share.leave(self._owner, self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._framing_bytes += len(data)
        if self._receive_by == math.inf:
            self._receive_by = self.loop.time() + self._limits.head_seconds
        super().data_received(data)
        # A field counts once it is complete; one without an end is found here. Chunks of a body have frames, too.
        if self._framing_bytes > self._limits.head_bytes + self._body_bytes and not self.transport.is_closing():
            self._refuse_head()
            self.send_400_response("")

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        if len(self.headers) > self._limits.head_fields:
            self._refuse_head()
            raise _Refused

    def on_headers_complete(self) -> None:
        size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if size > self._limits.head_bytes:
            self._refuse_head()
            raise _Refused
        self._receive_by = self.loop.time() + self._limits.transfer_seconds
        super().on_headers_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """Start the request, or refuse it here: at several times the capacity, refusals must cost next to nothing."""
        scope = cast(Scope, cycle.scope)
        if self._refuses_early(cycle) and not self._shedding.let_in(scope):
            self.transport.write(encoded_refusal(scope["headers"]))
            cycle.response_started = cycle.response_complete = True
            cycle.on_response()
            return
        super()._start_asgi_task(cycle, cast(ASGI3Application, self._shedding.runs_counted(cast(ASGIApp, app), scope)))

    def _refuses_early(self, cycle: RequestResponseCycle) -> bool:
        """Not where more than a response is to be done: the app refuses such a request."""
        return cycle.keep_alive and not (self.pipeline or self.flow.write_paused)

    def on_body(self, body: bytes) -> None:
        self._framing_bytes -= len(body)
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._framing_bytes = self._body_bytes = 0
        self._receive_by = math.inf
        super().on_message_complete()

    def pause_writing(self) -> None:
        self._send_by = self.loop.time() + self._limits.transfer_seconds
        super().pause_writing()

    def resume_writing(self) -> None:
        self._send_by = math.inf
        super().resume_writing()

    def end_if_overdue(self, now: float) -> None:
        """End the connection if the client has taken too long. `now` is on the loop's clock."""
        if now > self._send_by:
            self.transport.abort()
        elif now > self._receive_by and not self.transport.is_closing():
            self._refusal = (HTTPStatus.REQUEST_TIMEOUT, "the request did not arrive in time")
            self.send_400_response("")

    def _answers_another_request(self) -> bool:
        cycle = self.cycle
        return cycle is not None and not cycle.response_complete and (cycle.response_started or not cycle.more_body)

    def _refuse_head(self) -> None:
        limits = self._limits
        self._refusal = (
            HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
            f"the request's head is larger than {limits.head_bytes:,} bytes or {limits.head_fields} fields",
        )

    def send_400_response(self, msg: str) -> None:
        """Refuse the request with a problem document, unless a response is under way, and close."""
        if self._answers_another_request():
            self.transport.abort()
            return
        status, detail = self._refusal
        body = problem_body(status, detail)
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: {CONTENT_TYPE}\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()
