"""Counts the distinct orders of each counter, and writes the orders' entries. Pure.

A counter counts each order once. What an order has been counted by is in its entry (`services.common.order_entry`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from services.aggregator.groups import MINUTE_MS, CounterGroups, CounterName, time_names
from services.aggregator.lines import AcceptedLine
from services.common.calendar import Calendar
from services.common.order_entry import (
    EntryDay,
    OrderEntry,
    decode_entry,
    level_token,
    one_minute_entry,
    split_tokens,
)

_FEW_LINES = 8
"""So many lines fit into one entry, whatever their categories are."""


@dataclass(slots=True)
class KnownOrder:
    """An order as the tables have it, then as the lines of a batch change it.

    `stored`: its entry before the batch, None for a new order. `tokens`: of its lines that count; of a large order,
    those of this batch only. `members`: which of the counters asked for a large order has; None for a compact one.
    """

    stored: bytes | None = None
    tokens: set[bytes] = field(default_factory=set)
    digest: bytes | None = None
    members: frozenset[bytes] | None = None


class OrderUpdate(NamedTuple):
    """Replaces an order's entry if it still is `expected`. `members` are added to the set of a large order."""

    expected: bytes | None
    entry: bytes
    members: Sequence[bytes] = ()


OrderLine = tuple[Sequence[int], AcceptedLine]
"""A line that counts, and the positions of the groups that it changes."""


class OrderCounter:
    """Adds orders to the groups of a batch."""

    def __init__(self, groups: CounterGroups, calendar: Calendar) -> None:
        self._groups = groups
        self._calendar = calendar

    def count(self, order: KnownOrder, lines: Sequence[OrderLine]) -> OrderUpdate:
        """Count one order by its lines in the batch; returns what its entry becomes."""
        if order.stored is None and len(lines) <= _FEW_LINES:
            minutes = {line.purchase.event_time // MINUTE_MS for _, line in lines}
            if len(minutes) == 1:
                return self._count_new_order(order, lines, minutes.pop())
        if order.members is not None:
            return self._count_large(order, lines, order.members)
        entry = decode_entry(order.stored) if order.stored is not None else OrderEntry()
        names = known_names(entry, self._calendar)
        for touched, _ in lines:
            self._count_new(touched, names)
        self._extend(entry, order, lines)
        if entry.is_too_large:
            return _grown(order, [*entry.lines, *map(member_of, names)], 0)
        return OrderUpdate(order.stored, entry.encode())

    def _count_new_order(self, order: KnownOrder, lines: Sequence[OrderLine], minute: int) -> OrderUpdate:
        """The common case: a few lines at one time. Then only categories share counters, in levels that they share."""
        orders, members = self._groups.orders, self._groups.members
        touched = dict.fromkeys([group for groups, _ in lines for group in groups])
        for group in touched:
            orders[group] += 1
        entities = b"".join([members[group].entities for group in touched])
        if len(lines) > 1:
            self._discount_shared([group for group in touched if members[group].is_category])
            entities = b"".join(dict.fromkeys(split_tokens(entities)))
        tokens = [token for _, line in lines for token in line.tokens]
        return OrderUpdate(None, one_minute_entry(order.digest, tokens, minute, entities))

    def _discount_shared(self, groups: Sequence[int]) -> None:
        """Each group counts the order already; a counter that several share counts it once."""
        if len(groups) < 2:
            return
        names: set[CounterName] = set()
        for group in groups:
            own = self._groups.members[group].names
            for position, name in enumerate(own):
                if name in names:
                    self._discount(group, position)
            names.update(own)

    def _count_large(self, order: KnownOrder, lines: Sequence[OrderLine], known: frozenset[bytes]) -> OrderUpdate:
        new: dict[bytes, None] = {}
        for touched, line in lines:
            new.update(dict.fromkeys(line.tokens))
            for group in dict.fromkeys(touched):
                self._groups.orders[group] += 1
                for position, name in enumerate(self._groups.members[group].names):
                    member = member_of(name)
                    if member in known or member in new:
                        self._discount(group, position)
                    new[member] = None
        before = decode_entry(order.stored).members if order.stored is not None else 0
        return _grown(order, [member for member in new if member not in known], before or 0)

    def _count_new(self, touched: Sequence[int], names: set[CounterName]) -> None:
        members, orders = self._groups.members, self._groups.orders
        for group in touched:
            own = members[group].names
            if names.issuperset(own):
                continue
            orders[group] += 1
            for position, name in enumerate(own):
                if name in names:
                    self._discount(group, position)
            names.update(own)

    def _discount(self, group: int, position: int) -> None:
        before = self._groups.counted_before
        before[group, position] = before.get((group, position), 0) + 1

    def _extend(self, entry: OrderEntry, order: KnownOrder, lines: Sequence[OrderLine]) -> None:
        entry.digest = order.digest
        days = {self._day(day.first_minute): day for day in entry.days}
        for touched, line in lines:
            entry.lines += line.tokens
            minute = line.purchase.event_time // MINUTE_MS
            name = self._day(minute)
            day = days.get(name)
            if day is None:
                day = days[name] = EntryDay()
                entry.days.append(day)
            day.minutes[minute] = None
            for group in touched:
                day.entities.update(dict.fromkeys(split_tokens(self._groups.members[group].entities)))

    def _day(self, minute: int) -> str:
        return self._calendar.quarter_hour(minute * MINUTE_MS).day_field


def known_names(entry: OrderEntry, calendar: Calendar) -> set[CounterName]:
    """The counters that have counted the order of a compact entry."""
    names: set[CounterName] = set()
    for day in entry.days:
        for minute in day.minutes:
            names.update(time_names(calendar.quarter_hour(minute * MINUTE_MS), minute * 60))
        quarter = calendar.quarter_hour(day.first_minute * MINUTE_MS)
        for token in day.entities:
            level = level_token(token)
            names.update(((level, "total"), (level, quarter.month_field), (level, quarter.day_field), (token, "total")))
    return names


def member_of(name: CounterName) -> bytes:
    """A counter as a member of a large order's set. Longer than a line token, which is a member too."""
    owner, field_name = name
    return (owner if isinstance(owner, bytes) else owner.encode()) + b"|" + field_name.encode()


def _grown(order: KnownOrder, new: Sequence[bytes], before: int) -> OrderUpdate:
    entry = OrderEntry(order.digest, members=before + len(new))
    return OrderUpdate(order.stored, entry.encode(), new)
