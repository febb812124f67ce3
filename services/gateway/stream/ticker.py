"""The ticker: the newest arrivals of all shards, polled once for all clients."""

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import msgspec

from services.common import tracing
from services.common.money import format_cents
from services.common.redis_client import REDIS_ERRORS
from services.common.tables import TICKER_KEPT, TickerLine
from services.common.times import format_time
from services.gateway.api.schemas.figures import TickerEntry
from services.gateway.queries.entities import described
from services.gateway.queries.shards import LiveTables

logger = logging.getLogger(__name__)

_line = msgspec.json.Decoder(TickerLine)

# The id of an entry in one shard's Redis stream: milliseconds and sequence.
StreamId = tuple[int, int]
# The last id read from each shard's stream; its text is the `id` of server-sent events.
Cursor = tuple[StreamId, ...]

_SHARD_SEPARATOR = "_"
_MAX_CURSOR_LENGTH = 64 * 1024


@dataclass(frozen=True, slots=True)
class Arrival:
    """One entry of a shard's stream, and the cursor right after it."""

    shard: int
    stream_id: StreamId
    cursor: Cursor
    line: TickerLine

    def entry(self) -> TickerEntry:
        """As the stream sends it."""
        line = self.line
        return TickerEntry(
            id=cursor_text(self.cursor),
            arrived_at=format_time(line.arrived_at),
            event_time=format_time(line.event_time),
            order_id=line.order_id,
            user_id=line.user_id,
            product_id=line.product_id,
            **described(line),
            price=format_cents(line.price),
            quantity=line.quantity,
            revenue=format_cents(line.revenue),
        )


def cursor_text(cursor: Cursor) -> str:
    """The text of a cursor, e.g. `1587729039000-0`; the ids of several shards are joined by `_`."""
    return _SHARD_SEPARATOR.join(f"{ms}-{sequence}" for ms, sequence in cursor)


def parse_cursor(text: str | None, shards: int) -> Cursor | None:
    """The cursor that a client sent back; None where it is invalid or has another number of shards."""
    if not text or len(text) > _MAX_CURSOR_LENGTH:
        return None
    try:
        cursor = tuple(map(_stream_id, text.split(_SHARD_SEPARATOR)))
    except ValueError:
        return None
    return cursor if len(cursor) == shards else None


def _stream_id(text: str) -> StreamId:
    ms, _dash, sequence = text.partition("-")
    if not (ms.isdecimal() and sequence.isdecimal() and len(text) < 42):
        raise ValueError(text)
    return int(ms), int(sequence)


@contextmanager
def _traced(arrivals: Sequence[Arrival]) -> Iterator[None]:
    """Handing the arrivals to the open pages, as a step of those that are traced."""
    with ExitStack() as stack:
        for arrival in arrivals:
            if arrival.line.traceparent is not None:
                stack.enter_context(tracing.continued("stream", arrival.line.traceparent))
        yield


class TickerPoller:
    """Polls the shards' Redis streams, and keeps the newest arrivals for clients that reconnect."""

    def __init__(self, tables: LiveTables) -> None:
        self._tables = tables
        self._listeners: list[Callable[[Sequence[Arrival]], None]] = []
        self._shards = tables.reader
        self._recent: deque[Arrival] = deque(maxlen=TICKER_KEPT)
        self.cursor: Cursor = ((0, 0),) * len(self._shards.keys)
        self._started = False

    def listen(self, listener: Callable[[Sequence[Arrival]], None]) -> None:
        """Call the listener with each batch of new arrivals, oldest first."""
        self._listeners.append(listener)

    async def refresh(self) -> None:
        """Read new arrivals. Those of the first poll are kept, but the listeners are not called with them."""
        try:
            arrivals = await (self._poll() if self._shards is self._tables.reader else self._switch_generation())
        except REDIS_ERRORS:
            return  # ShopStatePoller logs the outage
        self._recent.extend(arrivals)
        if arrivals and self._started:
            with _traced(arrivals):
                for listener in self._listeners:
                    listener(arrivals)
        self._started = True

    async def _poll(self) -> list[Arrival]:
        return self._advance(await (self._read_new() if self._started else self._read_newest()))

    async def _switch_generation(self) -> list[Arrival]:
        """Read another generation's stream. It repeats arrivals that were sent: later ones alone are new."""
        shards, self._shards = self._shards, self._tables.reader
        try:
            replies = await self._read_newest()
        except REDIS_ERRORS:
            self._shards = shards
            raise
        if len(self._shards.keys) != len(self.cursor):
            self._recent.clear()  # their cursors have another number of shards
            self._started = False
        self.cursor = ((0, 0),) * len(self._shards.keys)
        sent_until = max((arrival.line.arrived_at for arrival in self._recent), default=0)
        return [arrival for arrival in self._advance(replies) if arrival.line.arrived_at > sent_until]

    async def _read_newest(self) -> list[list[tuple[str, dict[str, str]]]]:
        (newest,) = await self._shards.query(lambda pipe, keys: pipe.xrevrange(keys("ticker"), count=TICKER_KEPT))
        return [entries[::-1] for entries in newest]

    async def _read_new(self) -> list[list[tuple[str, dict[str, str]]]]:
        replies = await self._shards.query_per_shard(
            # "(" excludes the id itself.
            lambda pipe, keys, shard: pipe.xrange(keys("ticker"), f"({cursor_text((self.cursor[shard],))}", "+")
        )
        return list(replies)

    def _advance(self, replies: Sequence[Sequence[tuple[str, dict[str, str]]]]) -> list[Arrival]:
        entries = [
            (_stream_id(text), shard, fields["line"]) for shard, reply in enumerate(replies) for text, fields in reply
        ]
        arrivals = []
        for stream_id, shard, line in sorted(entries):
            self.cursor = (*self.cursor[:shard], stream_id, *self.cursor[shard + 1 :])
            arrivals.append(Arrival(shard, stream_id, self.cursor, _line.decode(line)))
        return arrivals

    def since(self, cursor: Cursor) -> list[Arrival]:
        """The kept arrivals after a cursor, oldest first."""
        return [arrival for arrival in self._recent if arrival.stream_id > cursor[arrival.shard]]

    def newest(self, count: int) -> list[Arrival]:
        """The newest `count` arrivals, oldest first."""
        return list(self._recent)[-count:]
