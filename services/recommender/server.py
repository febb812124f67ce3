"""The gRPC server: methods, standard health, reflection where it is wanted."""

import asyncio
import errno
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from grpc import aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from proto.tillstream.recommender.v1 import recommender_pb2_grpc
from services.common.erased import Erased
from services.common.telemetry import PortInUse
from services.common.tls import NO_TLS, TlsFiles
from services.recommender.impressions import ImpressionLog
from services.recommender.interceptors import ErrorAndMetricsInterceptor
from services.recommender.service import SERVICE_NAME, RecommenderService, clock_ms
from services.recommender.serving import Serving
from services.recommender.wire import MAX_WATCHES, BearerInterceptor, BoundedHealth, server_credentials

# For calls under way on a connection that has reached its age.
_CONNECTION_GRACE_MS = 10_000
# How often a client may ask whether a connection is alive. gRPC's default, five minutes, would end the connection.
_PING_ALLOWED_EVERY_MS = 5_000

_OPTIONS = [
    ("grpc.so_reuseport", 0),  # otherwise a second server would silently share the port
    ("grpc.max_connection_age_grace_ms", _CONNECTION_GRACE_MS),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", _PING_ALLOWED_EVERY_MS),
    ("grpc.keepalive_permit_without_calls", 1),
]

# Calls that are refused, and short ones of the health service.
_SPARE_CALLS = 64

LIVENESS = ""  # the health service's name for the process as a whole
_STATUS = health_pb2.HealthCheckResponse


@dataclass(frozen=True, slots=True)
class Wire:
    """How clients reach the server. `tls`: files, none for plaintext; `tokens`: one of them is asked for.

    `connection_s`: a connection ends after so long, without an error; its client then asks DNS for replicas.
    """

    tls: TlsFiles = NO_TLS
    tokens: Sequence[str] = ()
    connection_s: float = 60.0
    reflection: bool = False


_PLAIN = Wire()


class RecommenderServer:
    """Serves until closed.

    Its health service knows two names: "" is SERVING while the process lives; the name of our service from the first
    model on, since without one no request can be answered. A refused newer model changes nothing.
    """

    def __init__(
        self,
        serving: Callable[[], Serving],
        max_concurrent: int | None = None,
        impressions: ImpressionLog | None = None,
        *,
        clock: Callable[[], int] = clock_ms,
        wire: Wire = _PLAIN,
        erased: Callable[[], Erased | None] = lambda: None,
    ) -> None:
        """`erased`: see RecommenderService."""
        self._serving = serving
        self._wire = wire
        self._health = BoundedHealth()
        self._draining = False
        self._interceptor = ErrorAndMetricsInterceptor(SERVICE_NAME, max_concurrent)
        self._server = aio.server(
            interceptors=[*([BearerInterceptor(wire.tokens)] if wire.tokens else []), self._interceptor],
            options=[*_OPTIONS, ("grpc.max_connection_age_ms", int(wire.connection_s * 1000))],
            # Watches have places of their own: they cannot take those of answers.
            maximum_concurrent_rpcs=None if max_concurrent is None else max_concurrent + MAX_WATCHES + _SPARE_CALLS,
        )
        recommender_pb2_grpc.add_RecommenderServicer_to_server(
            RecommenderService(serving, impressions, clock, erased), self._server
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        if wire.reflection:
            names = [SERVICE_NAME, health.SERVICE_NAME, reflection.SERVICE_NAME]
            reflection.enable_server_reflection(names, self._server)

    async def start(self, host: str, port: int, setting: str = "TILLSTREAM_RECOMMENDER_PORT") -> int:
        """Listen; returns the port (a free one for port 0). Raises PortInUse."""
        _require_free(host, port, setting)
        try:
            bound = self._add_port(f"{host}:{port}")
        except RuntimeError:
            raise PortInUse(host, port, setting) from None
        await self.show_health()
        await self._server.start()
        return bound

    def _add_port(self, address: str) -> int:
        if not self._wire.tls:
            return self._server.add_insecure_port(address)
        return self._server.add_secure_port(address, server_credentials(self._wire.tls))

    async def show_health(self) -> None:
        """Update the health service by what is served now."""
        answers = self._serving().main is not None and not self._draining
        await self._health.set(LIVENESS, _STATUS.SERVING)
        await self._health.set(SERVICE_NAME, _STATUS.SERVING if answers else _STATUS.NOT_SERVING)

    async def drain(self, seconds: float) -> None:
        """Report that no more calls should come, and answer those that still do for so long."""
        self._draining = True
        await self.show_health()
        await asyncio.sleep(seconds)

    async def close(self, grace_s: float) -> None:
        """Report NOT_SERVING, wait until idle, then refuse new calls; those in flight may end within `grace_s`."""
        await self._health.enter_graceful_shutdown()
        # The stop would cancel a call that has reached the process but not our code yet.
        await self._interceptor.wait_idle(grace_s / 2)
        await self._server.stop(grace_s / 2)


def _require_free(host: str, port: int, setting: str) -> None:
    # gRPC reports a port in use only as a RuntimeError, after some lines of its own on stderr.
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PortInUse(host, port, setting) from None
            raise
