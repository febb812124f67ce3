"""Encodes the input of apply.lua: the keys that it touches, and a batch as MessagePack. Pure.

Long lists are flat: each nested list costs the script an allocation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from services.aggregator.fold import ShardDelta
from services.aggregator.groups import CounterGroups
from services.aggregator.order_counts import OrderUpdate
from services.aggregator.uncounted import UNCOUNTED_KEPT, uncounted_table
from services.common.event_clock import QUORUM
from services.common.tables import ARRIVALS_KEPT_SECONDS, PURCHASES_KEPT, TICKER_KEPT, Keys

_MINUTE_TABLE = "sales:minute:"
_encode = msgspec.msgpack.Encoder().encode
_json = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class OffsetAdvance:
    """Compare-and-set of a mark (applied offset): `<topic>/<partition>`, the mark to expect and the mark to set.

    `of_orders`: it is the mark of the orders' entries, which with several shards are written before the figures.
    """

    partition: str
    expected: int
    next: int
    of_orders: bool = False


@dataclass(frozen=True, slots=True)
class BatchEffects:
    """What a batch changes in addition to the deltas.

    `last_timestamp_ms`: broker timestamp of the last record, epoch milliseconds; None where there is none. `rows`:
    source of dead letters → highest offset; `file_rows`: tokens of rejected rows. `minute_floor`: the floor that the
    batch requests, epoch seconds; `expired_tables`: the minute tables below it. `uncounted`: with several shards, the
    lines of this shard's orders that do not count (`uncounted.py`).
    """

    last_timestamp_ms: int | None
    rows: Mapping[str, int] = field(default_factory=dict)
    minute_floor: int = 0
    expired_tables: Sequence[str] = ()
    uncounted: str = ""
    file_rows: Sequence[str] = ()


def orders_field(partition: str) -> str:
    """The field of a partition's mark for orders' entries, where there are several shards."""
    return f"orders:{partition}"


def timestamp_field(partition: str) -> str:
    """The field, next to a partition's mark, of the last applied record's broker timestamp."""
    return f"stamp:{partition}"


class Payload:
    """`keys` are the script's KEYS; positions count from 1, as Lua does."""

    def __init__(
        self, keys: Keys, advance: OffsetAdvance, delta: ShardDelta, effects: BatchEffects, now_ms: int
    ) -> None:
        self._name = keys
        self._position: dict[str, int] = {}
        self.keys: list[str] = []
        self._key("marks")
        self._key("totals")
        content = {
            "partition": advance.partition,
            "mark_field": orders_field(advance.partition) if advance.of_orders else advance.partition,
            "expected": str(advance.expected),
            "next": str(advance.next),
            "timestamp_field": timestamp_field(advance.partition),
            "timestamp": "" if effects.last_timestamp_ms is None else str(effects.last_timestamp_ms),
            **self._figures(delta),
            **self._totals(delta, now_ms, effects.last_timestamp_ms or now_ms),
            **self._bounded(delta),
            "minute_floor": effects.minute_floor,
            "expired_keys": [self._key(table) for table in effects.expired_tables],
            "rows": list(effects.rows.items()),
            "rows_key": self._key(f"rows:{advance.partition}"),
            "file_rows": effects.file_rows,
            "file_rows_key": self._key(f"file_rows:{advance.partition}"),
            "replays": list(delta.replays.items()),
            "replays_key": self._key("replays"),
            "uncounted": effects.uncounted,
            "uncounted_key": self._key(uncounted_table(advance.partition)),
            "uncounted_kept": UNCOUNTED_KEPT,
        }
        # The script's MessagePack has no binary type, so entries are arguments of their own.
        self._content = [_encode(content), *_entries(delta.orders)]

    def arguments(self, *, check_only: bool = False) -> list[bytes]:
        """The script's ARGV. `check_only`: it only says whether it would apply them."""
        return [b"check" if check_only else b"", *self._content]

    def _key(self, table: str) -> int:
        position = self._position.get(table)
        if position is None:
            self.keys.append(self._name(table))
            position = self._position[table] = len(self.keys)
        return position

    def _figures(self, delta: ShardDelta) -> dict[str, Any]:
        """What is added to each counter, table by table; then orders, products and users."""
        figures = CounterFigures(delta.groups)
        names = _in_order(delta, figures.by_table)
        counters = [counter for table in names for counter in figures.by_table[table].values()]
        return {
            "fields": [name for table in names for name in figures.by_table[table]],
            "counter_revenue": [figures.revenue[counter] for counter in counters],
            "counter_quantity": [figures.quantity[counter] for counter in counters],
            "counter_orders": [figures.orders[counter] for counter in counters],
            "table_keys": [self._key(table) for table in names],
            "table_sizes": [len(figures.by_table[table]) for table in names],
            "minute_tables": sum(table.startswith(_MINUTE_TABLE) for table in names),
            **self._orders(delta.orders),
            **self._products(delta),
            **self._users(delta),
        }

    def _orders(self, orders: Mapping[str, OrderUpdate]) -> dict[str, Any]:
        """Each order by its id; `known_orders` are positions of those that have an entry."""
        large = [(order, update.members) for order, update in orders.items() if update.members]
        return {
            "orders_key": self._key("orders"),
            "order_ids": list(orders),
            "known_orders": [at for at, update in enumerate(orders.values(), 1) if update.expected is not None],
            "large_orders": [part for order, members in large for part in (self._key(f"order:{order}"), len(members))],
        }

    def _products(self, delta: ShardDelta) -> dict[str, Any]:
        return {
            "products_key": self._key("products"),
            "product_ids": list(delta.products),
            "product_seen_at": [facts.event_time for facts in delta.products.values()],
            "product_facts": [_json(facts).decode() for facts in delta.products.values()],
        }

    def _users(self, delta: ShardDelta) -> dict[str, Any]:
        return {
            "users_key": self._key("users"),
            "spenders_key": self._key("spenders"),
            "purchases_kept": PURCHASES_KEPT,
            "users": [
                (
                    user_id,
                    user.first_seen,
                    user.last_seen,
                    self._key(f"purchases:{user_id}"),
                    [part for event_time, line in user.purchases for part in (str(event_time), line)],
                )
                for user_id, user in delta.users.items()
            ],
        }

    def _totals(self, delta: ShardDelta, now_ms: int, last_timestamp_ms: int) -> dict[str, Any]:
        return {
            "revenue": delta.revenue,
            "quantity": delta.quantity,
            "events": delta.events,
            "first_event": delta.first_event or 0,
            "last_event": delta.last_event or 0,
            "ledger_key": self._key("ledger"),
            "applied_at": str(now_ms),
            "freshness_ms": str(now_ms - last_timestamp_ms),  # below 0 where the broker's clock is ahead
        }

    def _bounded(self, delta: ShardDelta) -> dict[str, Any]:
        """Small tables of a bounded size."""
        return {
            "arrivals": list(delta.arrivals.items()),
            "arrivals_key": self._key("arrivals"),
            "arrivals_kept": ARRIVALS_KEPT_SECONDS,
            "newest_arrival": max(delta.arrivals, default=0),
            "newest_events": [part for at_ms, record in delta.newest_events for part in (str(at_ms), record)],
            "newest_events_key": self._key("newest_events"),
            "newest_events_kept": QUORUM,
            "lateness": list(delta.lateness.items()),
            "lateness_key": self._key("lateness"),
            "dead_letters": list(delta.dead_letters.items()),
            "dead_letters_key": self._key("dead_letters"),
            "ticker": delta.ticker,
            "ticker_key": self._key("ticker"),
            "ticker_kept": TICKER_KEPT,
        }


class CounterFigures:
    """Counter groups expanded: `by_table[table][field]` is a counter, a position in the three lists."""

    def __init__(self, groups: CounterGroups) -> None:
        self.by_table: dict[str, dict[str, int]] = {}
        self.revenue: list[int] = []
        self.quantity: list[int] = []
        self.orders: list[int] = []
        by_table, revenue, quantity, orders = self.by_table, self.revenue, self.quantity, self.orders
        before = groups.counted_before
        for number, group in enumerate(groups.members):
            r, q, o = groups.revenue[number], groups.quantity[number], groups.orders[number]
            position = 0
            for table, names, _, _ in group.tables:
                fields = by_table.get(table)
                if fields is None:
                    fields = by_table[table] = {}
                for name in names:
                    counter = fields.get(name)
                    counted = o - before.get((number, position), 0) if before else o
                    position += 1
                    if counter is None:
                        fields[name] = len(revenue)
                        revenue.append(r)
                        quantity.append(q)
                        orders.append(counted)
                    else:
                        revenue[counter] += r
                        quantity[counter] += q
                        orders[counter] += counted


def _entries(orders: Mapping[str, OrderUpdate]) -> list[bytes]:
    """New entries; present entries of known orders; members of large orders."""
    updates = orders.values()
    present = [update.expected for update in updates if update.expected is not None]
    members = [member for update in updates for member in update.members]
    return [*(update.entry for update in updates), *present, *members]


def _in_order(delta: ShardDelta, by_table: Mapping[str, Any]) -> list[str]:
    """Tables as apply.lua expects them: products, users, others, minutes."""
    products = [f"product:{product_id}" for product_id in delta.products]
    users = [f"user:{user_id}" for user_id in delta.users]
    named = {*products, *users}
    others = [table for table in by_table if table not in named]
    others.sort(key=lambda table: table.startswith(_MINUTE_TABLE))
    return [*products, *users, *others]
