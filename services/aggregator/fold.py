"""Folds (aggregates) accepted lines into the deltas of each shard. Pure.

One line changes some twenty counters (minute, hour, day, month; each level of its category, by month and by day;
product, brand, customer). Lines share most of them, so a delta holds *counter groups*: counters that always change
together. A line changes five groups at most; the script expands them into counters.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple
from zlib import crc32

import msgspec
from xxhash import xxh3_64_digest

from services.common.calendar import Calendar, QuarterHour
from services.common.categories import UNKNOWN, levels
from services.common.events import Purchase
from services.common.tables import LATENESS_BOUNDS_SECONDS, ProductFacts, PurchaseLine, TickerLine

TOKEN_BYTES = 8
TICKER_LINES_A_BATCH = 20

CounterKey = tuple[str, str]  # table and field
_json = msgspec.json.Encoder()


class AcceptedLine(NamedTuple):
    """A valid purchase with its offset. `arrived_at` is the broker timestamp in epoch milliseconds."""

    offset: int
    arrived_at: int
    purchase: Purchase


class CounterGroup(NamedTuple):
    """Counters that always change together, and their concatenated tokens.

    A token is 8 bytes that identify a counter in an order's entry. Two of an order's twenty-odd counters share a token
    once in some 10^17 orders; only a number of distinct orders could then be wrong, never money.
    """

    counters: tuple[CounterKey, ...]
    tokens: bytes


@dataclass(slots=True)
class CounterGroups:
    """Parallel lists: revenue[i] (cents) and quantity[i] are added to each counter of members[i]."""

    members: list[CounterGroup] = field(default_factory=list)
    revenue: list[int] = field(default_factory=list)
    quantity: list[int] = field(default_factory=list)

    def add(self, group: CounterGroup) -> int:
        """Append a group with zero figures; returns its position."""
        self.members.append(group)
        self.revenue.append(0)
        self.quantity.append(0)
        return len(self.members) - 1


@dataclass(slots=True)
class UserDelta:
    """What a batch adds to one customer, apart from figures. Times are epoch milliseconds."""

    first_seen: int
    last_seen: int
    purchases: list[tuple[int, str]] = field(default_factory=list)  # event time and PurchaseLine as JSON


@dataclass(slots=True)
class ShardDelta:
    """All that one batch of one partition adds to one shard. `orders`: order → positions of the groups it changes."""

    groups: CounterGroups = field(default_factory=CounterGroups)
    orders: dict[str, list[int]] = field(default_factory=dict)
    users: dict[str, UserDelta] = field(default_factory=dict)
    products: dict[str, ProductFacts] = field(default_factory=dict)
    # Additive, in the shard of the source partition only.
    revenue: int = 0
    quantity: int = 0
    events: int = 0
    first_event: int | None = None
    last_event: int | None = None
    newest_events: list[tuple[int, str]] = field(
        default_factory=list
    )  # time, and record as `<topic>/<partition>/<offset>`
    arrivals: Counter[int] = field(default_factory=Counter)
    lateness: Counter[str] = field(default_factory=Counter)
    dead_letters: Counter[str] = field(default_factory=Counter)
    ticker: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class FoldContext:
    """The source of a batch, and the layout of its deltas.

    `partition` is `<topic>/<partition>`, `home` the shard of its additive tables. Minutes before `minute_floor`
    (epoch seconds) are left out: no shard keeps them.
    """

    partition: str
    home: int
    shards: int
    calendar: Calendar
    minute_floor: int


def shard_of(entity: str, shards: int) -> int:
    """The shard that holds an entity's tables."""
    return crc32(entity.encode()) % shards if shards > 1 else 0


def fold(lines: Sequence[AcceptedLine], context: FoldContext) -> list[ShardDelta]:
    """The deltas of each shard, by shard number."""
    deltas = [ShardDelta() for _ in range(context.shards)]
    _group_counters(lines, context).distribute(deltas)
    for line in lines:
        purchase = line.purchase
        _update_facts(deltas[shard_of(purchase.product_id, context.shards)].products, purchase)
        if purchase.user_id is not None:
            users = deltas[shard_of(purchase.user_id, context.shards)].users
            _add_purchase(users, purchase.user_id, purchase, f"{context.partition}/{line.offset}")
    _add_totals(deltas[context.home], lines)
    return deltas


@dataclass(slots=True)
class _GroupedLines:
    """Groups of all shards: figures belong to the group's shard, distinct orders to the order's."""

    groups: CounterGroups
    shard: list[int]
    orders: defaultdict[str, set[int]]

    def distribute(self, deltas: list[ShardDelta]) -> None:
        if len(deltas) == 1:
            deltas[0].groups = self.groups
            deltas[0].orders = {order_id: list(groups) for order_id, groups in self.orders.items()}
            return
        position: list[dict[int, int]] = [{} for _ in deltas]
        for group, shard in enumerate(self.shard):
            at = position[shard][group] = deltas[shard].groups.add(self.groups.members[group])
            deltas[shard].groups.revenue[at] = self.groups.revenue[group]
            deltas[shard].groups.quantity[at] = self.groups.quantity[group]
        for order_id, groups in self.orders.items():
            shard = shard_of(order_id, len(deltas))
            known, own = position[shard], deltas[shard].groups
            for group in groups:
                if group not in known:
                    known[group] = own.add(self.groups.members[group])
            deltas[shard].orders[order_id] = [known[group] for group in groups]


class _GroupIndex:
    """The groups of a batch over all shards, and where each is. Measured: costs no more than inlined look-ups."""

    def __init__(self, home: int, shards: int) -> None:
        self.groups = CounterGroups()
        self.shard: list[int] = []
        self._position: dict[object, int] = {}
        self._home = home
        self._shards = shards

    def of(self, key: object, entity: str | None, build: Callable[..., CounterGroup], *arguments: Any) -> int:
        """The position of the group under this key, which is built if it is new; in `entity`'s shard, or at home."""
        position = self._position.get(key)
        if position is None:
            position = self._position[key] = self.groups.add(build(*arguments))
            self.shard.append(self._home if entity is None else shard_of(entity, self._shards))
        return position


def _group_counters(lines: Sequence[AcceptedLine], context: FoldContext) -> _GroupedLines:
    index = _GroupIndex(context.home, context.shards)
    of, revenue, quantity = index.of, index.groups.revenue, index.groups.quantity
    orders: defaultdict[str, set[int]] = defaultdict(set)
    quarter_of, floor = context.calendar.quarter_hour, context.minute_floor
    for line in lines:
        purchase = line.purchase
        quarter = quarter_of(purchase.event_time)
        minute = purchase.event_time // 60_000 * 60
        month, day = quarter.month_field, quarter.day_field
        category, brand = purchase.category_code or UNKNOWN, purchase.brand or UNKNOWN
        product_id, user_id = purchase.product_id, purchase.user_id
        # Keys of different kinds differ in type or length, or in the prefix of their last part.
        touched = [
            of(minute, None, _time_group, quarter, minute)
            if minute >= floor
            else of(quarter.hour, None, _time_group, quarter, None),
            of((category, day, None), None, _category_group, category, month, day),
            of((product_id, day), product_id, _product_group, product_id, month, day),
            of(brand, None, _single_counter, "brands", brand),
        ]
        if user_id is not None:
            touched.append(of((user_id, month), user_id, _user_group, user_id, month))
        for group in touched:
            revenue[group] += purchase.revenue
            quantity[group] += purchase.quantity
        orders[purchase.order_id].update(touched)
    return _GroupedLines(index.groups, index.shard, orders)


def _group(*counters: CounterKey) -> CounterGroup:
    return CounterGroup(counters, b"".join(map(_token, counters)))


def _token(counter: CounterKey) -> bytes:
    return xxh3_64_digest("\0".join(counter).encode())


def _time_group(quarter: QuarterHour, minute: int | None) -> CounterGroup:
    if minute is None:
        return _group(quarter.hour, quarter.day, quarter.month)
    return _group(quarter.hour, quarter.day, quarter.month, (quarter.minute_table, str(minute)))


@lru_cache(maxsize=65_536)
def _category_group(code: str, month: str, day: str) -> CounterGroup:
    dated = tuple((f"category:{level}", at) for level in levels(code) for at in ("total", month, day))
    return _group(*dated, ("categories", code))


def _product_group(product_id: str, month: str, day: str) -> CounterGroup:
    table = f"product:{product_id}"
    return _group((table, "total"), (table, month), (table, day))


def _user_group(user_id: str, month: str) -> CounterGroup:
    table = f"user:{user_id}"
    return _group((table, "total"), (table, month))


def _single_counter(table: str, field_name: str) -> CounterGroup:
    return _group((table, field_name))


def _update_facts(products: dict[str, ProductFacts], purchase: Purchase) -> None:
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


def _add_totals(delta: ShardDelta, lines: Sequence[AcceptedLine]) -> None:
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


def _ticker_line(line: AcceptedLine) -> str:
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
