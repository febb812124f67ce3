"""A DNS server for one name: what a cluster's DNS is for the replicas behind a headless Service."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import cast

_TYPE_A = 1
_ANSWERS_NO_ERROR = 0x8580
_TTL_S = 1
_POINTER_TO_THE_NAME = 0xC00C


class DnsServer(asyncio.DatagramProtocol):
    """Answers every question for an IPv4 address with `addresses`, and no other question."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self.addresses = addresses
        self.questions = 0
        self.port = 0
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        assert self._transport is not None
        self._transport.sendto(self._answer(data), addr)

    def _answer(self, query: bytes) -> bytes:
        end = query.index(b"\0", 12) + 5  # after the name, its type and class
        question = query[12:end]
        (asked,) = struct.unpack("!H", question[-4:-2])
        found = self.addresses if asked == _TYPE_A else ()
        self.questions += asked == _TYPE_A
        header = struct.pack("!HHHHHH", int.from_bytes(query[:2], "big"), _ANSWERS_NO_ERROR, 1, len(found), 0, 0)
        record = struct.pack("!HHHIH", _POINTER_TO_THE_NAME, _TYPE_A, 1, _TTL_S, 4)
        return header + question + b"".join(record + socket.inet_aton(address) for address in found)


@asynccontextmanager
async def dns_server(*addresses: str) -> AsyncIterator[DnsServer]:
    """A server on a free port of the loopback."""
    server = DnsServer(addresses)
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: server, local_addr=("127.0.0.1", 0)
    )
    try:
        yield server
    finally:
        transport.close()
