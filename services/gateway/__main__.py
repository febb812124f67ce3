"""`python -m services.gateway`: serve until SIGTERM or SIGINT."""

import asyncio
import errno
import gc
import logging
import signal
import socket
import sys

import uvicorn
import uvloop
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from services.common.entrypoint import WRONG_SETTINGS, refuse, run_service
from services.common.telemetry import PortInUse
from services.gateway.app import create_app
from services.gateway.dependencies import Dependencies
from services.gateway.settings import GatewaySettings

logger = logging.getLogger(__name__)

_DRAIN_SECONDS = 5
# What the kernel may hold for a client that reads slowly; left to itself it takes megabytes for each.
_SEND_BUFFER_BYTES = 128 * 1024
# What may wait below the queue of a client whose connection takes nothing: in the kernel, and in the transport. With
# more it would go unnoticed for minutes. Bytes that are on their way do not count, so a long line stays fast.
_UNSENT_BYTES = 16 * 1024
# A client that takes no bytes for so long is cut off by the kernel. The stream drops it sooner, with a reason.
_UNTAKEN_BYTES_MS = 60_000


def main() -> int:
    """The exit code: 0 after a signal, 2 where the settings do not let the gateway start."""
    return run_service("gateway", GatewaySettings, _run)


def _run(settings: GatewaySettings) -> int:
    # It repeats every failed attempt to connect; the readiness of Kafka is told once, by /v1/system.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        listener = listen(settings.host, settings.gateway_port)
    except OSError as error:
        return refuse("gateway", WRONG_SETTINGS, str(error))
    logger.info("serving http://%s:%d", settings.host, settings.gateway_port)
    for caught in (signal.SIGTERM, signal.SIGINT):
        # uvicorn stops on them, then raises them once more: by then the work is done and the exit is clean.
        signal.signal(caught, lambda *_: None)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(settings, listener))
    return 0


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises PortInUse."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNTAKEN_BYTES_MS)
    try:
        listener.bind((host, port))
        listener.listen(1024)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise PortInUse(host, port, "TILLSTREAM_GATEWAY_PORT") from None
        raise
    return listener


async def _serve(settings: GatewaySettings, listener: socket.socket) -> None:
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        http=_Connection,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_DRAIN_SECONDS,
    )
    await _Server(config, app).serve([listener])


class _Connection(HttpToolsProtocol):
    """Tells a response to wait as soon as the kernel takes no more of it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=_UNSENT_BYTES)


class _Server(uvicorn.Server):
    """Ends the open streams first: uvicorn waits for them, and they would not end by themselves."""

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self._gateway = app

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        # A full collection walks every object and holds the event loop meanwhile: 250 ms with a thousand open streams.
        # What is there from the start stays, so it is left out; what comes and goes with requests is collected young.
        gc.collect()
        gc.freeze()
        gc.set_threshold(20_000, 20, 50)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        dependencies: Dependencies = self._gateway.state.dependencies
        dependencies.stream_hub.close()
        await super().shutdown(sockets)


if __name__ == "__main__":
    sys.exit(main())
