"""Questions to a recommender on this host, over its Unix socket. Whoever asks falls back to gRPC."""

import asyncio
import contextlib
import logging
from pathlib import Path

from google.protobuf.message import DecodeError

from proto.tillstream.recommender.v1 import recommender_pb2 as pb
from services.common.frames import FrameReader, FrameTooLarge, frame

logger = logging.getLogger(__name__)

_NUMBERS = 2**32


class NotConnected(Exception):
    """Nobody answers on the socket, or the connection was lost while a question waited."""


class DirectClient:
    """One connection to the socket, opened by `connect`, which is to be called periodically."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: _Connection | None = None

    @property
    def connected(self) -> bool:
        """Whether a question can be asked."""
        return self._connection is not None and not self._connection.lost

    async def connect(self) -> None:
        """Connect where there is no connection. Nobody there is no error: the gateway asks by gRPC meanwhile."""
        if self.connected:
            return
        with contextlib.suppress(OSError):
            _, self._connection = await asyncio.get_running_loop().create_unix_connection(_Connection, str(self._path))
            logger.info("asking the recommender over %s", self._path)

    async def ask(self, question: pb.DirectQuestion, timeout_s: float) -> pb.DirectAnswer:
        """The answer to a question, whose number this sets. Raises NotConnected or TimeoutError."""
        if self._connection is None:
            raise NotConnected
        return await self._connection.ask(question, timeout_s)

    async def close(self) -> None:
        """Close the connection. Questions that wait fail."""
        if self._connection is not None:
            self._connection.close()


class _Connection(asyncio.Protocol):
    """Numbers questions, and hands each answer to who asked."""

    def __init__(self) -> None:
        self.lost = False
        self._loop = asyncio.get_running_loop()
        self._frames = FrameReader()
        self._waiting: dict[int, asyncio.Future[pb.DirectAnswer]] = {}
        self._asked = 0
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # a socket's transport can write

    def data_received(self, data: bytes) -> None:
        try:
            for message in self._frames.feed(data):
                answer = pb.DirectAnswer.FromString(message)
                asker = self._waiting.pop(answer.number, None)
                if asker is not None and not asker.done():
                    asker.set_result(answer)
        except (FrameTooLarge, DecodeError) as error:
            logger.warning("the recommender's socket does not speak its protocol: %s", error)
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        for asker in self._waiting.values():
            if not asker.done():
                asker.set_exception(NotConnected())
        self._waiting.clear()

    async def ask(self, question: pb.DirectQuestion, timeout_s: float) -> pb.DirectAnswer:
        if self.lost:
            raise NotConnected
        self._asked = (self._asked + 1) % _NUMBERS
        number = question.number = self._asked
        asker: asyncio.Future[pb.DirectAnswer] = self._loop.create_future()
        self._waiting[number] = asker
        self._transport.write(frame(question.SerializeToString()))
        late = self._loop.call_later(timeout_s, _give_up, asker)
        try:
            return await asker
        finally:
            late.cancel()
            self._waiting.pop(number, None)

    def close(self) -> None:
        self._transport.close()


def _give_up(asker: "asyncio.Future[pb.DirectAnswer]") -> None:
    if not asker.done():
        asker.set_exception(TimeoutError())
