"""Sales over time from the live tables: of the shop, of a category, of a product."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal
from zoneinfo import ZoneInfo

from services.common.calendar import day_start, local_date, periods
from services.common.event_clock import MAX_AHEAD_MS
from services.common.tables import MINUTES_KEPT_SECONDS, Figures, Granularity, sum_figures
from services.gateway.queries.buckets import Range
from services.gateway.queries.entities import read_totals
from services.gateway.queries.figures import Hash, figures_sum
from services.gateway.queries.shards import ShardReader

MAX_BUCKETS = 10_000
_PERIODS_A_READ = 8

Coarse = Literal["month", "day"]
Row = tuple[int, Figures]


@dataclass(frozen=True, slots=True)
class Series:
    """Buckets oldest first as (start in epoch seconds, figures).

    `cut`: older buckets were dropped to keep the limit. `minute_floor` (epoch seconds) is the start
    of the oldest minute kept, for minutes only.
    """

    rows: list[Row]
    cut: bool = False
    minute_floor: int | None = None


async def read_shop_sales(shards: ShardReader, zone: ZoneInfo, granularity: Granularity, wanted: Range) -> Series:
    """The shop's sales by bucket. Reads the newest period first, so that the limit bounds the reads too."""
    totals = await read_totals(shards)
    floor = totals.minute_floor if granularity == "minute" else None
    if totals.first_event is None or totals.last_event is None:
        return Series([], minute_floor=floor)
    newest = totals.last_event
    if floor:  # an event of the far future is no reason to look into every minute until then
        newest = min(newest, (floor + MINUTES_KEPT_SECONDS) * 1000 + MAX_AHEAD_MS)
    first, last = wanted.within(max(totals.first_event, (floor or 0) * 1000), newest)
    rows: list[Row] = []
    for names in _chunks(periods(granularity, zone, first, last), _PERIODS_A_READ):
        for buckets in await _read_periods(shards, granularity, names):
            rows += _rows(buckets.items(), wanted, floor)
        if len(rows) > MAX_BUCKETS:
            break
    return _series(rows, floor)


async def read_day(shards: ShardReader, zone: ZoneInfo, at_ms: int) -> Row:
    """The shop's sales of the day that an instant lies in."""
    start = day_start(local_date(at_ms, zone), zone)
    (period,) = periods("day", zone, at_ms, at_ms)
    (packed,) = await shards.query(lambda pipe, keys: pipe.hget(keys(f"sales:day:{period}"), str(start)))
    return start, figures_sum(packed)


async def _read_periods(
    shards: ShardReader, granularity: Granularity, names: Sequence[str]
) -> Iterator[dict[str, Figures]]:
    def commands(pipe: Any, keys: Any) -> None:
        for name in names:
            pipe.hgetall(keys(f"sales:{granularity}:{name}"))

    return map(sum_figures, await shards.query(commands))


async def read_category_sales(shards: ShardReader, category: str, granularity: Coarse, wanted: Range) -> Series:
    """A category's sales, including those of the categories below it."""
    return await _read_entity_sales(shards, f"category:{category}", granularity, wanted)


async def read_product_sales(shards: ShardReader, product_id: str, granularity: Coarse, wanted: Range) -> Series:
    """A product's sales."""
    return await _read_entity_sales(shards, f"product:{product_id}", granularity, wanted)


async def _read_entity_sales(shards: ShardReader, table: str, granularity: Coarse, wanted: Range) -> Series:
    (hashes,) = await shards.query(lambda pipe, keys: pipe.hgetall(keys(table)))
    prefix = f"{granularity}:"
    buckets = sum_figures([_fields_below(prefix, fields) for fields in hashes])
    return _series(_rows(buckets.items(), wanted, None), None)


def _fields_below(prefix: str, fields: Hash) -> Hash:
    return {field.removeprefix(prefix): packed for field, packed in fields.items() if field.startswith(prefix)}


def _rows(buckets: Iterable[tuple[str, Figures]], wanted: Range, floor: int | None) -> list[Row]:
    starts = ((int(start), figures) for start, figures in buckets)
    return [
        (start, figures)
        for start, figures in starts
        if figures != Figures() and wanted.holds(start) and (floor is None or start >= floor)
    ]


def _series(rows: list[Row], floor: int | None) -> Series:
    rows.sort()
    return Series(rows[-MAX_BUCKETS:], len(rows) > MAX_BUCKETS, floor)


def _chunks(items: Iterable[str], size: int) -> Iterator[list[str]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk
