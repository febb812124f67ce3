"""The ticker: the newest arrivals of all shards, followed by one reader for everybody."""

import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec
from redis.exceptions import RedisError

from services.common.categories import UNKNOWN
from services.common.money import format_cents
from services.common.tables import TICKER_KEPT, TickerLine
from services.common.times import format_time
from services.gateway.api.schemas import TickerEntry
from services.gateway.queries.shards import LiveTables

logger = logging.getLogger(__name__)

_line = msgspec.json.Decoder(TickerLine)

# A place in one shard's stream: milliseconds and sequence, as Redis numbers entries.
StreamId = tuple[int, int]
# How far each shard's stream was followed; its text is the `id` of server-sent events.
Cursor = tuple[StreamId, ...]

_SHARDS_APART = "_"
_LONGEST_CURSOR = 64 * 1024


@dataclass(frozen=True, slots=True)
class Arrival:
    """One entry of a shard's stream, and the cursor right after it."""

    shard: int
    stream_id: StreamId
    cursor: Cursor
    line: TickerLine

    def entry(self) -> TickerEntry:
        """The arrival as answered."""
        line = self.line
        return TickerEntry(
            id=cursor_text(self.cursor),
            arrived_at=format_time(line.arrived_at),
            event_time=format_time(line.event_time),
            order_id=line.order_id,
            user_id=line.user_id,
            product_id=line.product_id,
            product_name=line.product_name or UNKNOWN,
            category_code=line.category_code or UNKNOWN,
            brand=line.brand or UNKNOWN,
            price=format_cents(line.price),
            quantity=line.quantity,
            revenue=format_cents(line.revenue),
        )


def cursor_text(cursor: Cursor) -> str:
    """The text of a cursor, e.g. `1587729039000-0`, the shards' places joined by `_`."""
    return _SHARDS_APART.join(f"{ms}-{sequence}" for ms, sequence in cursor)


def parse_cursor(text: str | None, shards: int) -> Cursor | None:
    """The cursor that a client sent back; None where it is none of ours (of another layout, or made up)."""
    if not text or len(text) > _LONGEST_CURSOR:
        return None
    try:
        cursor = tuple(map(_stream_id, text.split(_SHARDS_APART)))
    except ValueError:
        return None
    return cursor if len(cursor) == shards else None


def _stream_id(text: str) -> StreamId:
    ms, _dash, sequence = text.partition("-")
    if not (ms.isdecimal() and sequence.isdecimal() and len(text) < 42):
        raise ValueError(text)
    return int(ms), int(sequence)


class TickerPoller:
    """Follows the shards' streams and remembers the newest arrivals for clients that come back."""

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
        """Read what is new. What lies there at the start is remembered, not announced."""
        try:
            arrivals = await (self._go_over() if self._shards is not self._tables.reader else self._go_on())
        except RedisError:
            return  # the snapshot says so
        self._recent.extend(arrivals)
        if arrivals and self._started:
            for listener in self._listeners:
                listener(arrivals)
        self._started = True

    async def _go_on(self) -> list[Arrival]:
        return self._follow(await (self._read_new() if self._started else self._read_newest()))

    async def _go_over(self) -> list[Arrival]:
        """The stream of another generation repeats what was shown already: new is what arrived after that."""
        shards, self._shards = self._shards, self._tables.reader
        try:
            replies = await self._read_newest()
        except RedisError:
            self._shards = shards
            raise
        if len(self._shards.keys) != len(self.cursor):
            self._recent.clear()  # their places are of another layout
            self._started = False
        self.cursor = ((0, 0),) * len(self._shards.keys)
        shown = max((arrival.line.arrived_at for arrival in self._recent), default=0)
        return [arrival for arrival in self._follow(replies) if arrival.line.arrived_at > shown]

    async def _read_newest(self) -> list[list[tuple[str, dict[str, str]]]]:
        (newest,) = await self._shards.query(lambda pipe, keys: pipe.xrevrange(keys("ticker"), count=TICKER_KEPT))
        return [entries[::-1] for entries in newest]

    async def _read_new(self) -> list[list[tuple[str, dict[str, str]]]]:
        replies = await self._shards.query_per_shard(
            # "(" excludes the place itself.
            lambda pipe, keys, shard: pipe.xrange(keys("ticker"), f"({cursor_text((self.cursor[shard],))}", "+")
        )
        return list(replies)

    def _follow(self, replies: Sequence[Sequence[tuple[str, dict[str, str]]]]) -> list[Arrival]:
        entries = [
            (_stream_id(text), shard, fields["line"]) for shard, reply in enumerate(replies) for text, fields in reply
        ]
        arrivals = []
        for stream_id, shard, line in sorted(entries):
            self.cursor = (*self.cursor[:shard], stream_id, *self.cursor[shard + 1 :])
            arrivals.append(Arrival(shard, stream_id, self.cursor, _line.decode(line)))
        return arrivals

    def since(self, cursor: Cursor) -> list[Arrival]:
        """The remembered arrivals after a cursor, oldest first."""
        return [arrival for arrival in self._recent if arrival.stream_id > cursor[arrival.shard]]

    def newest(self, count: int) -> list[Arrival]:
        """The newest arrivals, oldest first."""
        return list(self._recent)[-count:]
