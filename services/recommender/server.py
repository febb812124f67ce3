"""The gRPC server: methods, standard health, reflection."""

import asyncio
import errno
import socket
from collections.abc import Callable

from grpc import aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from proto.tillstream.recommender.v1 import recommender_pb2_grpc
from services.common.telemetry import PortInUse
from services.recommender.impressions import ImpressionLog
from services.recommender.interceptors import ErrorAndMetricsInterceptor
from services.recommender.service import SERVICE_NAME, RecommenderService, clock_ms
from services.recommender.serving import Serving

# By then clients that watch the health use another replica, and no call waits to be accepted.
_IDLE_S = 0.1

_STATUS = health_pb2.HealthCheckResponse


class RecommenderServer:
    """Serves until closed. Health is SERVING from the first model on: a refused newer one changes nothing."""

    def __init__(
        self,
        serving: Callable[[], Serving],
        max_concurrent: int | None = None,
        impressions: ImpressionLog | None = None,
        clock: Callable[[], int] = clock_ms,
    ) -> None:
        self._serving = serving
        self._health = health.aio.HealthServicer()
        self._interceptor = ErrorAndMetricsInterceptor(SERVICE_NAME)
        self._server = aio.server(
            interceptors=[self._interceptor],
            # Without this a second server would silently share the port.
            options=[("grpc.so_reuseport", 0)],
            maximum_concurrent_rpcs=max_concurrent,
        )
        recommender_pb2_grpc.add_RecommenderServicer_to_server(
            RecommenderService(serving, impressions, clock), self._server
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection([SERVICE_NAME, health.SERVICE_NAME, reflection.SERVICE_NAME], self._server)

    async def start(self, host: str, port: int, setting: str = "TILLSTREAM_RECOMMENDER_PORT") -> int:
        """Listen; returns the port (a free one for port 0). Raises PortInUse."""
        _require_free(host, port, setting)
        try:
            bound = self._server.add_insecure_port(f"{host}:{port}")
        except RuntimeError:
            raise PortInUse(host, port, setting) from None
        await self.show_health()
        await self._server.start()
        return bound

    async def show_health(self) -> None:
        """Update the health service by what is served now."""
        status = _STATUS.NOT_SERVING if self._serving().main is None else _STATUS.SERVING
        await asyncio.gather(self._health.set("", status), self._health.set(SERVICE_NAME, status))

    async def close(self, grace_s: float) -> None:
        """Report NOT_SERVING, wait until idle, then refuse new calls; those in flight may end within `grace_s`."""
        await self._health.enter_graceful_shutdown()
        # The stop would cancel a call that has reached the process but not our code yet.
        await self._interceptor.wait_idle(_IDLE_S, grace_s / 2)
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
