"""A connection whose client takes nothing of a response is ended."""

import asyncio
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from services.gateway.api.connection import ConnectionLimits, LimitedConnection
from services.gateway.api.fair_share import FairShare


class Transport(asyncio.Transport):
    """Keeps whether it was aborted."""

    aborted = False

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("192.0.2.1", 5000) if name == "peername" else default

    def abort(self) -> None:
        self.aborted = True


async def app(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("no request was sent")


async def test_a_reader_that_stops_loses_its_connection() -> None:
    limits = ConnectionLimits(head_bytes=100, head_fields=10, head_seconds=10, transfer_seconds=30)
    share: FairShare[LimitedConnection] = FairShare(1)
    connection = LimitedConnection(
        config=uvicorn.Config(app, log_config=None),
        server_state=ServerState(),
        app_state={},
        limits=limits,
        share=share,
    )
    transport, now = Transport(), asyncio.get_running_loop().time()
    connection.connection_made(transport)
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
