"""The input of apply.lua: the keys it touches, and what to do with them as MessagePack. Pure.

Lists are flat wherever there are many: each nested one costs the script an allocation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from services.aggregator.fold import ShardDelta
from services.common.tables import ARRIVALS_KEPT_SECONDS, PURCHASES_KEPT, TICKER_KEPT, Keys

_MINUTE_TABLE = "sales:minute:"
_encode = msgspec.msgpack.Encoder().encode
_json = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Move:
    """A batch's place: `<topic>/<partition>`, the mark that its deltas were built on, and the mark after it."""

    partition: str
    expected: int
    next: int


@dataclass(frozen=True, slots=True)
class Change:
    """What a move brings beside the deltas.

    `rows`: source → highest row. `minute_floor`: the floor that the batch asks for, epoch seconds; `expired_tables`:
    the minute tables below it. `arrived_at`: the broker's time of the last record, epoch milliseconds.
    """

    rows: Mapping[str, int]
    minute_floor: int
    expired_tables: Sequence[str]
    arrived_at: int


def stamp_field(partition: str) -> str:
    """Where the broker's time of the last applied record stands beside a partition's mark."""
    return f"stamp:{partition}"


class Payload:
    """`keys` are the script's KEYS, `arguments` its ARGV; positions count from 1, as Lua does."""

    def __init__(self, keys: Keys, move: Move, delta: ShardDelta, change: Change, now_ms: int) -> None:
        self._name = keys
        self._position: dict[str, int] = {}
        self.keys: list[str] = []
        self._key("marks")
        self._key("totals")
        content = {
            "partition": move.partition,
            "expected": str(move.expected),
            "next": str(move.next),
            "stamp_field": stamp_field(move.partition),
            "stamp": str(change.arrived_at),
            **self._figures(delta),
            **self._totals(delta, now_ms, change.arrived_at),
            **self._bounded(delta),
            "minute_floor": change.minute_floor,
            "expired_keys": [self._key(table) for table in change.expired_tables],
            "rows": list(change.rows.items()),
            "rows_key": self._key(f"rows:{move.partition}"),
        }
        # The script's MessagePack knows no binary type, so tokens travel beside it.
        self.arguments = [_encode(content), b"".join(places.tokens for places in delta.facets.places)]

    def _key(self, table: str) -> int:
        position = self._position.get(table)
        if position is None:
            self.keys.append(self._name(table))
            position = self._position[table] = len(self.keys)
        return position

    def _figures(self, delta: ShardDelta) -> dict[str, Any]:
        """Facets, orders and tables; a counter is a position in `fields`."""
        by_table = _fields_by_table(delta)
        names = _in_order(delta, by_table)
        counter = 0
        for table in names:
            fields = by_table[table]
            for name in fields:
                counter += 1
                fields[name] = counter
        facets, orders = delta.facets, delta.orders
        return {
            "fields": [name for table in names for name in by_table[table]],
            "table_keys": [self._key(table) for table in names],
            "table_sizes": [len(by_table[table]) for table in names],
            "minute_tables": sum(table.startswith(_MINUTE_TABLE) for table in names),
            "facet_sizes": [len(places.places) for places in facets.places],
            "facet_counters": [by_table[table][name] for places, _ in facets.places for table, name in places],
            "facet_revenue": facets.revenue,
            "facet_quantity": facets.quantity,
            "order_ids": list(orders),
            "order_sizes": [len(touched) for touched in orders.values()],
            "order_facets": [facet + 1 for touched in orders.values() for facet in touched],
            "orders_key": self._key("orders"),
            **self._products(delta),
            **self._users(delta),
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

    def _totals(self, delta: ShardDelta, now_ms: int, arrived_at: int) -> dict[str, Any]:
        return {
            "revenue": delta.revenue,
            "quantity": delta.quantity,
            "events": delta.events,
            "first_event": delta.first_event or 0,
            "last_event": delta.last_event or 0,
            "ledger_key": self._key("ledger"),
            "applied_at": str(now_ms),
            "freshness_ms": str(max(0, now_ms - arrived_at)),
        }

    def _bounded(self, delta: ShardDelta) -> dict[str, Any]:
        """Small tables of a bounded size."""
        return {
            "arrivals": list(delta.arrivals.items()),
            "arrivals_key": self._key("arrivals"),
            "arrivals_kept": ARRIVALS_KEPT_SECONDS,
            "newest_arrival": max(delta.arrivals, default=0),
            "lateness": list(delta.lateness.items()),
            "lateness_key": self._key("lateness"),
            "dead_letters": list(delta.dead_letters.items()),
            "dead_letters_key": self._key("dead_letters"),
            "ticker": delta.ticker,
            "ticker_key": self._key("ticker"),
            "ticker_kept": TICKER_KEPT,
        }


def _fields_by_table(delta: ShardDelta) -> dict[str, dict[str, int]]:
    by_table: dict[str, dict[str, int]] = {}
    for places, _ in delta.facets.places:
        for table, name in places:
            fields = by_table.get(table)
            if fields is None:
                fields = by_table[table] = {}
            fields[name] = 0
    return by_table


def _in_order(delta: ShardDelta, by_table: Mapping[str, Any]) -> list[str]:
    """Tables as apply.lua expects them: products, users, others, minutes."""
    products = [f"product:{product_id}" for product_id in delta.products]
    users = [f"user:{user_id}" for user_id in delta.users]
    named = {*products, *users}
    others = [table for table in by_table if table not in named]
    others.sort(key=lambda table: table.startswith(_MINUTE_TABLE))
    return [*products, *users, *others]
