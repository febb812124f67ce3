"""TLS before HTTP: a handshake has a time, and the places for handshakes are shared by addresses.

uvicorn's own TLS makes an HTTP connection only after the handshake. Until then nothing would count it or end it.
"""

import asyncio
import ssl
from asyncio.sslproto import SSLProtocol
from typing import cast

from services.gateway.api.fair_share import FairShare, NoPlace, network_of


class TlsConnection(SSLProtocol):
    """asyncio's TLS of one connection, which takes a place of `share` until the HTTP protocol takes over."""

    # asyncio reserves a buffer of this size for each connection: 256 KiB of its own choice, 1 GB with 4,000 clients.
    # It takes what arrives in several parts where it must.
    max_size = 32 * 1024

    def __init__(
        self, http: asyncio.Protocol, context: ssl.SSLContext, seconds: float, share: "FairShare[TlsConnection]"
    ) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(loop, http, context, None, server_side=True, ssl_handshake_timeout=seconds)  # type: ignore[arg-type]  # no waiter
        self._share = share
        self._owner = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected: shake hands if there is a place."""
        self._client = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self._owner = network_of(peer[0]) if peer else ""
        try:
            displaced = self._share.enter(self._owner, self)
        except NoPlace:
            self._client.abort()
            return
        if displaced is not None:
            displaced._client.abort()
        super().connection_made(transport)

    def _on_handshake_complete(self, handshake_exc: BaseException | None) -> None:
        self._share.leave(self._owner, self)
        super()._on_handshake_complete(handshake_exc)

    def connection_lost(self, exc: BaseException | None) -> None:
        """The client has gone."""
        self._share.leave(self._owner, self)
        super().connection_lost(exc)
