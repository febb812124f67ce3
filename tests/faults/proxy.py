"""TCP proxies between a service and its engine, to inject a fault at an exact point."""

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from local.ports import LOOPBACK, free_port

T = TypeVar("T")

_SCRIPT = b"$7\r\nEVALSHA\r\n"
_SLOW_DOWN = b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>SlowDown</Code><Message>Slow down</Message></Error>'
_REFUSAL = (
    b"HTTP/1.1 503 Slow Down\r\nContent-Type: application/xml\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(_SLOW_DOWN), _SLOW_DOWN)
)
_CHUNK = 1 << 16


class Proxy:
    """Passes bytes on to a port of this machine. It works in a thread of its own; methods may be called from any."""

    def __init__(self, target_port: int) -> None:
        self.port = free_port()
        self._target_port = target_port
        self._loop = asyncio.new_event_loop()
        self._connections: set[asyncio.StreamWriter] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def start(self) -> None:
        """Listen."""
        self._thread.start()
        self._server = self._run(asyncio.start_server(self._serve, LOOPBACK, self.port))

    def stop(self) -> None:
        """Close everything."""
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(60)
        self._loop.close()

    def lead_to(self, port: int) -> None:
        """Lead new connections to another port, as an address does after a failover; open ones stay."""
        self._target_port = port

    def cut(self) -> None:
        """Close every connection; new ones are accepted."""
        self._run(self._cut())

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    async def _cut(self) -> None:
        for writer in self._connections:
            writer.transport.abort()

    async def _close(self) -> None:
        self._server.close()
        await self._cut()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            target_reader, target = await asyncio.open_connection(LOOPBACK, self._target_port)
        except OSError:
            writer.transport.abort()
            return
        self._connections |= {writer, target}
        pumps = [
            asyncio.create_task(self._requests(reader, target, writer)),
            asyncio.create_task(self._answers(target_reader, writer)),
        ]
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for pump in pumps:
            pump.cancel()
        for end in (writer, target):
            with contextlib.suppress(OSError):
                end.close()
        self._connections -= {writer, target}

    async def _requests(
        self, reader: asyncio.StreamReader, target: asyncio.StreamWriter, client: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(_CHUNK):
                if not await self._may_pass(chunk, client):
                    return
                target.write(chunk)
                await target.drain()

    async def _answers(self, target: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while chunk := await target.read(_CHUNK):
                await self._before_answer()
                client.write(chunk)
                await client.drain()

    async def _may_pass(self, chunk: bytes, client: asyncio.StreamWriter) -> bool:
        """Whether the request may go on; False closes the connection."""
        return True

    async def _before_answer(self) -> None:
        """Comes before each answer."""


class RedisProxy(Proxy):
    """Delays answers, and holds back the n-th call of a script: what came before is applied, it is not."""

    def __init__(self, target_port: int) -> None:
        super().__init__(target_port)
        self.delay_s = 0.0
        self.held = threading.Event()
        self._until_held = 0
        self._released = asyncio.Event()

    def hold(self, nth: int) -> None:
        """Hold back the n-th script call from now on, until `release`. `held` is set when it has come."""
        self.held.clear()
        self._loop.call_soon_threadsafe(self._released.clear)
        self._until_held = nth

    def release(self) -> None:
        """Let the held call go on, late."""
        self._until_held = 0
        self._loop.call_soon_threadsafe(self._released.set)

    async def _may_pass(self, chunk: bytes, client: asyncio.StreamWriter) -> bool:
        if self._until_held and _SCRIPT in chunk:
            self._until_held -= 1
            if not self._until_held:
                self.held.set()
                await self._released.wait()
        return True

    async def _before_answer(self) -> None:
        if self.delay_s:
            await asyncio.sleep(self.delay_s)


class S3Proxy(Proxy):
    """Answers 503 SlowDown in the store's place while it is refusing."""

    def __init__(self, target_port: int) -> None:
        super().__init__(target_port)
        self.refusing = False
        self.refused = 0

    async def _may_pass(self, chunk: bytes, client: asyncio.StreamWriter) -> bool:
        if not self.refusing:
            return True
        self.refused += 1
        client.write(_REFUSAL)
        await client.drain()
        return False
