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

logger = logging.getLogger("services.gateway")  # under `python -m`, __name__ is __main__

_FINISH_SECONDS = 5  # for requests under way once no more are taken
# The kernel's send buffer for a client that reads slowly. Without a limit it grows to megabytes per client.
_SEND_BUFFER_BYTES = 128 * 1024
# Unsent bytes that may wait below a client's queue, in the kernel and in the transport. With more, a stalled client
# goes unnoticed for minutes. Bytes in flight do not count, so a connection with high latency stays fast.
_UNSENT_BYTES = 16 * 1024
# The kernel closes a connection whose peer acknowledges nothing for so long. The stream drops it earlier.
_UNACKNOWLEDGED_MS = 60_000


def main() -> int:
    """The exit code: 0 after a signal, 2 where the settings are invalid or the port is in use."""
    return run_service("gateway", GatewaySettings, _run)


def _run(settings: GatewaySettings) -> int:
    # aiokafka logs every failed attempt to connect. OffsetPoller logs the outage once, and /v1/system shows it.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        listener = listen(settings.host, settings.gateway_port)
    except OSError as error:
        return refuse("gateway", WRONG_SETTINGS, str(error))
    logger.info("serving http://%s:%d", settings.host, settings.gateway_port)
    for caught in (signal.SIGTERM, signal.SIGINT):
        # uvicorn stops on these signals and then raises them again. By then all is closed, so they are ignored.
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
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNACKNOWLEDGED_MS)
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
        timeout_graceful_shutdown=_FINISH_SECONDS,
    )
    await _Server(config, app, settings.drain_seconds).serve([listener])


class _Connection(HttpToolsProtocol):
    """Applies backpressure to a response as soon as the kernel takes no more bytes."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=_UNSENT_BYTES)


class _Server(uvicorn.Server):
    """Serves for a while after the signal to stop, then ends the open streams, and stops.

    uvicorn waits for the streams, and they have no end of their own. Until they end, other replicas take what is new;
    so a page that reconnects does not come back here.
    """

    def __init__(self, config: uvicorn.Config, app: FastAPI, drain_seconds: float) -> None:
        super().__init__(config)
        self._gateway = app
        self._drain_seconds = drain_seconds
        self._drained_at: float | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        # A full collection walks every object and blocks the event loop: 250 ms with a thousand open streams. Objects
        # from the start are permanent, so they are frozen; those of requests die in the young generations.
        gc.collect()
        gc.freeze()
        gc.set_threshold(20_000, 20, 50)

    @property
    def _dependencies(self) -> Dependencies:
        dependencies: Dependencies = self._gateway.state.dependencies
        return dependencies

    async def on_tick(self, counter: int) -> bool:
        """Whether to stop now; asked ten times a second."""
        if not await super().on_tick(counter):
            return False
        now = asyncio.get_running_loop().time()
        if self._drained_at is None:
            self._dependencies.health.drain()
            self._drained_at = now + self._drain_seconds
        return self.force_exit or now >= self._drained_at

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._dependencies.stream_hub.close()
        await super().shutdown(sockets)


if __name__ == "__main__":
    sys.exit(main())
