"""Folding accepted lines into the deltas of each shard: pure, no I/O.

One line changes some twenty counters (minute, hour, day, month; each level of its category, by month and by day;
product, brand, customer). Lines are first gathered into the few *facets* that they share, and only then spread
over counters, so that the work per line is a handful of dictionary look-ups.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple
from zlib import crc32

import msgspec

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


@dataclass(slots=True)
class Counters:
    """Figures to add, in parallel lists: place i gains revenue[i] (cents), quantity[i] and orders[i].

    `orders` supposes that each order is new; the script takes back what an order has counted before.
    """

    places: list[Place] = field(default_factory=list)
    revenue: list[int] = field(default_factory=list)
    quantity: list[int] = field(default_factory=list)
    orders: list[int] = field(default_factory=list)


@dataclass(slots=True)
class OrderDelta:
    """An order's counters: `counters` are positions in Counters, `tokens` their 8-byte names in the same order."""

    order_id: str
    tokens: bytes
    counters: list[int]


@dataclass(slots=True)
class UserDelta:
    """What a batch says of one customer besides figures. Times are epoch milliseconds."""

    revenue: int
    first_seen: int
    last_seen: int
    purchases: list[tuple[int, str]]  # event time and PurchaseLine as JSON


@dataclass(slots=True)
class ShardDelta:
    """All that one batch of one partition adds to one shard."""

    counters: Counters = field(default_factory=Counters)
    order_deltas: list[OrderDelta] = field(default_factory=list)
    users: dict[str, UserDelta] = field(default_factory=dict)
    product_revenue: dict[str, int] = field(default_factory=dict)
    product_facts: dict[str, ProductFacts] = field(default_factory=dict)
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


def shard_of(entity: str, shards: int) -> int:
    """The shard that holds an entity's tables."""
    return crc32(entity.encode()) % shards if shards > 1 else 0


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


def fold(lines: Sequence[Line], setting: Setting) -> list[ShardDelta]:
    """The deltas of each shard, by shard number."""
    shards = setting.shards
    facets = _Facets(setting)
    deltas = [ShardDelta() for _ in range(shards)]
    for line in lines:
        purchase = line.purchase
        facets.add(purchase)
        product_shard = deltas[shard_of(purchase.product_id, shards)]
        _add_product(product_shard, purchase)
        if purchase.user_id is not None:
            origin = f"{setting.partition}/{line.offset}"
            _add_user(deltas[shard_of(purchase.user_id, shards)], purchase.user_id, purchase, origin)
    facets.spread(deltas)
    _add_totals(deltas[setting.home], lines)
    return deltas


class _Facets:
    """Groups of counters that lines share: their time, category, product, brand and customer."""

    def __init__(self, setting: Setting) -> None:
        self._calendar = setting.calendar
        self._home = setting.home
        self._shards = setting.shards
        self._minute_floor = setting.minute_floor
        self._index: dict[object, int] = {}
        self._places: list[list[Place]] = []
        self._shard: list[int] = []
        self._revenue: list[int] = []
        self._quantity: list[int] = []
        self._orders: defaultdict[str, set[int]] = defaultdict(set)

    def add(self, purchase: Purchase) -> None:
        quarter = self._calendar.quarter(purchase.event_time)
        of_order = self._orders[purchase.order_id]
        for facet in self._facets_of(purchase, quarter):
            self._revenue[facet] += purchase.revenue
            self._quantity[facet] += purchase.quantity
            of_order.add(facet)

    def _facets_of(self, purchase: Purchase, quarter: Quarter) -> Iterable[int]:
        index = self._index
        minute = purchase.event_time // 60_000 * 60
        time_key: object = minute if minute >= self._minute_floor else quarter
        category = purchase.category_code or UNKNOWN
        brand = purchase.brand or UNKNOWN
        category_key = ("c", category, quarter.day_field)
        product_key = ("p", purchase.product_id, quarter.day_field)
        brand_key = ("b", brand)
        facets = [index.get(time_key), index.get(category_key), index.get(product_key), index.get(brand_key)]
        if facets[0] is None:
            facets[0] = self._new(time_key, self._home, _time_places(minute, quarter, minute >= self._minute_floor))
        if facets[1] is None:
            facets[1] = self._new(category_key, self._home, _category_places(category, quarter))
        if facets[2] is None:
            places = _dated_places(f"product:{purchase.product_id}", quarter)
            facets[2] = self._new(product_key, shard_of(purchase.product_id, self._shards), places)
        if facets[3] is None:
            facets[3] = self._new(brand_key, self._home, [("brands", brand)])
        if purchase.user_id is not None:
            user_key = ("u", purchase.user_id)
            user = index.get(user_key)
            if user is None:
                places = [(f"user:{purchase.user_id}", "total")]
                user = self._new(user_key, shard_of(purchase.user_id, self._shards), places)
            facets.append(user)
        return facets  # type: ignore[return-value]  # every None was replaced above

    def _new(self, key: object, shard: int, places: list[Place]) -> int:
        facet = self._index[key] = len(self._places)
        self._places.append(places)
        self._shard.append(shard)
        self._revenue.append(0)
        self._quantity.append(0)
        return facet

    def spread(self, deltas: list[ShardDelta]) -> None:
        """Turn facets into counters: figures in the facet's shard, distinct orders in the order's shard."""
        add = [_counter_index(delta.counters) for delta in deltas]
        for places, shard, revenue, quantity in zip(
            self._places, self._shard, self._revenue, self._quantity, strict=True
        ):
            counters = deltas[shard].counters
            for place in places:
                position = add[shard](place)
                counters.revenue[position] += revenue
                counters.quantity[position] += quantity
        for order_id, facets in self._orders.items():
            shard = shard_of(order_id, self._shards)
            deltas[shard].order_deltas.append(self._order(order_id, facets, add[shard], deltas[shard].counters))

    def _order(
        self, order_id: str, facets: set[int], position_of: Callable[[Place], int], counters: Counters
    ) -> OrderDelta:
        places = {place for facet in facets for place in self._places[facet]}
        positions = [position_of(place) for place in places]
        for position in positions:
            counters.orders[position] += 1
        return OrderDelta(order_id, b"".join(map(_token, places)), positions)


def _counter_index(counters: Counters) -> Callable[[Place], int]:
    """A function from a place to its position in `counters`, which grows as places are met."""
    index: dict[Place, int] = {}

    def position_of(place: Place) -> int:
        position = index.get(place)
        if position is None:
            position = index[place] = len(counters.places)
            counters.places.append(place)
            counters.revenue.append(0)
            counters.quantity.append(0)
            counters.orders.append(0)
        return position

    return position_of


@lru_cache(maxsize=262_144)
def _token(place: Place) -> bytes:
    """Eight bytes that stand for a counter inside an order's entry.

    Two of an order's twenty-odd counters share a token once in some 10^17 orders; only a number of distinct
    orders could then be off, never money.
    """
    return blake2b("\0".join(place).encode(), digest_size=TOKEN_BYTES).digest()


def _time_places(minute: int, quarter: Quarter, with_minute: bool) -> list[Place]:
    places = [quarter.hour, quarter.day, quarter.month]
    return [*places, (quarter.minute_table, str(minute))] if with_minute else places


@lru_cache(maxsize=65_536)
def category_levels(code: str) -> tuple[str, ...]:
    """A code and its prefixes: `a.b.c` → `a`, `a.b`, `a.b.c`."""
    parts = code.split(".")
    return tuple(".".join(parts[: depth + 1]) for depth in range(len(parts)))


def _category_places(code: str, quarter: Quarter) -> list[Place]:
    places = [place for level in category_levels(code) for place in _dated_places(f"category:{level}", quarter)]
    return [*places, ("categories", code)]


def _dated_places(table: str, quarter: Quarter) -> list[Place]:
    return [(table, "total"), (table, quarter.month_field), (table, quarter.day_field)]


def _add_product(delta: ShardDelta, purchase: Purchase) -> None:
    product_id = purchase.product_id
    delta.product_revenue[product_id] = delta.product_revenue.get(product_id, 0) + purchase.revenue
    known = delta.product_facts.get(product_id)
    if known is None or purchase.event_time >= known.event_time:
        delta.product_facts[product_id] = ProductFacts(
            purchase.product_name,
            purchase.category_id,
            purchase.category_code,
            purchase.brand,
            purchase.price,
            purchase.event_time,
        )


def _add_user(delta: ShardDelta, user_id: str, purchase: Purchase, origin: str) -> None:
    user = delta.users.get(user_id)
    if user is None:
        user = delta.users[user_id] = UserDelta(0, purchase.event_time, purchase.event_time, [])
    user.revenue += purchase.revenue
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
    delta.lateness = Counter(_lateness(line) for line in lines)
    delta.ticker = [_ticker_line(line) for line in lines[-TICKER_LINES_A_BATCH:]]


def _lateness(line: Line) -> str:
    late_s = (line.arrived_at - line.purchase.event_time) / 1000
    bound = bisect_left(LATENESS_BOUNDS_SECONDS, late_s)
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
