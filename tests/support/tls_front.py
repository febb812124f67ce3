"""TLS in front of a real engine that has none: the server of a wheel is built without."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from threading import Event, Thread

from services.common.tls import TlsFiles, server_context


@asynccontextmanager
async def _front(port: int, files: TlsFiles) -> AsyncIterator[int]:
    server = await asyncio.start_server(partial(_serve, port), "127.0.0.1", 0, ssl=server_context(files))
    async with server:
        yield server.sockets[0].getsockname()[1]


@contextmanager
def tls_front(port: int, files: TlsFiles) -> Iterator[int]:
    """Accept TLS connections on a free port, and pass what they carry to `port`. Gives the free port.

    It runs in a thread of its own, for clients that block. `files` with a `ca` ask for a client's certificate.
    """
    listening, done, ports = Event(), Event(), []

    async def run() -> None:
        async with _front(port, files) as own:
            ports.append(own)
            listening.set()
            await asyncio.to_thread(done.wait)

    thread = Thread(target=asyncio.run, args=(run(),))
    thread.start()
    try:
        assert listening.wait(60)
        yield ports[0]
    finally:
        done.set()
        thread.join()


async def _serve(port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    to_reader, to_writer = await asyncio.open_connection("127.0.0.1", port)
    ways = [asyncio.ensure_future(_pass(reader, to_writer)), asyncio.ensure_future(_pass(to_reader, writer))]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        for each in (writer, to_writer):
            each.close()
            with suppress(OSError):
                await each.wait_closed()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
