"""Ends streams whose session or key has ended: a stream goes on for days, and is admitted once."""

import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

from starlette.types import Scope

from services.common.redis_client import REDIS_ERRORS
from services.gateway.access.roles import Access
from services.gateway.stream.hub import StreamClient

logger = logging.getLogger(__name__)

Still = Callable[[Scope, Access], Awaitable[bool]]
"""Whether who began to read may go on."""


class Streams(Protocol):
    """The open streams."""

    def __contains__(self, client: StreamClient, /) -> bool: ...

    def end(self, client: StreamClient, /) -> None:
        """End one; nothing where it has ended."""


class StreamPermits:
    """The open streams of those who said who they are."""

    def __init__(self, still: Still, hub: Streams) -> None:
        self._still = still
        self._hub = hub
        self._open: dict[StreamClient, tuple[Scope, Access]] = {}

    def watch(self, client: StreamClient, scope: Scope, access: Access) -> None:
        """End the stream when its session or key does. Until `leave`."""
        self._open[client] = scope, access

    def leave(self, client: StreamClient) -> None:
        """The stream has ended."""
        self._open.pop(client, None)

    async def refresh(self) -> None:
        """Ask about each once. While Redis is away, streams have no figures, and stay."""
        try:
            for client, (scope, access) in list(self._open.items()):
                # One whose connection broke before its first message is dropped by the hub alone.
                if client not in self._hub or not await self._still(scope, access):
                    self.leave(client)
                    self._hub.end(client)
        except REDIS_ERRORS as error:
            logger.debug("sessions cannot be read: %s", error)
