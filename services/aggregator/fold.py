"""Folds (aggregates) accepted lines into the deltas of each shard. Pure."""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from services.aggregator.groups import CounterGroups, GroupIndex, shard_of
from services.aggregator.lines import AcceptedLine
from services.aggregator.names import AS_SENT, Renamed
from services.aggregator.order_counts import KnownOrder, OrderCounter, OrderLine, OrderUpdate
from services.common.calendar import Calendar
from services.common.events import Purchase
from services.common.tables import LATENESS_BOUNDS_SECONDS, ProductFacts, PurchaseLine, TickerLine

TICKER_LINES_A_BATCH = 20

_json = msgspec.json.Encoder()
_LATENESS_BOUNDS_MS = [seconds * 1000 for seconds in LATENESS_BOUNDS_SECONDS]
_LATENESS_NAMES = [*map(str, LATENESS_BOUNDS_SECONDS), "inf"]


@dataclass(slots=True)
class UserDelta:
    """What a batch adds to one customer, apart from figures. Times are epoch milliseconds."""

    first_seen: int
    last_seen: int
    purchases: list[tuple[int, str]] = field(default_factory=list)  # event time and PurchaseLine as JSON


@dataclass(slots=True)
class ShardDelta:
    """All that one batch of one partition adds to one shard. `orders`: the entries of the orders that it changes."""

    groups: CounterGroups = field(default_factory=CounterGroups)
    orders: dict[str, OrderUpdate] = field(default_factory=dict)
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
    replays: dict[str, str] = field(default_factory=dict)  # event id of a replay → its record


@dataclass(frozen=True, slots=True)
class FoldContext:
    """The source of a batch, and the layout of its deltas.

    `partition` is `<topic>/<partition>`, `home` the shard of its additive tables. Minutes before `minute_floor`
    (epoch seconds) are left out: no shard keeps them. `traceparents`: of the traced lines, by offset.
    """

    partition: str
    home: int
    shards: int
    calendar: Calendar
    minute_floor: int
    renamed: Renamed = AS_SENT
    traceparents: Mapping[int, str] = field(default_factory=dict)


class Fold:
    """Lines that count, grouped. Figures belong to the shard of each group, distinct orders to that of the order."""

    def __init__(self, lines: Sequence[AcceptedLine], context: FoldContext) -> None:
        self._lines = lines
        self._context = context
        self._index = GroupIndex(context.home, context.shards)
        self._orders: defaultdict[str, list[OrderLine]] = defaultdict(list)
        purchases = [line.purchase for line in lines]
        all_touched = self._index.touch(purchases, context.calendar, context.minute_floor, context.renamed)
        groups, orders = self._index.groups, self._orders
        revenue, quantity = groups.revenue, groups.quantity
        for line, purchase, touched in zip(lines, purchases, all_touched, strict=True):
            cents, pieces = purchase.revenue, purchase.quantity
            for group in touched:
                revenue[group] += cents
                quantity[group] += pieces
            orders[purchase.order_id].append((touched, line))

    def whole(self, known: Mapping[str, KnownOrder]) -> ShardDelta:
        """Everything, where there is one shard."""
        (delta,) = self.figures()
        counter = OrderCounter(delta.groups, self._context.calendar)
        delta.orders = {order: counter.count(known[order], lines) for order, lines in self._orders.items()}
        return delta

    def figures(self) -> list[ShardDelta]:
        """The deltas of each shard, by shard number, without orders."""
        context = self._context
        deltas = [ShardDelta() for _ in range(context.shards)]
        self._distribute(deltas)
        for product_id, newest in self._newest_of_products().items():
            products = deltas[shard_of(product_id, context.shards)].products
            products[product_id] = _facts(newest, is_one_product=product_id == newest.product_id)
        for line in self._lines:
            user_id = line.purchase.user_id
            if user_id is not None:
                users = deltas[shard_of(user_id, context.shards)].users
                _add_purchase(users, user_id, line.purchase, f"{context.partition}/{line.offset}")
        _add_totals(deltas[context.home], self._lines, context)
        return deltas

    def _newest_of_products(self) -> dict[str, Purchase]:
        """The newest line of each product by event time; the later one of two of the same time."""
        renamed = self._context.renamed.products
        newest: dict[str, Purchase] = {}
        for line in self._lines:
            purchase = line.purchase
            product_id = purchase.product_id
            if renamed:
                product_id = renamed.get(product_id, product_id)
            known = newest.get(product_id)
            if known is None or purchase.event_time >= known.event_time:
                newest[product_id] = purchase
        return newest

    def orders_of(self, shard: int, known: Mapping[str, KnownOrder]) -> ShardDelta:
        """The orders of one of several shards: their entries, and the orders that they add to counters."""
        shared = self._index.groups
        own = CounterGroups(shared.members, orders=[0] * len(shared.members))
        counter = OrderCounter(own, self._context.calendar)
        delta = ShardDelta()
        for order, lines in self._orders.items():
            if shard_of(order, self._context.shards) == shard:
                delta.orders[order] = counter.count(known[order], lines)
        for group, orders in enumerate(own.orders):
            if not orders:
                continue
            at = delta.groups.add(shared.members[group])
            delta.groups.orders[at] = orders
            for position in range(len(shared.members[group].counters)):
                if before := own.counted_before.get((group, position)):
                    delta.groups.counted_before[at, position] = before
        return delta

    def _distribute(self, deltas: list[ShardDelta]) -> None:
        if len(deltas) == 1:
            deltas[0].groups = self._index.groups
            return
        for group, shard in enumerate(self._index.shard):
            deltas[shard].groups.take(self._index.groups, group)


def _facts(newest: Purchase, *, is_one_product: bool) -> ProductFacts:
    if not is_one_product:  # of many products, counted under one name
        return ProductFacts(None, None, None, None, 0, newest.event_time)
    return ProductFacts(
        newest.product_name,
        newest.category_id,
        newest.category_code,
        newest.brand,
        newest.price,
        newest.event_time,
    )


def _add_purchase(users: dict[str, UserDelta], user_id: str, purchase: Purchase, origin: str) -> None:
    user = users.get(user_id)
    if user is None:
        user = users[user_id] = UserDelta(purchase.event_time, purchase.event_time)
    elif purchase.event_time < user.first_seen:
        user.first_seen = purchase.event_time
    elif purchase.event_time > user.last_seen:
        user.last_seen = purchase.event_time
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


def _add_totals(delta: ShardDelta, lines: Sequence[AcceptedLine], context: FoldContext) -> None:
    if not lines:
        return
    purchases = [line.purchase for line in lines]
    delta.revenue = sum([purchase.revenue for purchase in purchases])
    delta.quantity = sum([purchase.quantity for purchase in purchases])
    delta.events = len(lines)
    times = [purchase.event_time for purchase in purchases]
    delta.first_event, delta.last_event = min(times), max(times)
    delta.arrivals = Counter([line.arrived_at // 1000 for line in lines])
    delta.lateness = _lateness([line.arrived_at - at_ms for line, at_ms in zip(lines, times, strict=True)])
    delta.ticker = [_ticker_line(line, context.traceparents.get(line.offset)) for line in lines[-TICKER_LINES_A_BATCH:]]
    delta.replays = {
        line.purchase.event_id: f"{context.partition}/{line.offset}"
        for line in lines
        if line.purchase.replay_of and line.purchase.event_id
    }


def _lateness(late_ms: Iterable[int]) -> Counter[str]:
    """How many were at most so late; what is on time or early is in the first class."""
    classes = Counter([bisect_left(_LATENESS_BOUNDS_MS, late) for late in late_ms])
    return Counter({_LATENESS_NAMES[number]: lines for number, lines in classes.items()})


def _ticker_line(line: AcceptedLine, traceparent: str | None) -> str:
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
            traceparent,
        )
    ).decode()
