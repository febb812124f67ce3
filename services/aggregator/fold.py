"""Folding accepted lines into the deltas of each shard: pure, no I/O.

One line changes some twenty counters (minute, hour, day, month; each level of its category, by month and by day;
product, brand, customer). Lines share most of them, so they are gathered into *facets*: groups of counters that always
move together. A line touches five facets at most; the script spreads them over counters.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple
from zlib import crc32

import msgspec
from xxhash import xxh3_64_digest

from services.aggregator.calendar import Calendar, Quarter
from services.common.events import Purchase
from services.common.tables import LATENESS_BOUNDS_SECONDS, UNKNOWN, ProductFacts, PurchaseLine, TickerLine

TOKEN_BYTES = 8
TICKER_LINES_A_BATCH = 20

Place = tuple[str, str]  # table and field of a counter
_json = msgspec.json.Encoder()


class Line(NamedTuple):
    """An accepted line and where it stood. `arrived_at` is the broker's time in epoch milliseconds."""

    offset: int
    arrived_at: int
    purchase: Purchase


class Places(NamedTuple):
    """The counters of a facet, and their tokens one after the other: 8 bytes that name a counter in an order's entry.

    Two of an order's twenty-odd counters share a token once in some 10^17 orders; only a number of distinct orders
    could then be off, never money.
    """

    places: tuple[Place, ...]
    tokens: bytes


@dataclass(slots=True)
class Facets:
    """Parallel lists: facet i adds revenue[i] (cents) and quantity[i] to each counter of places[i]."""

    places: list[Places] = field(default_factory=list)
    revenue: list[int] = field(default_factory=list)
    quantity: list[int] = field(default_factory=list)

    def add(self, places: Places) -> int:
        """A new facet with nothing in it; returns its position."""
        self.places.append(places)
        self.revenue.append(0)
        self.quantity.append(0)
        return len(self.places) - 1


@dataclass(slots=True)
class UserDelta:
    """What a batch says of one customer besides figures. Times are epoch milliseconds."""

    first_seen: int
    last_seen: int
    purchases: list[tuple[int, str]] = field(default_factory=list)  # event time and PurchaseLine as JSON


@dataclass(slots=True)
class ShardDelta:
    """All that one batch of one partition adds to one shard. `orders`: order → facets that its lines touch."""

    facets: Facets = field(default_factory=Facets)
    orders: dict[str, list[int]] = field(default_factory=dict)
    users: dict[str, UserDelta] = field(default_factory=dict)
    products: dict[str, ProductFacts] = field(default_factory=dict)
    # Additive, in the shard of the source partition only.
    revenue: int = 0
    quantity: int = 0
    events: int = 0
    first_event: int | None = None
    last_event: int | None = None
    arrivals: Counter[int] = field(default_factory=Counter)
    lateness: Counter[str] = field(default_factory=Counter)
    dead_letters: Counter[str] = field(default_factory=Counter)
    ticker: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Setting:
    """Where a batch comes from and how its deltas are laid out.

    `partition` is `<topic>/<partition>`, `home` the shard of its additive tables; minutes before `minute_floor`
    (epoch seconds) are left out, since no shard would take them.
    """

    partition: str
    home: int
    shards: int
    calendar: Calendar
    minute_floor: int


def shard_of(entity: str, shards: int) -> int:
    """The shard that holds an entity's tables."""
    return crc32(entity.encode()) % shards if shards > 1 else 0


def fold(lines: Sequence[Line], setting: Setting) -> list[ShardDelta]:
    """The deltas of each shard, by shard number."""
    deltas = [ShardDelta() for _ in range(setting.shards)]
    _gather(lines, setting).into(deltas)
    for line in lines:
        purchase = line.purchase
        _keep_facts(deltas[shard_of(purchase.product_id, setting.shards)].products, purchase)
        if purchase.user_id is not None:
            users = deltas[shard_of(purchase.user_id, setting.shards)].users
            _add_purchase(users, purchase.user_id, purchase, f"{setting.partition}/{line.offset}")
    _add_totals(deltas[setting.home], lines)
    return deltas


@dataclass(slots=True)
class _Gathered:
    """Facets over all shards: figures belong to the facet's shard, distinct orders to the order's."""

    facets: Facets
    shard: list[int]
    orders: defaultdict[str, set[int]]

    def into(self, deltas: list[ShardDelta]) -> None:
        if len(deltas) == 1:
            deltas[0].facets = self.facets
            deltas[0].orders = {order_id: list(facets) for order_id, facets in self.orders.items()}
            return
        position: list[dict[int, int]] = [{} for _ in deltas]
        for facet, shard in enumerate(self.shard):
            at = position[shard][facet] = deltas[shard].facets.add(self.facets.places[facet])
            deltas[shard].facets.revenue[at] = self.facets.revenue[facet]
            deltas[shard].facets.quantity[at] = self.facets.quantity[facet]
        for order_id, facets in self.orders.items():
            shard = shard_of(order_id, len(deltas))
            known, own = position[shard], deltas[shard].facets
            for facet in facets:
                if facet not in known:
                    known[facet] = own.add(self.facets.places[facet])
            deltas[shard].orders[order_id] = [known[facet] for facet in facets]


def _gather(lines: Sequence[Line], setting: Setting) -> _Gathered:
    facets, shard_of_facet, index = Facets(), list[int](), dict[object, int]()
    orders: defaultdict[str, set[int]] = defaultdict(set)
    revenue, quantity = facets.revenue, facets.quantity
    quarter_of, floor, home, shards = setting.calendar.quarter, setting.minute_floor, setting.home, setting.shards

    def new(key: object, places: Places, shard: int) -> int:
        index[key] = facets.add(places)
        shard_of_facet.append(shard)
        return index[key]

    for line in lines:
        purchase = line.purchase
        quarter = quarter_of(purchase.event_time)
        minute = purchase.event_time // 60_000 * 60
        category, brand = purchase.category_code or UNKNOWN, purchase.brand or UNKNOWN
        product_id, user_id = purchase.product_id, purchase.user_id
        time_key = (minute,) if minute >= floor else quarter.hour
        category_key = (category, quarter.day_field, None)
        product_key = (product_id, quarter.day_field)
        touched = [
            new(time_key, _time_places(quarter, minute if minute >= floor else None), home)
            if (facet := index.get(time_key)) is None
            else facet,
            new(category_key, _category_places(category, quarter.month_field, quarter.day_field), home)
            if (facet := index.get(category_key)) is None
            else facet,
            new(
                product_key,
                _product_places(product_id, quarter.month_field, quarter.day_field),
                shard_of(product_id, shards),
            )
            if (facet := index.get(product_key)) is None
            else facet,
            new(brand, _one_place("brands", brand), home) if (facet := index.get(brand)) is None else facet,
        ]
        if user_id is not None:
            user_key = ("user", user_id, quarter.month_field, None)
            facet = index.get(user_key)
            if facet is None:
                facet = new(user_key, _user_places(user_id, quarter.month_field), shard_of(user_id, shards))
            touched.append(facet)
        for facet in touched:
            revenue[facet] += purchase.revenue
            quantity[facet] += purchase.quantity
        orders[purchase.order_id].update(touched)
    return _Gathered(facets, shard_of_facet, orders)


def _named(places: tuple[Place, ...]) -> Places:
    return Places(places, b"".join(map(_token, places)))


def _token(place: Place) -> bytes:
    return xxh3_64_digest("\0".join(place).encode())


def _time_places(quarter: Quarter, minute: int | None) -> Places:
    places = (quarter.hour, quarter.day, quarter.month)
    return _named(places if minute is None else (*places, (quarter.minute_table, str(minute))))


@lru_cache(maxsize=65_536)
def _category_places(code: str, month: str, day: str) -> Places:
    levels = category_levels(code)
    dated = tuple((f"category:{level}", at) for level in levels for at in ("total", month, day))
    return _named((*dated, ("categories", code)))


def category_levels(code: str) -> tuple[str, ...]:
    """A code and its prefixes: `a.b.c` → `a`, `a.b`, `a.b.c`."""
    parts = code.split(".")
    return tuple(".".join(parts[: depth + 1]) for depth in range(len(parts)))


def _product_places(product_id: str, month: str, day: str) -> Places:
    table = f"product:{product_id}"
    return _named(((table, "total"), (table, month), (table, day)))


def _user_places(user_id: str, month: str) -> Places:
    table = f"user:{user_id}"
    return _named(((table, "total"), (table, month)))


def _one_place(table: str, at: str) -> Places:
    return _named(((table, at),))


def _keep_facts(products: dict[str, ProductFacts], purchase: Purchase) -> None:
    known = products.get(purchase.product_id)
    if known is None or purchase.event_time >= known.event_time:
        products[purchase.product_id] = ProductFacts(
            purchase.product_name,
            purchase.category_id,
            purchase.category_code,
            purchase.brand,
            purchase.price,
            purchase.event_time,
        )


def _add_purchase(users: dict[str, UserDelta], user_id: str, purchase: Purchase, origin: str) -> None:
    user = users.get(user_id)
    if user is None:
        user = users[user_id] = UserDelta(purchase.event_time, purchase.event_time)
    user.first_seen = min(user.first_seen, purchase.event_time)
    user.last_seen = max(user.last_seen, purchase.event_time)
    line = PurchaseLine(
        origin,
        purchase.event_time,
        purchase.order_id,
        purchase.product_id,
        purchase.product_name,
        purchase.category_code,
        purchase.brand,
        purchase.price,
        purchase.quantity,
        purchase.revenue,
    )
    user.purchases.append((purchase.event_time, _json.encode(line).decode()))


def _add_totals(delta: ShardDelta, lines: Sequence[Line]) -> None:
    if not lines:
        return
    delta.revenue = sum(line.purchase.revenue for line in lines)
    delta.quantity = sum(line.purchase.quantity for line in lines)
    delta.events = len(lines)
    times = [line.purchase.event_time for line in lines]
    delta.first_event, delta.last_event = min(times), max(times)
    delta.arrivals = Counter(line.arrived_at // 1000 for line in lines)
    delta.lateness = Counter(_lateness(line.arrived_at - line.purchase.event_time) for line in lines)
    delta.ticker = [_ticker_line(line) for line in lines[-TICKER_LINES_A_BATCH:]]


def _lateness(late_ms: int) -> str:
    bound = bisect_left(LATENESS_BOUNDS_SECONDS, late_ms / 1000)
    return str(LATENESS_BOUNDS_SECONDS[bound]) if bound < len(LATENESS_BOUNDS_SECONDS) else "inf"


def _ticker_line(line: Line) -> str:
    purchase = line.purchase
    return _json.encode(
        TickerLine(
            line.arrived_at,
            purchase.event_time,
            purchase.order_id,
            purchase.user_id,
            purchase.product_id,
            purchase.product_name,
            purchase.category_code,
            purchase.brand,
            purchase.price,
            purchase.quantity,
            purchase.revenue,
        )
    ).decode()
