"""`python -m services.gateway`: serve until SIGTERM or SIGINT."""

import asyncio
import errno
import gc
import logging
import resource
import signal
import socket
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import uvicorn
import uvloop
from fastapi import FastAPI

from services.common.entrypoint import WRONG_SETTINGS, refuse, run_service
from services.common.telemetry import PortInUse
from services.common.tls import server_context
from services.gateway.access.keys import BadKeys, read_keys
from services.gateway.api.connection import UNSENT_BYTES, ConnectionLimits, LimitedConnection
from services.gateway.api.fair_share import FairShare
from services.gateway.api.overload import Shedding
from services.gateway.api.tls_connection import TlsConnection
from services.gateway.app import create_app
from services.gateway.dependencies import Dependencies
from services.gateway.hooks.intake import hook_secrets
from services.gateway.hooks.secrets import BadSecrets
from services.gateway.settings import GatewaySettings

logger = logging.getLogger("services.gateway")  # under `python -m`, __name__ is __main__

_FINISH_SECONDS = 5  # for requests under way once no more are taken
# The kernel's send buffer for a client that reads slowly. Without a limit it grows to megabytes per client.
_SEND_BUFFER_BYTES = 128 * 1024
# The kernel closes a connection whose peer acknowledges nothing for so long. The stream drops it earlier.
_UNACKNOWLEDGED_MS = 60_000
# Files and sockets of the process that are no client's connection.
_OTHER_FILES = 128
_TICKS_PER_SECOND = 10  # of uvicorn


def main() -> int:
    """The exit code: 0 after a signal, 2 where the settings are invalid or the port is in use."""
    return run_service("gateway", GatewaySettings, _run)


def _run(settings: GatewaySettings) -> int:
    # aiokafka logs every failed attempt to connect. OffsetPoller logs the outage once, and /v1/system shows it.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        if settings.api_keys_file is not None:
            read_keys(settings.api_keys_file)
        hook_secrets(settings)
        listener = listen(settings.host, settings.gateway_port)
    except (OSError, BadKeys, BadSecrets) as error:
        return refuse("gateway", WRONG_SETTINGS, str(error))
    scheme = "https" if settings.gateway_files else "http"
    logger.info("serving %s://%s:%d", scheme, settings.host, settings.gateway_port)
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
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
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
        http=_protocol(settings, app.state.shedding),  # type: ignore[arg-type]  # uvicorn calls it as the class
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.gateway_proxies),
        forwarded_allow_ips=list(settings.gateway_proxies),
        timeout_graceful_shutdown=_FINISH_SECONDS,
    )
    await _Server(config, app, settings.drain_seconds).serve([listener])


def _protocol(settings: GatewaySettings, shedding: Shedding) -> Callable[..., asyncio.BaseProtocol]:
    """Makes the protocol of a connection from uvicorn's arguments: HTTP within our limits, behind TLS if it is set."""
    places = _max_connections(settings)
    http = partial(LimitedConnection, limits=_limits(settings), share=FairShare(places), shedding=shedding)
    if not settings.gateway_files:
        return http
    context, handshakes = server_context(settings.gateway_files), FairShare[TlsConnection](places)

    def behind_tls(**given: Any) -> TlsConnection:
        return TlsConnection(http(**given), context, settings.head_seconds, handshakes)

    return behind_tls


def _limits(settings: GatewaySettings) -> ConnectionLimits:
    return ConnectionLimits(
        head_bytes=settings.max_head_bytes,
        head_fields=settings.max_head_fields,
        head_seconds=settings.head_seconds,
        transfer_seconds=settings.transfer_seconds,
    )


def _max_connections(settings: GatewaySettings) -> int:
    """As configured, or what the process may open: a failing accept would shut everybody out."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard == resource.RLIM_INFINITY:
        return settings.max_connections
    kinds = 2 if settings.gateway_files else 1  # handshakes have as many places again
    return max(1, min(settings.max_connections, (hard - _OTHER_FILES) // kinds))


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
        now = asyncio.get_running_loop().time()
        if counter % _TICKS_PER_SECOND == 0:
            for connection in list(self.server_state.connections):
                if isinstance(connection, LimitedConnection):
                    connection.end_if_overdue(now)
        if not await super().on_tick(counter):
            return False
        if self._drained_at is None:
            self._dependencies.health.drain()
            self._drained_at = now + self._drain_seconds
        return self.force_exit or now >= self._drained_at

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._dependencies.stream_hub.close()
        await super().shutdown(sockets)


if __name__ == "__main__":
    sys.exit(main())
