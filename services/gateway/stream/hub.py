"""Fan-out of server-sent events: each message is encoded once and put into a bounded queue per client."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from http import HTTPStatus
from itertools import islice

import msgspec

from services.common.metrics import GATEWAY_STREAM_CLIENTS, GATEWAY_STREAM_DROPPED
from services.gateway.api.fair_share import FairShare, NoPlace
from services.gateway.api.problems import Problem
from services.gateway.api.schemas.figures import StreamSnapshot, StreamUpdate, TickerEntry, TopItem
from services.gateway.queries.rankings import Board, Ranked
from services.gateway.stream.shop_state import ShopState, top_item
from services.gateway.stream.ticker import Arrival, Cursor, TickerPoller, cursor_text, parse_cursor

# A comment line, which clients ignore. It keeps the connection open in proxies and shows that the stream is alive.
_HEARTBEAT = b": heartbeat\n\n"
HEARTBEAT_SECONDS = 5.0
_RETRY = b"retry: 2000\n\n"
_FIRST_ARRIVALS = 20
# A write to a client takes some 50 µs of the event loop. With many clients, arrivals are sent less often.
_TICKER_WRITES_PER_SECOND = 2_000
_MIN_UPDATE_SECONDS = 0.1
# Clients written to in one iteration of the event loop. A thousand at once would block all other responses.
_CLIENTS_PER_ITERATION = 50


def _top_items(top: Mapping[Board, Sequence[Ranked]], *, persons: bool) -> dict[str, list[TopItem]]:
    return {board: list(map(top_item, ranked)) for board, ranked in top.items() if persons or board != "spenders"}


def _update_message(state: ShopState, changed: Mapping[Board, Sequence[Ranked]], *, persons: bool) -> bytes:
    body = StreamUpdate(summary=state.summary(), top=_top_items(changed, persons=persons))
    return message("update", body.model_dump_json().encode())


def message(event: str, data: bytes, cursor: Cursor | None = None) -> bytes:
    """One server-sent event. `data` is JSON, so it holds no line break."""
    id_line = b"" if cursor is None else b"id: %s\n" % cursor_text(cursor).encode()
    return b"%sevent: %s\ndata: %s\n\n" % (id_line, event.encode(), data)


def _ticker(arrivals: Sequence[Arrival], persons: bool) -> bytes:
    return b"".join(
        message("ticker", _entry(arrival, persons=persons).model_dump_json().encode(), arrival.cursor)
        for arrival in arrivals
    )


def _entry(arrival: Arrival, *, persons: bool) -> TickerEntry:
    return arrival.entry() if persons else arrival.entry().model_copy(update={"user_id": None})


class StreamClient:
    """One open stream: messages wait in a bounded queue until the client's connection takes them.

    A client is stalled when `queue_limit` messages wait, or when it has taken none for `send_timeout_s` seconds.
    """

    def __init__(
        self,
        queue_limit: int,
        send_timeout_s: float,
        clock: Callable[[], float] = time.monotonic,
        *,
        owner: str = "",
        persons: bool = True,
    ) -> None:
        """`owner` is who opened it; `persons`: whether its messages name customers."""
        self.owner = owner
        self.persons = persons
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._queue_limit = queue_limit
        self._send_timeout_s = send_timeout_s
        self._clock = clock
        self._last_taken_at = 0.0
        self._ended = False

    def enqueue(self, chunk: bytes) -> bool:
        """Queue a message. False, and nothing queued, where the client is stalled."""
        if self._ended:
            return True
        if self._stalled():
            return False
        self._queue.put_nowait(chunk)
        return True

    def _stalled(self) -> bool:
        now = self._clock()
        if self._queue.empty():
            self._last_taken_at = now
        return self._queue.qsize() >= self._queue_limit or now - self._last_taken_at > self._send_timeout_s

    def end(self, reason: str) -> None:
        """Discard the waiting messages and end the stream with an `end` event that gives the reason."""
        while not self._queue.empty():
            self._queue.get_nowait()
        self._queue.put_nowait(message("end", msgspec.json.encode({"reason": reason})))
        self._queue.put_nowait(None)
        self._ended = True

    async def messages(self) -> AsyncIterator[bytes]:
        """The messages to send, until the stream ends."""
        while (chunk := await self._queue.get()) is not None:
            self._last_taken_at = self._clock()
            yield chunk


class StreamHub:
    """All open streams. Listens to the shop state and the ticker."""

    def __init__(
        self,
        ticker: TickerPoller,
        *,
        max_clients: int,
        queue_limit: int,
        send_timeout_s: float,
        max_ticker_lines: int,
        ticker_writes_per_second: int = _TICKER_WRITES_PER_SECOND,
    ) -> None:
        self._ticker = ticker
        self._places: FairShare[StreamClient] = FairShare(max_clients)
        self._queue_limit = queue_limit
        self._send_timeout_s = send_timeout_s
        self._max_ticker_lines = max_ticker_lines
        self._ticker_writes_per_second = ticker_writes_per_second
        self._clients: set[StreamClient] = set()
        # Messages with and without persons, and the clients still to get them.
        self._outbox: deque[tuple[Mapping[bool, bytes], Iterator[StreamClient]]] = deque()
        self._state: ShopState | None = None
        self._snapshot_due = False
        self._sent_top: dict[Board, list[Ranked]] = {}
        self._pending_arrivals: list[Arrival] = []
        self._sent_arrivals_at = 0.0
        self._sent_at = 0.0
        self._closed = False
        GATEWAY_STREAM_CLIENTS.set_function(lambda: len(self._clients))

    @property
    def clients(self) -> int:
        """Number of open streams."""
        return len(self._clients)

    def __contains__(self, client: StreamClient) -> bool:
        return client in self._clients

    def open(self, last_event_id: str | None, owner: str = "", *, persons: bool = True) -> StreamClient:
        """Add a client of an owner, with its first snapshot queued. Raises Problem 503 at the limit and after `close`.

        `persons`: whether it is to see customers. Where all places are taken, an owner with more streams than this one
        loses its newest.
        """
        client = StreamClient(self._queue_limit, self._send_timeout_s, owner=owner, persons=persons)
        self._take_place(client)
        self._send_arrivals()  # else the new client gets them twice: its first snapshot may hold them
        client.enqueue(_RETRY + self._first_message(last_event_id, persons=persons))
        self._clients.add(client)
        return client

    def _take_place(self, client: StreamClient) -> None:
        try:
            if self._closed:
                raise NoPlace
            displaced = self._places.enter(client.owner, client)
        except NoPlace:
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "too many open streams", {"Retry-After": "10"}) from None
        if displaced is not None:
            self._drop(displaced, "another client needs the place, and this address has the most streams", "share")

    def leave(self, client: StreamClient) -> None:
        """Remove a client whose connection is closed."""
        self._clients.discard(client)
        self._places.leave(client.owner, client)

    def end(self, client: StreamClient) -> None:
        """End a stream whose session or key has ended."""
        if client in self._clients:
            self._drop(client, "the session or the key has ended", "access")

    def close(self) -> None:
        """End all streams, because the gateway stops."""
        self._closed = True
        for client in list(self._clients):
            self._drop(client, "the gateway stops", "stop")

    def _first_message(self, last_event_id: str | None, *, persons: bool) -> bytes:
        cursor = parse_cursor(last_event_id, len(self._ticker.cursor))
        missed = self._ticker.newest(_FIRST_ARRIVALS) if cursor is None else self._ticker.since(cursor)
        return self._snapshot_message(missed, persons=persons)

    def _snapshot_message(self, missed: Sequence[Arrival] = (), *, persons: bool) -> bytes:
        if self._state is None:
            return message("stale", b'{"reason":"the live tables cannot be read at the moment"}')
        body = StreamSnapshot(
            summary=self._state.summary(),
            top=_top_items(self._state.top, persons=persons),
            ticker=[_entry(arrival, persons=persons) for arrival in missed],
        )
        return message("snapshot", body.model_dump_json().encode(), self._ticker.cursor)

    def on_shop_state(self, state: ShopState | None) -> None:
        """Send this second's figures as a `snapshot` event, after the messages that are being delivered."""
        self._state = state
        self._snapshot_due = True
        if not self._outbox:
            self._send_snapshot()

    def on_changes(self, state: ShopState) -> None:
        """Send the figures and the top lists that have changed as an `update` event, unless messages are under way."""
        self._state = state
        if self._outbox or not self._clients:
            return
        changed = {board: ranked for board, ranked in state.top.items() if ranked != self._sent_top.get(board)}
        self._sent_top = state.top
        arrivals = self._take_arrivals()
        self._send(lambda persons: _ticker(arrivals, persons) + _update_message(state, changed, persons=persons))

    def update_interval_s(self) -> float:
        """Seconds from an update to the next: with many clients, the snapshots are enough."""
        return max(_MIN_UPDATE_SECONDS, len(self._clients) / self._ticker_writes_per_second)

    def on_arrivals(self, arrivals: Sequence[Arrival]) -> None:
        """Send the newest of these arrivals, at most `max_ticker_lines`: more than that nobody can read.

        With many clients, arrivals wait until the write rate allows the next message, or until the next snapshot.
        """
        self._pending_arrivals = [*self._pending_arrivals, *arrivals][-self._max_ticker_lines :]
        interval_s = len(self._clients) / self._ticker_writes_per_second
        if not self._outbox and time.monotonic() - self._sent_arrivals_at >= interval_s:
            self._send_arrivals()

    async def beat(self) -> None:
        """Send a heartbeat, unless something else was sent within the heartbeat interval."""
        if time.monotonic() - self._sent_at >= HEARTBEAT_SECONDS:
            self._send(lambda _persons: _HEARTBEAT)

    def _send_snapshot(self) -> None:
        self._snapshot_due = False
        if self._clients:
            self._sent_top = {} if self._state is None else self._state.top
            arrivals = self._take_arrivals()
            self._send(lambda persons: _ticker(arrivals, persons) + self._snapshot_message(persons=persons))

    def _send_arrivals(self) -> None:
        if arrivals := self._take_arrivals():
            self._send(lambda persons: _ticker(arrivals, persons))

    def _take_arrivals(self) -> Sequence[Arrival]:
        """Empty the pending arrivals; none where there is no client."""
        taken, self._pending_arrivals = self._pending_arrivals, []
        if not taken or not self._clients:
            return ()
        self._sent_arrivals_at = time.monotonic()
        return taken

    def _send(self, encoded: Callable[[bool], bytes]) -> None:
        """Send a message to all, encoded at most twice: for clients that see persons, and for the others."""
        self._sent_at = time.monotonic()
        chunks = {persons: encoded(persons) for persons in {client.persons for client in self._clients}}
        self._outbox.append((chunks, iter(list(self._clients))))
        if len(self._outbox) == 1:
            self._deliver()

    def _deliver(self) -> None:
        """Deliver the outbox, oldest message first, a bounded number of clients in each iteration of the event loop."""
        while self._outbox:
            chunks, waiting = self._outbox[0]
            batch = list(islice(waiting, _CLIENTS_PER_ITERATION))
            for client in batch:
                self._enqueue(client, chunks[client.persons])
            if len(batch) == _CLIENTS_PER_ITERATION:
                asyncio.get_running_loop().call_soon(self._deliver)
                return
            self._outbox.popleft()
        if self._snapshot_due:
            self._send_snapshot()

    def _enqueue(self, client: StreamClient, chunk: bytes) -> None:
        if client in self._clients and not client.enqueue(chunk):
            reason = f"too slow: {self._queue_limit} messages or {self._send_timeout_s:g} s behind"
            self._drop(client, reason, "slow")

    def _drop(self, client: StreamClient, reason: str, label: str) -> None:
        self.leave(client)
        client.end(reason)
        GATEWAY_STREAM_DROPPED.labels(label).inc()
