"""One connection: a client that takes nothing of a response, and requests that are refused under load."""

import asyncio
import json
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from services.gateway.api.connection import ConnectionLimits, LimitedConnection
from services.gateway.api.fair_share import FairShare
from services.gateway.api.overload import REFUSAL, Shedding, SheddingMiddleware
from tests.support.metrics import growth

LIMITS = ConnectionLimits(head_bytes=200, head_fields=10, head_seconds=10, transfer_seconds=30)
ASKED = b"GET /v1/users/42/recommendations HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: till-7\r\n"
BURST = 3


class Transport(asyncio.Transport):
    """Keeps what was written, and whether it was aborted."""

    aborted = False

    def __init__(self) -> None:
        super().__init__()
        self.written = b""

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("192.0.2.1", 5000) if name == "peername" else default

    def write(self, data: Any) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def abort(self) -> None:
        self.aborted = True

    def close(self) -> None:
        pass


async def unreached(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("no request was sent")


def connected(
    app: Any, shedding: Shedding, share: "FairShare[LimitedConnection] | None" = None
) -> tuple[LimitedConnection, Transport]:
    connection = LimitedConnection(
        config=uvicorn.Config(app, log_config=None, lifespan="off"),
        server_state=ServerState(),
        app_state={},
        limits=LIMITS,
        share=FairShare(100) if share is None else share,
        shedding=shedding,
    )
    transport = Transport()
    connection.connection_made(transport)
    return connection, transport


async def test_a_reader_that_stops_loses_its_connection() -> None:
    share: FairShare[LimitedConnection] = FairShare(1)
    connection, transport = connected(unreached, Shedding(1, lambda: True), share)
    now = asyncio.get_running_loop().time()
    assert len(share) == 1
    connection.pause_writing()
    connection.resume_writing()
    connection.pause_writing()
    connection.end_if_overdue(now + 9)
    assert not transport.aborted
    connection.end_if_overdue(now + 40)
    assert transport.aborted
    connection.connection_lost(ConnectionAbortedError())
    assert len(share) == 0


class Shop:
    """An app that answers once `open` is set. It has `seen` so many requests."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.seen = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.seen += 1
        await self.open.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"{}"})


async def answered(transport: Transport, count: int) -> None:
    async with asyncio.timeout(60):
        while transport.written.count(b"HTTP/1.1 200") < count:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_beyond_the_burst_the_connection_itself_refuses_and_stays_open() -> None:
    shop, shedding = Shop(), Shedding(1, lambda: True)
    shed = growth("gateway_shed_total")
    busy = [connected(shop, shedding) for _ in range(BURST)]
    for connection, _ in busy:
        connection.data_received(ASKED + b"\r\n")
    refused, transport = connected(shop, shedding)
    refused.data_received(ASKED + b"\r\n")
    head, _, body = transport.written.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"HTTP/1.1 503 Service Unavailable"
    assert {b"retry-after: 1", b"x-request-id: till-7", b"content-length: %d" % len(body)} <= set(lines)
    assert b"cache-control: private, no-store" in lines
    assert json.loads(body)["status"] == 503
    shop.open.set()
    for _, its_transport in busy:
        await answered(its_transport, 1)
    assert shop.seen == BURST
    refused.data_received(ASKED + b"\r\n")
    await answered(transport, 1)
    assert shed() == 1


async def test_a_connection_that_ends_with_its_request_is_refused_by_the_app() -> None:
    shop, shedding = Shop(), Shedding(1, lambda: True)
    shop.open.set()
    while shedding.let_in({"type": "http", "method": "GET", "path": "/v1/users/1/recommendations"}):
        pass
    connection, transport = connected(SheddingMiddleware(shop, shedding), shedding)
    connection.data_received(ASKED + b"Connection: close\r\n\r\n")
    async with asyncio.timeout(60):
        while REFUSAL not in transport.written:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert b"HTTP/1.1 503" in transport.written
    assert b"connection: close" in transport.written
    assert shop.seen == 0


async def test_pipelined_requests_are_answered_in_order_whoever_refuses_them() -> None:
    shop, shedding = Shop(), Shedding(1, lambda: True)
    refusing = SheddingMiddleware(shop, shedding)
    connection, transport = connected(refusing, shedding)
    connection.data_received((ASKED + b"\r\n") * 20)
    assert transport.written == b""
    shop.open.set()
    await answered(transport, 20)
    assert shop.seen == 20
