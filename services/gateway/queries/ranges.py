"""Rankings of a range of days: summed from the days and months that products and categories have, never estimated."""

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

RangeBoard = Literal["products", "categories"]

# Each product is read for each range: with more of them, Redis would serve readers instead of the aggregator.
MOST_PRODUCTS = 25_000
MOST_PLACES = 1_000
# Redis answers so many fields within a few milliseconds.
_FIELDS_A_READ = 5_000
_RANGES_KEPT = 32
# A ranking of products takes the gateway some 70 µs a product.
_KEPT_SECONDS: dict[RangeBoard, float] = {"categories": 10.0, "products": 60.0}


class TooManyProducts(Exception):
    """The shop has more products than are ranked by range."""


@dataclass(frozen=True, slots=True)
class RangeFields:
    """The fields that together hold exactly a range of days: one for each whole month, and the days of the others.

    `parts` is (month, its days within the range); at most the first month and the last are no whole ones.
    """

    months: Sequence[str] = ()
    parts: Sequence[tuple[str, Sequence[str]]] = ()

    @property
    def fields(self) -> list[str]:
        """All that add up to the range."""
        return [*self.months, *(day for _month, days in self.parts for day in days)]


def fields_of_range(zone: ZoneInfo, wanted: Range, first_ms: int, last_ms: int) -> RangeFields:
    """The fields of a range within [first_ms, last_ms]. A day belongs to it if its start does, as in sales by day."""
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
class _Kept:
    """A ranking that was read, or is being read; `until` by the monotonic clock, once its reading has begun."""

    reading: "asyncio.Task[list[Ranked]]"
    until: float = math.inf


class RangeRankings:
    """Reads rankings of ranges, one after the other; ranges of the same days get the same answer within seconds.

    So the load on Redis and on the event loop is that of one reading, however many pages look at however many ranges.
    """

    def __init__(self, most_products: int = MOST_PRODUCTS) -> None:
        self._most_products = most_products
        self._kept: OrderedDict[tuple[object, ...], _Kept] = OrderedDict()
        self._one_at_a_time = asyncio.Semaphore(1)

    async def read(self, shards: ShardReader, board: RangeBoard, wanted: Range, n: int) -> list[Ranked]:
        """The first n (of a thousand) by revenue descending, then id ascending; what was not sold is left out.

        `share` is the part of the shop's revenue in the range. Raises TooManyProducts.
        """
        totals = await read_totals(shards)
        if totals.first_event is None or totals.last_event is None:
            return []
        span = fields_of_range(shards.generation.zone, wanted, totals.first_event, totals.last_event)
        if not span.fields:
            return []
        ranked = (await self._ranking(shards, board, wanted, span))[:n]
        return await _named(shards, ranked) if board == "products" else ranked

    async def _ranking(self, shards: ShardReader, board: RangeBoard, wanted: Range, span: RangeFields) -> list[Ranked]:
        # By what is read, not by what was asked for: there are as many ranges as milliseconds, but few days.
        key = (shards.generation, board, *span.fields)
        kept = self._kept.get(key)
        if kept is None or time.monotonic() > kept.until or _failed(kept.reading):
            kept = self._begin(key, partial(self._read, shards, board, wanted, span), _KEPT_SECONDS[board])
        # One who goes away must not break off what others wait for.
        return await asyncio.shield(kept.reading)

    def _begin(self, key: tuple[object, ...], read: Callable[[], Awaitable[list[Ranked]]], seconds: float) -> _Kept:
        async def in_turn() -> list[Ranked]:
            async with self._one_at_a_time:
                kept.until = time.monotonic() + seconds
                return await read()

        kept = _Kept(asyncio.create_task(in_turn()))
        self._kept[key] = kept
        self._kept.move_to_end(key)
        while len(self._kept) > _RANGES_KEPT:
            self._kept.popitem(last=False)
        return kept

    async def _read(self, shards: ShardReader, board: RangeBoard, wanted: Range, span: RangeFields) -> list[Ranked]:
        days = await read_shop_sales(shards, shards.generation.zone, "day", wanted)
        revenue = sum(figures.revenue for _start, figures in days.rows)
        sums = await (_category_sums(shards, span) if board == "categories" else self._product_sums(shards, span))
        return _ranked(sums, revenue)

    async def _product_sums(self, shards: ShardReader, span: RangeFields) -> dict[str, Figures]:
        (counts,) = await shards.query(lambda pipe, keys: pipe.zcard(keys("products")))
        if sum(counts) > self._most_products:
            raise TooManyProducts(f"products are ranked by range up to {self._most_products:,}, the shop has more")
        (ids,) = await shards.query(lambda pipe, keys: pipe.zrange(keys("products"), 0, -1))
        return await _sums(shards, "product", sorted({product for shard in ids for product in shard}), span)


def _failed(reading: "asyncio.Task[list[Ranked]]") -> bool:
    return reading.done() and (reading.cancelled() or reading.exception() is not None)


async def _sums(shards: ShardReader, kind: str, entries: Sequence[str], span: RangeFields) -> dict[str, Figures]:
    """Entry → its figures over the span. Orders of several days count in each."""
    asked = [*span.months, *(month for month, _days in span.parts)]
    sums: dict[str, Figures] = {}
    # Most of a catalogue sells nothing in a month: its days need not be asked for.
    sold: list[list[str]] = [[] for _part in span.parts]
    async for entry, figures in _read(shards, kind, entries, asked):
        sums[entry] = sum(figures[: len(span.months)], Figures())
        for entries_of_part, month in zip(sold, figures[len(span.months) :], strict=True):
            if month != Figures():
                entries_of_part.append(entry)
    for entries_of_part, (_month, days) in zip(sold, span.parts, strict=True):
        async for entry, figures in _read(shards, kind, entries_of_part, days):
            sums[entry] += sum(figures, Figures())
    return sums


async def _read(
    shards: ShardReader, kind: str, entries: Sequence[str], fields: Sequence[str]
) -> AsyncIterator[tuple[str, list[Figures]]]:
    """Each entry with its figures of each field, in pieces that hold up neither Redis nor the event loop.

    What is added up as they come is added piece by piece too: the loop turns while the next one is asked for.
    """
    size = max(1, _FIELDS_A_READ // len(fields))
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


async def _category_sums(shards: ShardReader, span: RangeFields) -> dict[str, Figures]:
    """Full category code → its figures, without those of the categories below it."""
    (found,) = await shards.query(lambda pipe, keys: pipe.hkeys(keys("categories")))
    codes = {code for shard in found for code in shard}
    below = _children(codes)
    sums = await _sums(shards, "category", sorted(codes - below.keys()), span)
    for code in sorted(codes & below.keys()):
        # A category's buckets take in those below it: what it sold itself is the rest, as of one moment.
        replies = await shards.query_atomically(_hmget("category", [code, *below[code]], span.fields))
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
    # Orders are distinct in each and cannot be subtracted; the ranking does not tell them.
    return Figures(whole.revenue - rest.revenue, whole.quantity - rest.quantity, 0)


def _ranked(sums: Mapping[str, Figures], revenue: int) -> list[Ranked]:
    sold = {entry: figures for entry, figures in sums.items() if figures != Figures()}
    return [
        Ranked(entry, figures, share(figures.revenue, revenue)) for entry, figures in by_revenue(sold)[:MOST_PLACES]
    ]


async def _named(shards: ShardReader, ranked: Sequence[Ranked]) -> list[Ranked]:
    products = await read_products(shards, [place.id for place in ranked])
    return [
        Ranked(place.id, place.figures, place.share, product.facts)
        for place, product in zip(ranked, products, strict=True)
    ]
