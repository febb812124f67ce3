"""By which wire the recommender is reached: certificates that may be renewed, bearer tokens, bounded health watches."""

import hmac
import logging
from collections import Counter
from collections.abc import Sequence
from typing import Any

import grpc
from grpc import aio
from grpc_health.v1 import health

from services.common.tls import BadTlsFiles, TlsFiles

logger = logging.getLogger(__name__)

# A balancing client, such as the gateway, watches once a connection.
MAX_WATCHES = 1_024
MAX_WATCHES_OF_ADDRESS = 64


def server_credentials(files: TlsFiles) -> grpc.ServerCredentials:
    """TLS with `cert` and `key`; with `ca`, clients must show a certificate of it. Raises BadTlsFiles.

    Files are read again for the next handshake after they changed.
    """
    renewed = _RenewedFiles(files)
    return grpc.dynamic_ssl_server_credentials(renewed.read(), renewed.fetch, files.ca is not None)


class _RenewedFiles:
    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._seen = files.versions()

    def read(self) -> Any:
        """What gRPC serves from now on. Raises OSError, BadTlsFiles."""
        files = self._files
        if files.cert is None or files.key is None:
            raise BadTlsFiles("a server needs a certificate and its key")
        authority = files.ca.read_bytes() if files.ca is not None else None
        return grpc.ssl_server_certificate_configuration([(files.key.read_bytes(), files.cert.read_bytes())], authority)

    def fetch(self) -> Any:
        """The same where a file has changed, else None. gRPC calls it before each handshake, in a thread of its own."""
        try:
            now = self._files.versions()
            if now == self._seen:
                return None
            self._seen = now
            return self.read()
        except OSError as error:
            logger.error("the TLS files stay as they were: %s", error)
            return None


class BearerInterceptor(aio.ServerInterceptor):
    """Lets in calls that carry one of the tokens. The health service stays open: balancers ask it without one."""

    def __init__(self, tokens: Sequence[str]) -> None:
        self._expected = [f"Bearer {token}".encode() for token in tokens]

    async def intercept_service(self, continuation: Any, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """The handler, or one that refuses with UNAUTHENTICATED."""
        method = str(handler_call_details.method)
        if method.startswith(f"/{health.SERVICE_NAME}/") or self._knows(handler_call_details):
            return await continuation(handler_call_details)
        return grpc.unary_unary_rpc_method_handler(_refuse)

    def _knows(self, details: grpc.HandlerCallDetails) -> bool:
        given = dict(details.invocation_metadata or ()).get("authorization", "")
        sent = given.encode() if isinstance(given, str) else given
        return any(hmac.compare_digest(sent, expected) for expected in self._expected)


async def _refuse(_request: Any, context: aio.ServicerContext[Any, Any]) -> None:
    await context.abort(grpc.StatusCode.UNAUTHENTICATED, "a valid bearer token is missing")


class BoundedHealth(health.aio.HealthServicer):  # type: ignore[misc]  # untyped
    """The standard health service, with so many watches at a time: in all, and from one address.

    An address that takes all it may does not keep the gateway, at another one, from its own.
    """

    def __init__(self) -> None:
        super().__init__()
        self._watches: Counter[str] = Counter()

    async def Watch(self, request: Any, context: aio.ServicerContext[Any, Any]) -> None:
        """Stream the status of a service. RESOURCE_EXHAUSTED where too many are watched."""
        address = context.peer().rpartition(":")[0]
        if self._watches[address] >= MAX_WATCHES_OF_ADDRESS or self._watches.total() >= MAX_WATCHES:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many watches of the health")
        self._watches[address] += 1
        try:
            await super().Watch(request, context)
        finally:
            self._watches[address] -= 1
            self._watches += Counter()  # forgets addresses without a watch
