"""Questions of a gateway on this host, over a Unix socket: the messages of gRPC without its server.

Questions that have come meanwhile are answered together, as a batch is.
"""

import asyncio
import logging
import os
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import grpc
from google.protobuf.message import DecodeError

from proto.tillstream.recommender.v1 import recommender_pb2 as pb
from recsys.catalogue import Filters
from services.common import tracing
from services.common.frames import FrameReader, FrameTooLarge, frame
from services.common.metrics import RECOMMENDER_REQUEST_SECONDS
from services.common.request_id import REQUEST_ID, valid_request_id
from services.recommender.answering import CustomerAnswers
from services.recommender.interceptors import NoModel
from services.recommender.requests import InvalidArgument, read_filters, read_id, read_k
from services.recommender.responses import write_answer
from services.recommender.serving import Serving

logger = logging.getLogger(__name__)

METHOD = "Recommend"
_TRACED_AS = f"{pb.DESCRIPTOR.services_by_name['Recommender'].full_name}/{METHOD}"
# The labels of a trace, for an observation; None where nothing is recorded.
Exemplar = dict[str, str] | None
# Questions answered without a pause: between two such slices other requests and the stream get their turn.
_SLICE = 16


class SocketInUse(Exception):
    """Another process answers on the socket; the message names it and the setting."""


@dataclass(frozen=True, slots=True)
class _Question:
    """A valid question. Times are of the performance counter."""

    asked: pb.DirectQuestion
    k: int
    filters: Filters
    came_at: float
    connection: "_Connection"


class DirectServer:
    """Answers on a Unix socket that only this user may open."""

    def __init__(
        self,
        serving: Callable[[], Serving],
        customers: CustomerAnswers,
        clock: Callable[[], int],
        max_waiting: int,
    ) -> None:
        """`clock` gives epoch milliseconds. Questions beyond `max_waiting` get RESOURCE_EXHAUSTED."""
        self._serving = serving
        self._customers = customers
        self._clock = clock
        self._max_waiting = max_waiting
        self._waiting: deque[_Question] = deque()
        self._connections: set[_Connection] = set()
        self._server: asyncio.Server | None = None
        self._path: Path | None = None

    async def start(self, path: Path) -> None:
        """Listen. Raises SocketInUse, and OSError where the path cannot be used."""
        _remove_stale(path)
        before = os.umask(0o177)
        try:
            self._server = await asyncio.get_running_loop().create_unix_server(lambda: _Connection(self), path)
        finally:
            os.umask(before)
        self._path = path

    async def close(self) -> None:
        """Answer what waits, then end the connections: their gateways ask by gRPC from then on."""
        if self._server is None:
            return
        self._server.close()
        while self._waiting:
            self._answer_slice()
        for connection in list(self._connections):
            connection.close()
        assert self._path is not None
        self._path.unlink(missing_ok=True)

    def opened(self, connection: "_Connection") -> None:
        """A gateway has connected."""
        self._connections.add(connection)

    def closed(self, connection: "_Connection") -> None:
        """It has gone: what it asked needs no answer."""
        self._connections.discard(connection)

    def ask(self, asked: pb.DirectQuestion, connection: "_Connection") -> None:
        """Take a question; it is answered within this turn of the event loop or a later one."""
        came_at = time.perf_counter()
        if len(self._waiting) >= self._max_waiting:
            connection.send(_failed(asked, grpc.StatusCode.RESOURCE_EXHAUSTED, "too many questions wait", came_at))
            return
        try:
            read_id("user_id", asked.request.user_id)
            k, filters = read_k(asked.request.k), read_filters(asked.request.filters)
        except InvalidArgument as error:
            connection.send(_failed(asked, grpc.StatusCode.INVALID_ARGUMENT, str(error), came_at))
            return
        self._waiting.append(_Question(asked, k, filters, came_at, connection))
        if len(self._waiting) == 1:
            asyncio.get_running_loop().call_soon(self._answer_waiting)

    def _answer_waiting(self) -> None:
        self._answer_slice()
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._answer_waiting)

    def _answer_slice(self) -> None:
        taken = [self._waiting.popleft() for _ in range(min(_SLICE, len(self._waiting)))]
        alike: dict[tuple[int, Filters], list[_Question]] = {}
        now = time.perf_counter()
        for question in taken:
            if (now - question.came_at) * 1000 > question.asked.timeout_ms:
                question.connection.send(
                    _failed(question.asked, grpc.StatusCode.DEADLINE_EXCEEDED, "waited too long", question.came_at)
                )
            elif question.connection in self._connections:
                alike.setdefault((question.k, question.filters), []).append(question)
        for (k, filters), questions in alike.items():
            self._answer(questions, k, filters)

    def _answer(self, questions: Sequence[_Question], k: int, filters: Filters) -> None:
        try:
            answers = self._answers(questions, k, filters)
        except NoModel as error:
            self._fail(questions, grpc.StatusCode.UNAVAILABLE, str(error))
        except Exception:
            # Each alone: one that fails must not fail the others.
            if len(questions) > 1:
                for question in questions:
                    self._answer([question], k, filters)
                return
            REQUEST_ID.set(valid_request_id(questions[0].asked.request_id))
            logger.exception("a request failed")
            self._fail(questions, grpc.StatusCode.INTERNAL, "internal error")
        else:
            for question, (answer, exemplar) in zip(questions, answers, strict=True):
                question.connection.send(answer)
                _observe(grpc.StatusCode.OK, question.came_at, exemplar)

    def _answers(
        self, questions: Sequence[_Question], k: int, filters: Filters
    ) -> list[tuple[pb.DirectAnswer, Exemplar]]:
        user_ids = [question.asked.request.user_id for question in questions]
        with ExitStack() as open_spans:
            spans = [open_spans.enter_context(_span(question.asked)) for question in questions]
            found = self._customers.for_users(self._serving(), user_ids, k, filters, self._clock())
            return [
                (
                    pb.DirectAnswer(number=question.asked.number, response=write_answer(source, answer, user_id)),
                    span.exemplar,
                )
                for question, span, user_id, (source, answer) in zip(questions, spans, user_ids, found, strict=True)
            ]

    @staticmethod
    def _fail(questions: Sequence[_Question], code: grpc.StatusCode, detail: str) -> None:
        for question in questions:
            question.connection.send(_failed(question.asked, code, detail, question.came_at))


class _Connection(asyncio.Protocol):
    """One gateway."""

    def __init__(self, server: DirectServer) -> None:
        self._server = server
        self._frames = FrameReader()
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # a socket's transport can write
        self._server.opened(self)

    def data_received(self, data: bytes) -> None:
        try:
            for message in self._frames.feed(data):
                self._server.ask(pb.DirectQuestion.FromString(message), self)
        except (FrameTooLarge, DecodeError) as error:
            logger.warning("a connection to the socket does not speak its protocol: %s", error)
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.closed(self)

    def send(self, answer: pb.DirectAnswer) -> None:
        """Send an answer, unless the gateway has gone."""
        if not self._transport.is_closing():
            self._transport.write(frame(answer.SerializeToString()))

    def close(self) -> None:
        """End the connection once what was sent is taken."""
        self._transport.close()


def _span(asked: pb.DirectQuestion) -> tracing.Span:
    return tracing.continued(_TRACED_AS, asked.traceparent or None, "server")


def _failed(asked: pb.DirectQuestion, code: grpc.StatusCode, detail: str, came_at: float) -> pb.DirectAnswer:
    _observe(code, came_at)
    return pb.DirectAnswer(number=asked.number, code=code.value[0], detail=detail)


_OK_SECONDS = RECOMMENDER_REQUEST_SECONDS.labels(METHOD, grpc.StatusCode.OK.name)


def _observe(code: grpc.StatusCode, came_at: float, exemplar: Exemplar = None) -> None:
    seconds = _OK_SECONDS if code is grpc.StatusCode.OK else RECOMMENDER_REQUEST_SECONDS.labels(METHOD, code.name)
    seconds.observe(time.perf_counter() - came_at, exemplar)


def _remove_stale(path: Path) -> None:
    """Remove the socket of a process that has ended. Raises SocketInUse."""
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            path.unlink(missing_ok=True)
            return
    raise SocketInUse(f"a process answers on {path}: stop it or set TILLSTREAM_RECOMMENDER_SOCKET")
