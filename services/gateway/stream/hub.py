"""Server-sent events: everything is encoded once and handed to a bounded queue per client."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from http import HTTPStatus
from itertools import islice

import msgspec

from services.common.metrics import GATEWAY_STREAM_CLIENTS, GATEWAY_STREAM_DROPPED
from services.gateway.api.problems import Problem
from services.gateway.api.schemas import StreamSnapshot
from services.gateway.stream.shop_state import ShopState, top_item
from services.gateway.stream.ticker import Arrival, Cursor, TickerPoller, cursor_text, parse_cursor

# A comment line, which a client passes over: it tells a client, and whoever stands between, that the stream lives.
_HEARTBEAT = b": heartbeat\n\n"
HEARTBEAT_SECONDS = 5.0
_RETRY = b"retry: 2000\n\n"
_FIRST_ARRIVALS = 20
# Each write to a client takes some 50 µs of the event loop, so with many clients arrivals go out less often.
_TICKER_WRITES_A_SECOND = 2_000
# So many are written to between two turns of the event loop: a thousand in one go would hold up every other answer.
_TOGETHER = 50


def message(event: str, data: bytes, cursor: Cursor | None = None) -> bytes:
    """One server-sent event. `data` is JSON, so it holds no line break."""
    place = b"" if cursor is None else b"id: %s\n" % cursor_text(cursor).encode()
    return b"%sevent: %s\ndata: %s\n\n" % (place, event.encode(), data)


class StreamClient:
    """One open stream: messages wait in a bounded queue until the client's connection takes them.

    `patience` is how long, in seconds, messages may wait of which none is taken.
    """

    def __init__(self, limit: int, patience: float) -> None:
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._limit = limit
        self._patience = patience
        self._moved_at = 0.0
        self._ended = False

    def offer(self, chunk: bytes) -> bool:
        """Queue a message; False where the client is too far behind."""
        if self._ended:
            return True
        if self._is_behind():
            return False
        self._queue.put_nowait(chunk)
        return True

    def _is_behind(self) -> bool:
        if self._queue.empty():
            self._moved_at = time.monotonic()
        return self._queue.qsize() >= self._limit or time.monotonic() - self._moved_at > self._patience

    def end(self, reason: str) -> None:
        """Forget what waits and end the stream with the reason."""
        while not self._queue.empty():
            self._queue.get_nowait()
        self._queue.put_nowait(message("end", msgspec.json.encode({"reason": reason})))
        self._queue.put_nowait(None)
        self._ended = True

    async def messages(self) -> AsyncIterator[bytes]:
        """What to send, until the stream ends."""
        while (chunk := await self._queue.get()) is not None:
            self._moved_at = time.monotonic()
            yield chunk


class StreamHub:
    """All open streams. Listens to the snapshots and the ticker."""

    def __init__(
        self,
        ticker: TickerPoller,
        *,
        clients: int,
        queue: int,
        patience: float,
        lines: int,
        writes: int = _TICKER_WRITES_A_SECOND,
    ) -> None:
        self._ticker = ticker
        self._max_clients = clients
        self._queue = queue
        self._patience = patience
        self._lines = lines
        self._writes = writes
        self._clients: set[StreamClient] = set()
        self._outbox: deque[tuple[bytes, Iterator[StreamClient]]] = deque()  # messages, and who has not got them yet
        self._snapshot: ShopState | None = None
        self._snapshot_due = False
        self._waiting: list[Arrival] = []
        self._sent_arrivals_at = 0.0
        self._sent_at = 0.0
        self._closed = False
        GATEWAY_STREAM_CLIENTS.set_function(lambda: len(self._clients))

    @property
    def clients(self) -> int:
        """How many streams are open."""
        return len(self._clients)

    def open(self, last_event_id: str | None) -> StreamClient:
        """A new client, with the first snapshot queued. Raises a 503 problem where there are too many."""
        if self._closed or len(self._clients) >= self._max_clients:
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "too many clients follow the stream", {"Retry-After": "10"})
        self._send_arrivals()  # or they would come after the first snapshot, which may hold them
        client = StreamClient(self._queue, self._patience)
        client.offer(_RETRY + self._first_message(last_event_id))
        self._clients.add(client)
        return client

    def leave(self, client: StreamClient) -> None:
        """Forget a client whose connection is gone."""
        self._clients.discard(client)

    def close(self) -> None:
        """End every stream: the gateway stops."""
        self._closed = True
        for client in list(self._clients):
            self._drop(client, "the gateway stops", "stop")

    def _first_message(self, last_event_id: str | None) -> bytes:
        cursor = parse_cursor(last_event_id, len(self._ticker.cursor))
        missed = self._ticker.newest(_FIRST_ARRIVALS) if cursor is None else self._ticker.since(cursor)
        return self._snapshot_message(missed)

    def _snapshot_message(self, missed: Sequence[Arrival] = ()) -> bytes:
        if self._snapshot is None:
            return message("stale", b'{"reason":"the live tables cannot be read at the moment"}')
        body = StreamSnapshot(
            summary=self._snapshot.summary(),
            top={board: list(map(top_item, ranked)) for board, ranked in self._snapshot.top.items()},
            ticker=[arrival.entry() for arrival in missed],
        )
        return message("snapshot", body.model_dump_json().encode(), self._ticker.cursor)

    def on_shop_state(self, snapshot: ShopState | None) -> None:
        """Send the figures of this second, as soon as what is on its way has gone out."""
        self._snapshot = snapshot
        self._snapshot_due = True
        if not self._outbox:
            self._send_snapshot()

    def on_arrivals(self, arrivals: Sequence[Arrival]) -> None:
        """Send the newest of these arrivals; more than a person can read are sampled.

        With many clients they wait for a while for those that come next, or for the next snapshot.
        """
        self._waiting = [*self._waiting, *arrivals][-self._lines :]
        if not self._outbox and time.monotonic() - self._sent_arrivals_at >= len(self._clients) / self._writes:
            self._send_arrivals()

    async def beat(self) -> None:
        """Send a heartbeat where nothing else was sent for a while."""
        if time.monotonic() - self._sent_at >= HEARTBEAT_SECONDS:
            self._send(_HEARTBEAT)

    def _send_snapshot(self) -> None:
        self._snapshot_due = False
        if self._clients:
            self._send(self._taken_arrivals() + self._snapshot_message())

    def _send_arrivals(self) -> None:
        if chunk := self._taken_arrivals():
            self._send(chunk)

    def _taken_arrivals(self) -> bytes:
        """The arrivals that wait, as messages; none in a stream that nobody follows."""
        taken, self._waiting = self._waiting, []
        if not taken or not self._clients:
            return b""
        self._sent_arrivals_at = time.monotonic()
        return b"".join(message("ticker", a.entry().model_dump_json().encode(), a.cursor) for a in taken)

    def _send(self, chunk: bytes) -> None:
        self._sent_at = time.monotonic()
        self._outbox.append((chunk, iter(list(self._clients))))
        if len(self._outbox) == 1:
            self._deliver()

    def _deliver(self) -> None:
        """Hand out what waits, oldest first, to some clients now and to the others when the event loop has turned."""
        while self._outbox:
            chunk, waiting = self._outbox[0]
            some = list(islice(waiting, _TOGETHER))
            for client in some:
                self._offer(client, chunk)
            if len(some) == _TOGETHER:
                asyncio.get_running_loop().call_soon(self._deliver)
                return
            self._outbox.popleft()
        if self._snapshot_due:
            self._send_snapshot()

    def _offer(self, client: StreamClient, chunk: bytes) -> None:
        if client in self._clients and not client.offer(chunk):
            self._drop(client, f"too slow: {self._queue} messages or {self._patience:g} s behind", "slow")

    def _drop(self, client: StreamClient, reason: str, label: str) -> None:
        self._clients.discard(client)
        client.end(reason)
        GATEWAY_STREAM_DROPPED.labels(label).inc()
