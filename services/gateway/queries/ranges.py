"""Rankings of a range of days: exact sums of the day and month figures of products and categories."""

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from itertools import pairwise
from typing import Any, Literal
from zoneinfo import ZoneInfo

from services.common.calendar import day_start, local_date
from services.common.categories import levels
from services.common.tables import Figures, Keys, parse_figures
from services.gateway.queries.buckets import Range
from services.gateway.queries.entities import read_products, read_totals
from services.gateway.queries.figures import by_revenue, figures_sum, share
from services.gateway.queries.rankings import Ranked
from services.gateway.queries.sales import read_shop_sales
from services.gateway.queries.shards import ShardReader
from services.gateway.queries.shared_read import SharedRead

RangeBoard = Literal["products", "categories"]

# A ranking reads every product. With more products, the reads would slow down the aggregator's writes to Redis.
MAX_PRODUCTS = 25_000
MAX_PLACES = 1_000
# Redis returns so many fields within a few milliseconds.
_FIELDS_PER_READ = 5_000
_MAX_CACHED_RANKINGS = 32
# Rankings that are read or wait for their turn. More would be answered after their readers have given up.
_MAX_UNDER_WAY = 8
# A ranking of products costs the gateway some 70 µs per product.
_CACHE_SECONDS: dict[RangeBoard, float] = {"categories": 10.0, "products": 60.0}


class TooManyProducts(Exception):
    """The shop has too many products for a ranking by range."""


class TooManyRankings(Exception):
    """Too many rankings of other ranges are being read."""


@dataclass(frozen=True, slots=True)
class RangeFields:
    """The hash fields that sum up to a range of days: one per whole month, and single days of partial months.

    `parts` is (month, its days within the range); at most the first and the last month are partial.
    """

    months: Sequence[str] = ()
    parts: Sequence[tuple[str, Sequence[str]]] = ()

    @property
    def fields(self) -> list[str]:
        """All fields that sum up to the range."""
        return [*self.months, *(day for _month, days in self.parts for day in days)]


def fields_of_range(zone: ZoneInfo, wanted: Range, first_ms: int, last_ms: int) -> RangeFields:
    """The fields of a range within [first_ms, last_ms]. As in sales by day, a day belongs to it if its start does."""
    first, last = wanted.within(first_ms, last_ms)
    if first > last:
        return RangeFields()
    day = local_date(first, zone)
    if not wanted.holds(day_start(day, zone)):
        day += timedelta(days=1)
    end = local_date(last, zone) + timedelta(days=1)
    months, parts = [], []
    while day < end:
        start = day.replace(day=1)
        next_month = (start + timedelta(days=32)).replace(day=1)
        if day == start and next_month <= end:
            months.append(f"month:{day_start(start, zone)}")
        else:
            days = [day + timedelta(days=each) for each in range((min(end, next_month) - day).days)]
            parts.append((f"month:{day_start(start, zone)}", [f"day:{day_start(each, zone)}" for each in days]))
        day = next_month
    return RangeFields(months, parts)


@dataclass(slots=True)
class _CachedRanking:
    """A ranking that was read or is being read. It expires at `until` (monotonic clock), set when the read starts."""

    reading: SharedRead[list[Ranked]]
    until: float = math.inf


class RangeRankings:
    """Reads rankings of ranges, one at a time, and caches them for seconds.

    So the load on Redis and on the event loop is that of one read, however many pages request however many ranges.
    A read whose readers have all left ends.
    """

    def __init__(self, max_products: int = MAX_PRODUCTS) -> None:
        self._max_products = max_products
        self._cache: OrderedDict[tuple[object, ...], _CachedRanking] = OrderedDict()
        self._one_read = asyncio.Semaphore(1)

    async def read(self, shards: ShardReader, board: RangeBoard, wanted: Range, n: int) -> list[Ranked]:
        """The first n (of a thousand) by revenue descending, then id ascending, without entries that had no sales.

        `share` is the part of the shop's revenue in the range. Raises TooManyProducts and TooManyRankings.
        """
        totals = await read_totals(shards)
        if totals.first_event is None or totals.last_event is None:
            return []
        range_fields = fields_of_range(shards.generation.zone, wanted, totals.first_event, totals.last_event)
        if not range_fields.fields:
            return []
        ranked = (await self._ranking(shards, board, wanted, range_fields))[:n]
        return await _named(shards, ranked) if board == "products" else ranked

    async def _ranking(
        self, shards: ShardReader, board: RangeBoard, wanted: Range, range_fields: RangeFields
    ) -> list[Ranked]:
        # Keyed by the fields that are read, not by the range: ranges differ by milliseconds, but cover few days.
        key = (shards.generation, board, *range_fields.fields)
        cached = self._cache.get(key)
        if cached is None or time.monotonic() > cached.until or cached.reading.failed:
            cached = self._begin(key, partial(self._read, shards, board, wanted, range_fields), _CACHE_SECONDS[board])
        return await cached.reading.result()

    def _begin(
        self, key: tuple[object, ...], read: Callable[[], Awaitable[list[Ranked]]], seconds: float
    ) -> _CachedRanking:
        async def in_turn() -> list[Ranked]:
            async with self._one_read:
                cached.until = time.monotonic() + seconds
                return await read()

        if sum(each.reading.under_way for each in self._cache.values()) >= _MAX_UNDER_WAY:
            raise TooManyRankings(f"{_MAX_UNDER_WAY} rankings of other ranges are being read")
        cached = _CachedRanking(SharedRead(in_turn()))
        self._cache[key] = cached
        self._cache.move_to_end(key)
        while len(self._cache) > _MAX_CACHED_RANKINGS:
            self._cache.popitem(last=False)
        return cached

    async def _read(
        self, shards: ShardReader, board: RangeBoard, wanted: Range, range_fields: RangeFields
    ) -> list[Ranked]:
        days = await read_shop_sales(shards, shards.generation.zone, "day", wanted)
        revenue = sum(figures.revenue for _start, figures in days.rows)
        sums = await (
            _category_sums(shards, range_fields) if board == "categories" else self._product_sums(shards, range_fields)
        )
        return _ranked(sums, revenue)

    async def _product_sums(self, shards: ShardReader, range_fields: RangeFields) -> dict[str, Figures]:
        (counts,) = await shards.query(lambda pipe, keys: pipe.zcard(keys("products")))
        if sum(counts) > self._max_products:
            raise TooManyProducts(f"products are ranked by range up to {self._max_products:,}, the shop has more")
        (ids,) = await shards.query(lambda pipe, keys: pipe.zrange(keys("products"), 0, -1))
        return await _sums(shards, "product", sorted({product for shard in ids for product in shard}), range_fields)


async def _sums(
    shards: ShardReader, kind: str, entries: Sequence[str], range_fields: RangeFields
) -> dict[str, Figures]:
    """Entry → its figures in the range. An order that spans several days counts in each."""
    asked = [*range_fields.months, *(month for month, _days in range_fields.parts)]
    sums: dict[str, Figures] = {}
    # Most of a catalogue sells nothing in a month. The days of these products are not read.
    sold: list[list[str]] = [[] for _part in range_fields.parts]
    async for entry, figures in _read(shards, kind, entries, asked):
        sums[entry] = sum(figures[: len(range_fields.months)], Figures())
        for entries_of_part, month in zip(sold, figures[len(range_fields.months) :], strict=True):
            if month != Figures():
                entries_of_part.append(entry)
    for entries_of_part, (_month, days) in zip(sold, range_fields.parts, strict=True):
        async for entry, figures in _read(shards, kind, entries_of_part, days):
            sums[entry] += sum(figures, Figures())
    return sums


async def _read(
    shards: ShardReader, kind: str, entries: Sequence[str], fields: Sequence[str]
) -> AsyncIterator[tuple[str, list[Figures]]]:
    """Each entry with its figures of each field, read in chunks that block neither Redis nor the event loop.

    The caller sums chunk by chunk too: the event loop runs while the next chunk is being read.
    """
    size = max(1, _FIELDS_PER_READ // len(fields))
    for at in range(0, len(entries), size):
        chunk = entries[at : at + size]
        replies = await shards.query(_hmget(kind, chunk, fields))
        for entry, reply in zip(chunk, replies, strict=True):
            yield entry, _over_shards(reply)


def _hmget(kind: str, entries: Sequence[str], fields: Sequence[str]) -> Callable[[Any, Keys], None]:
    def commands(pipe: Any, keys: Keys) -> None:
        for entry in entries:
            pipe.hmget(keys(f"{kind}:{entry}"), fields)

    return commands


def _over_shards(reply: Sequence[Sequence[str | None]]) -> list[Figures]:
    if len(reply) == 1:
        return list(map(parse_figures, reply[0]))
    return [figures_sum(packed) for packed in zip(*reply, strict=True)]


async def _category_sums(shards: ShardReader, range_fields: RangeFields) -> dict[str, Figures]:
    """Full category code → its figures, without those of the categories below it."""
    (found,) = await shards.query(lambda pipe, keys: pipe.hkeys(keys("categories")))
    codes = {code for shard in found for code in shard}
    below = _children(codes)
    sums = await _sums(shards, "category", sorted(codes - below.keys()), range_fields)
    for code in sorted(codes & below.keys()):
        # A category's buckets include those below it. Its own sales are the difference, read in one transaction.
        replies = await shards.query_atomically(_hmget("category", [code, *below[code]], range_fields.fields))
        whole, *parts = [sum(_over_shards(reply), Figures()) for reply in replies]
        sums[code] = _less(whole, parts)
    return sums


def _children(codes: Iterable[str]) -> Mapping[str, set[str]]:
    """Each category that has others below it → those right below it."""
    below: dict[str, set[str]] = {}
    for code in codes:
        for parent, child in pairwise(levels(code)):
            below.setdefault(parent, set()).add(child)
    return below


def _less(whole: Figures, parts: Iterable[Figures]) -> Figures:
    rest = sum(parts, Figures())
    # Orders are distinct per category, so they cannot be subtracted. The ranking does not show them.
    return Figures(whole.revenue - rest.revenue, whole.quantity - rest.quantity, 0)


def _ranked(sums: Mapping[str, Figures], revenue: int) -> list[Ranked]:
    sold = {entry: figures for entry, figures in sums.items() if figures != Figures()}
    return [Ranked(entry, figures, share(figures.revenue, revenue)) for entry, figures in by_revenue(sold)[:MAX_PLACES]]


async def _named(shards: ShardReader, ranked: Sequence[Ranked]) -> list[Ranked]:
    products = await read_products(shards, [place.id for place in ranked])
    return [
        Ranked(place.id, place.figures, place.share, product.facts)
        for place, product in zip(ranked, products, strict=True)
    ]
