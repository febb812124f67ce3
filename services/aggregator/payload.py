"""Encodes the input of apply.lua: the keys that it touches, and a batch as MessagePack. Pure.

Long lists are flat: each nested list costs the script an allocation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from services.aggregator.fold import CounterGroups, ShardDelta
from services.common.event_clock import QUORUM
from services.common.tables import ARRIVALS_KEPT_SECONDS, PURCHASES_KEPT, TICKER_KEPT, Keys

_MINUTE_TABLE = "sales:minute:"
_encode = msgspec.msgpack.Encoder().encode
_json = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class OffsetAdvance:
    """Compare-and-set of a mark (applied offset): `<topic>/<partition>`, the mark to expect and the mark to set."""

    partition: str
    expected: int
    next: int


@dataclass(frozen=True, slots=True)
class BatchEffects:
    """What a batch changes in addition to the deltas.

    `rows`: source → highest row. `minute_floor`: the floor that the batch requests, epoch seconds; `expired_tables`:
    the minute tables below it. `last_timestamp_ms`: broker timestamp of the last record, epoch milliseconds.
    """

    rows: Mapping[str, int]
    minute_floor: int
    expired_tables: Sequence[str]
    last_timestamp_ms: int


def timestamp_field(partition: str) -> str:
    """The field, next to a partition's mark, of the last applied record's broker timestamp."""
    return f"stamp:{partition}"


class Payload:
    """`keys` are the script's KEYS, `arguments` its ARGV; positions count from 1, as Lua does."""

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
            "expected": str(advance.expected),
            "next": str(advance.next),
            "timestamp_field": timestamp_field(advance.partition),
            "timestamp": str(effects.last_timestamp_ms),
            **self._figures(delta),
            **self._totals(delta, now_ms, effects.last_timestamp_ms),
            **self._bounded(delta),
            "minute_floor": effects.minute_floor,
            "expired_keys": [self._key(table) for table in effects.expired_tables],
            "rows": list(effects.rows.items()),
            "rows_key": self._key(f"rows:{advance.partition}"),
        }
        # The script's MessagePack has no binary type, so tokens are an argument of their own.
        self.arguments = [_encode(content), b"".join(group.tokens for group in delta.groups.members)]

    def _key(self, table: str) -> int:
        position = self._position.get(table)
        if position is None:
            self.keys.append(self._name(table))
            position = self._position[table] = len(self.keys)
        return position

    def _figures(self, delta: ShardDelta) -> dict[str, Any]:
        """Counter groups, orders and tables; a counter is a position in `fields`."""
        by_table = _fields_by_table(delta)
        names = _in_order(delta, by_table)
        _number_counters(by_table, names)
        return {
            "fields": [name for table in names for name in by_table[table]],
            "table_keys": [self._key(table) for table in names],
            "table_sizes": [len(by_table[table]) for table in names],
            "minute_tables": sum(table.startswith(_MINUTE_TABLE) for table in names),
            **_groups(delta.groups, by_table),
            **self._orders(delta.orders),
            **self._products(delta),
            **self._users(delta),
        }

    def _orders(self, orders: Mapping[str, Sequence[int]]) -> dict[str, Any]:
        """Each order with its groups, which count from 1."""
        return {
            "order_ids": list(orders),
            "order_sizes": [len(touched) for touched in orders.values()],
            "order_groups": [group + 1 for touched in orders.values() for group in touched],
            "orders_key": self._key("orders"),
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


def _fields_by_table(delta: ShardDelta) -> dict[str, dict[str, int]]:
    by_table: dict[str, dict[str, int]] = {}
    for counters, _ in delta.groups.members:
        for table, name in counters:
            fields = by_table.get(table)
            if fields is None:
                fields = by_table[table] = {}
            fields[name] = 0
    return by_table


def _number_counters(by_table: Mapping[str, dict[str, int]], tables: Sequence[str]) -> None:
    """Number the counters from 1, table by table."""
    counter = 0
    for table in tables:
        fields = by_table[table]
        for name in fields:
            counter += 1
            fields[name] = counter


def _groups(groups: CounterGroups, by_table: Mapping[str, Mapping[str, int]]) -> dict[str, Any]:
    return {
        "group_sizes": [len(group.counters) for group in groups.members],
        "group_counters": [by_table[table][name] for counters, _ in groups.members for table, name in counters],
        "group_revenue": groups.revenue,
        "group_quantity": groups.quantity,
    }


def _in_order(delta: ShardDelta, by_table: Mapping[str, Any]) -> list[str]:
    """Tables as apply.lua expects them: products, users, others, minutes."""
    products = [f"product:{product_id}" for product_id in delta.products]
    users = [f"user:{user_id}" for user_id in delta.users]
    named = {*products, *users}
    others = [table for table in by_table if table not in named]
    others.sort(key=lambda table: table.startswith(_MINUTE_TABLE))
    return [*products, *users, *others]
