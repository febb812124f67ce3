"""An HTTP client that costs little, so that it measures the server and not itself.

Closed loop: each connection asks again as soon as it has been answered. Open loop: request n is due at n / rate
seconds, whatever happened to earlier ones; its latency counts from that moment to the last byte of its answer.
"""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import uvloop

_HEAD_END = b"\r\n\r\n"
_LENGTH = b"content-length: "
_OK = 200
_LOST = 0


@dataclass(slots=True)
class Answers:
    """What came back: a count by status, seconds of the good answers and of the others, seconds of the whole run."""

    statuses: Counter[int] = field(default_factory=Counter)
    good_s: list[float] = field(default_factory=list)
    other_s: list[float] = field(default_factory=list)
    unanswered: int = 0
    seconds: float = 0.0

    @property
    def good_per_second(self) -> float:
        """Answers of status 200 a second."""
        return self.statuses[_OK] / self.seconds

    def note(self, status: int, seconds: float) -> None:
        """Count an answer."""
        self.statuses[status] += 1
        (self.good_s if status == _OK else self.other_s).append(seconds)


class Connection(asyncio.Protocol):
    """One connection with one request at a time."""

    def __init__(self, pool: "Pool") -> None:
        self._pool = pool
        self.lost = False
        self._due: float | None = None  # of the request that waits for its answer
        self._received = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ready."""
        self._transport = transport  # type: ignore[assignment]  # a TCP connection's transport can write

    def ask(self, request: bytes, due: float) -> None:
        """Send a request that was due at this time."""
        assert self._transport is not None
        self._due = due
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Collect one answer."""
        received = self._received + data if self._received else data
        end = received.find(_HEAD_END)
        if end < 0 or len(received) < end + len(_HEAD_END) + _length(received[:end]):
            self._received = received
            return
        self._received = b""
        assert self._due is not None
        due, self._due = self._due, None
        self._pool.answered(self, int(received[9:12]), due)

    def connection_lost(self, error: Exception | None) -> None:
        """The server has closed: no failure where nothing was asked."""
        self.lost = True
        if self._due is not None:
            self._pool.answers.statuses[_LOST] += 1

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.abort()


def _length(head: bytes) -> int:
    start = head.lower().index(_LENGTH) + len(_LENGTH)
    return int(head[start:].partition(b"\r")[0])


class Pool:
    """Connections that take requests. Requests that find none free wait for one, in order."""

    def __init__(self, requests: Sequence[bytes]) -> None:
        self._requests = requests
        self._free: deque[Connection] = deque()
        self._waiting: deque[float] = deque()
        self._asked = 0
        self._closed_loop = False
        self.answers = Answers()

    async def open(self, port: int, connections: int) -> list[Connection]:
        """Open them, a few at a time."""
        loop = asyncio.get_running_loop()
        opened: list[Connection] = []
        for _ in range(connections):
            _, connection = await loop.create_connection(lambda: Connection(self), "127.0.0.1", port)
            opened.append(connection)
        self._free.extend(opened)
        return opened

    def ask_all(self) -> None:
        """Closed loop: ask on every connection, for ever."""
        self._closed_loop = True
        while self._free:
            self._ask(self._free.popleft(), time.perf_counter())

    def due(self, at: float) -> None:
        """Open loop: a request is due."""
        while self._free:
            connection = self._free.pop()  # the one that was used last: a server closes idle ones
            if not connection.lost:
                self._ask(connection, at)
                return
        self._waiting.append(at)

    def _ask(self, connection: Connection, due: float) -> None:
        self._asked += 1
        connection.ask(self._requests[self._asked % len(self._requests)], due)

    def answered(self, connection: Connection, status: int, due: float) -> None:
        """One answer has come: the connection is free."""
        now = time.perf_counter()
        self.answers.note(status, now - due)
        if self._closed_loop:
            self._ask(connection, now)
        elif self._waiting:
            self._ask(connection, self._waiting.popleft())
        else:
            self._free.append(connection)


async def closed_loop(port: int, requests: Sequence[bytes], connections: int, seconds: float) -> Answers:
    """As many answers as one server gives to so many connections."""
    pool = Pool(requests)
    opened = await pool.open(port, connections)
    pool.ask_all()
    await asyncio.sleep(seconds / 5)  # warm
    pool.answers = answers = Answers()
    started = time.perf_counter()
    await asyncio.sleep(seconds)
    answers.seconds = time.perf_counter() - started
    pool.answers = Answers()
    _close(opened)
    return answers


async def open_loop(port: int, requests: Sequence[bytes], connections: int, rate: float, seconds: float) -> Answers:
    """The answers to a constant rate, over at most so many connections. What has no answer a second later counts so."""
    pool = Pool(requests)
    opened = await pool.open(port, connections)
    started, sent = time.perf_counter(), 0
    while (now := time.perf_counter() - started) < seconds:
        while sent < now * rate:
            pool.due(started + sent / rate)
            sent += 1
        await asyncio.sleep(0.001)
    pool.answers.seconds = time.perf_counter() - started
    await asyncio.sleep(1.0)
    answers = pool.answers
    answers.unanswered = sent - sum(answers.statuses.values())
    pool.answers = Answers()
    _close(opened)
    return answers


def _close(opened: Sequence[Connection]) -> None:
    for connection in opened:
        connection.close()


def run_closed(port: int, requests: Sequence[bytes], connections: int, seconds: float) -> Answers:
    """`closed_loop` on a fast event loop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(closed_loop(port, requests, connections, seconds))


def run_open(port: int, requests: Sequence[bytes], connections: int, rate: float, seconds: float) -> Answers:
    """`open_loop` on a fast event loop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(open_loop(port, requests, connections, rate, seconds))
