"""The shop state: totals, rates and top lists, read from the live tables for all clients.

All of it is read once a second. What a purchase changes at once is read in between, soon after arrivals were seen: it
costs little, whereas brands and categories may be thousands.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from zoneinfo import ZoneInfo

from services.common.calendar import bucket_time
from services.common.metrics import GATEWAY_SNAPSHOT_AGE_SECONDS
from services.common.money import format_cents
from services.common.redis_client import REDIS_ERRORS
from services.common.tables import sum_figures
from services.common.telemetry import Health
from services.common.times import format_time
from services.gateway.api.schemas.figures import Bucket, Summary, TopItem
from services.gateway.queries.figures import (
    Totals,
    applied_offsets,
    by_revenue,
    count_sum,
    lag,
    present_of,
    share,
    totals_of,
)
from services.gateway.queries.rankings import Board, Ranked, top_products, top_spenders
from services.gateway.queries.sales import Row, read_day
from services.gateway.queries.shards import LiveTables, ShardReader
from services.gateway.stream.arrival_rate import ArrivalRate
from services.gateway.stream.lag_tracker import LagTracker
from services.gateway.upstreams.offsets import OffsetPoller
from services.gateway.upstreams.outages import OutageLog
from services.gateway.upstreams.recommender_client import ServingModelPoller

_TOP = 10
_HASHES = ("totals", "marks", "dead_letters")
_HASHES_EACH_SECOND = ("arrivals", "categories", "brands")


@dataclass(frozen=True, slots=True)
class ShopState:
    """The figures of one poll; `taken_ms` is when they were read (epoch milliseconds).

    `now_ms` is the shop's present in event time, which no single event moves; None before the first event. `applied`:
    partition → the offset before which everything is in the figures.
    """

    taken_ms: int
    totals: Totals
    dead_letters: int
    events_per_second: float | None
    lag: int | None
    model_version: str | None
    now_ms: int | None = None
    applied: Mapping[int, int] = field(default_factory=dict)
    today: Bucket | None = None
    top: dict[Board, list[Ranked]] = field(default_factory=dict)

    def summary(self) -> Summary:
        """As the summary route responds."""
        totals = self.totals
        return Summary(
            revenue=format_cents(totals.revenue),
            quantity=totals.quantity,
            orders=totals.orders,
            buyers=totals.buyers,
            events=totals.events,
            events_per_second=self.events_per_second,
            dead_letters=self.dead_letters,
            freshness_ms=totals.freshness_ms,
            lag=self.lag,
            model_version=self.model_version,
            first_event=None if totals.first_event is None else format_time(totals.first_event),
            last_event=None if self.now_ms is None else format_time(self.now_ms),
            today=self.today,
            as_of=format_time(self.taken_ms),
        )


def top_item(ranked: Ranked) -> TopItem:
    """A row of a top list as the routes respond."""
    facts = ranked.facts
    return TopItem(
        id=ranked.id,
        revenue=format_cents(ranked.figures.revenue),
        quantity=ranked.figures.quantity,
        share=ranked.share,
        name=facts and facts.product_name,
        category_code=facts and facts.category_code,
        brand=facts and facts.brand,
    )


class ShopStatePoller:
    """Polls the shop state. `latest` is None before the first poll and while the live tables cannot be read."""

    def __init__(
        self, tables: LiveTables, topic: str, offsets: OffsetPoller, model: ServingModelPoller, health: Health
    ) -> None:
        self._tables = tables
        self._topic = topic
        self._offsets = offsets
        self._model = model
        self._health = health
        self._arrival_rate = ArrivalRate()
        self._outages = OutageLog()
        self._lags = LagTracker()
        self._listeners: list[Callable[[ShopState | None], None]] = []
        self._change_listeners: list[Callable[[ShopState], None]] = []
        self._reading = asyncio.Lock()  # an older state must not replace a newer one
        self.latest: ShopState | None = None
        GATEWAY_SNAPSHOT_AGE_SECONDS.set_function(self._age)

    def listen(self, listener: Callable[[ShopState | None], None]) -> None:
        """Call the listener after each poll, with the state, or with None where the live tables could not be read."""
        self._listeners.append(listener)

    def listen_to_changes(self, listener: Callable[[ShopState], None]) -> None:
        """Call the listener after each `refresh_changes`."""
        self._change_listeners.append(listener)

    async def refresh_changes(self) -> None:
        """Read what purchases change at once, and call the listeners to changes. Nothing before the first `refresh`."""
        async with self._reading:
            before = self.latest
            if before is None:
                return
            try:
                state = await self._read_changes(self._tables.reader, before)
            except REDIS_ERRORS:
                return  # `refresh` notices the outage
            self.latest = state
        for listener in self._change_listeners:
            listener(state)

    async def refresh(self) -> None:
        """Read once and call the listeners."""
        async with self._reading:
            await self._refresh()
        for listener in self._listeners:
            listener(self.latest)

    async def _refresh(self) -> None:
        try:
            await self._tables.refresh_generation()
            state = await self._read(self._tables.reader)
        except REDIS_ERRORS as error:
            self.latest = None
            self._health.set("redis", False, self._outages.started("redis", error))
        else:
            self._outages.recovered("redis")
            self.latest = state
            self._health.set("redis", True)
        if (log_end := self._offsets.latest) is not None:  # also while Redis is away: the log grows all the same
            self._lags.appended({partition: end for partition, (_begin, end) in log_end.offsets.items()})
        self._lags.report()

    def _age(self) -> float:
        return time.time() - self.latest.taken_ms / 1000 if self.latest else float("nan")

    async def _read(self, shards: ShardReader) -> ShopState:
        taken_s = time.time()
        arrivals, categories, brands = await shards.query(
            lambda pipe, keys: [pipe.hgetall(keys(table)) for table in _HASHES_EACH_SECOND]
        )
        nothing = ShopState(0, Totals(), 0, self._arrival_rate.of(arrivals, taken_s), None, None)
        state = await self._read_changes(shards, nothing)
        revenue = state.totals.revenue
        lists: dict[Board, list[Ranked]] = {
            "categories": _top_entries(categories, revenue),
            "brands": _top_entries(brands, revenue),
        }
        return replace(state, top=state.top | lists)

    async def _read_changes(self, shards: ShardReader, before: ShopState) -> ShopState:
        """The state of now, with the rate, brands and categories of `before`."""
        taken_ms = time.time_ns() // 1_000_000
        # Log ends first: records that are appended during the reads must not count as lag.
        log_end = self._offsets.latest
        totals_hashes, marks, dead_letters, newest = await shards.query(
            lambda pipe, keys: [
                *(pipe.hgetall(keys(table)) for table in _HASHES),
                pipe.zrange(keys("newest_events"), 0, -1, withscores=True),
            ]
        )
        totals = totals_of(totals_hashes)
        applied = applied_offsets(marks, self._topic, log_end.offsets) if log_end else {}
        self._lags.applied(applied)
        now_ms = present_of(newest, totals.last_event)
        changed: dict[Board, list[Ranked]] = {
            "spenders": await top_spenders(shards, _TOP, totals.revenue),
            "products": await top_products(shards, _TOP, totals.revenue),
        }
        return ShopState(
            taken_ms=taken_ms,
            totals=totals,
            dead_letters=count_sum(dead_letters),
            events_per_second=before.events_per_second,
            lag=None if log_end is None else lag(applied, log_end.offsets),
            model_version=self._model.version,
            now_ms=now_ms,
            applied=applied,
            today=await _read_today(shards, now_ms),
            top=before.top | changed,
        )


async def _read_today(shards: ShardReader, now_ms: int | None) -> Bucket | None:
    if now_ms is None:
        return None
    zone = shards.generation.zone
    return bucket_of(await read_day(shards, zone, now_ms), zone)


def bucket_of(row: Row, zone: ZoneInfo) -> Bucket:
    """A time bucket as the routes respond."""
    start, figures = row
    return Bucket(
        bucket=bucket_time(start, zone),
        revenue=format_cents(figures.revenue),
        quantity=figures.quantity,
        orders=figures.orders,
    )


def _top_entries(hashes: list[dict[str, str]], revenue: int) -> list[Ranked]:
    ranked = by_revenue(sum_figures(hashes))[:_TOP]
    return [Ranked(entry, figures, share(figures.revenue, revenue)) for entry, figures in ranked]
