"""Counter groups: the counters that a line changes, in at most five groups that always change together. Pure.

One line changes some twenty counters (minute, hour, day, month; each level of its category, by month and by day;
product, brand, customer). Lines share most of them.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple, cast
from zlib import crc32

from services.aggregator.names import AS_SENT, Renamed
from services.common.calendar import Calendar, QuarterHour
from services.common.categories import UNKNOWN, levels
from services.common.events import Purchase
from services.common.order_entry import entity_token, leaf_token

CounterKey = tuple[str, str]
"""Table and field."""
CounterName = tuple[str | bytes, str]
"""What an order's entry knows a counter by: a time bucket's table and field, or an entity's token and a field."""

MINUTE_MS = 60_000


class CounterGroup(NamedTuple):
    """Counters that always change together, the name of each for an order's entry, and the tokens of its entities."""

    counters: tuple[CounterKey, ...]
    names: tuple[CounterName, ...]
    entities: bytes


@dataclass(slots=True)
class CounterGroups:
    """Parallel lists: revenue[i] (cents), quantity[i] and orders[i] are added to each counter of members[i].

    `counted_before`: position of a group, and of a counter in it → orders that this counter had counted already.
    """

    members: list[CounterGroup] = field(default_factory=list)
    revenue: list[int] = field(default_factory=list)
    quantity: list[int] = field(default_factory=list)
    orders: list[int] = field(default_factory=list)
    counted_before: dict[tuple[int, int], int] = field(default_factory=dict)

    def add(self, group: CounterGroup) -> int:
        """Append a group with zero figures; returns its position."""
        self.members.append(group)
        self.revenue.append(0)
        self.quantity.append(0)
        self.orders.append(0)
        return len(self.members) - 1

    def take(self, other: "CounterGroups", position: int) -> int:
        """Append a group of another list with its revenue and quantity; returns its position here."""
        self.members.append(other.members[position])
        self.revenue.append(other.revenue[position])
        self.quantity.append(other.quantity[position])
        self.orders.append(0)
        return len(self.members) - 1


class GroupIndex:
    """The groups of a batch over all shards, and the shard of each."""

    def __init__(self, home: int, shards: int) -> None:
        self.groups = CounterGroups()
        self.shard: list[int] = []
        self._position: dict[object, int] = {}
        self._home = home
        self._shards = shards

    def toucher(
        self, calendar: Calendar, minute_floor: int, renamed: Renamed = AS_SENT
    ) -> Callable[[Purchase], list[int]]:
        """A function of a line: the positions of the groups that it changes.

        Minutes before the floor (epoch seconds) are left out. It is a closure: measured, attributes cost more.
        """
        known, new, quarter_of, as_sent = self._position.get, self._new, calendar.quarter_hour, renamed is AS_SENT

        def touched(purchase: Purchase) -> list[int]:
            quarter = quarter_of(purchase.event_time)
            minute = purchase.event_time // MINUTE_MS * 60
            month, day = quarter.month_field, quarter.day_field
            category, brand = purchase.category_code or UNKNOWN, purchase.brand or UNKNOWN
            product, user = purchase.product_id, purchase.user_id
            if not as_sent:
                category, brand, product = renamed.of(category, brand, product)
            # Keys of different kinds differ in type or length, or in the prefix of their last part.
            time: object = minute if minute >= minute_floor else quarter.hour
            found = [known(time), known((category, day, None)), known((product, day)), known(brand)]
            if user is not None:
                found.append(known((user, month)))
            if None not in found:
                return cast("list[int]", found)
            if found[0] is None:
                found[0] = new(time, None, _time_group(quarter, minute if time is minute else None))
            if found[1] is None:
                found[1] = new((category, day, None), None, _category_group(category, month, day))
            if found[2] is None:
                found[2] = new((product, day), product, _product_group(product, month, day))
            if found[3] is None:
                found[3] = new(brand, None, _brand_group(brand))
            if user is not None and found[4] is None:
                found[4] = new((user, month), user, _user_group(user, month))
            return cast("list[int]", found)

        return touched

    def _new(self, key: object, entity: str | None, group: CounterGroup) -> int:
        """Add a group; it lies in `entity`'s shard, or at home."""
        position = self._position[key] = self.groups.add(group)
        self.shard.append(self._home if entity is None else shard_of(entity, self._shards))
        return position


def shard_of(entity: str, shards: int) -> int:
    """The shard that holds an entity's tables."""
    return crc32(entity.encode()) % shards if shards > 1 else 0


def time_names(quarter: QuarterHour, minute: int) -> Iterator[CounterName]:
    """The counters of time of a line at this minute (epoch seconds)."""
    yield from (quarter.hour, quarter.day, quarter.month, (quarter.minute_table, str(minute)))


def _time_group(quarter: QuarterHour, minute: int | None) -> CounterGroup:
    counters: tuple[CounterKey, ...] = (quarter.hour, quarter.day, quarter.month)
    if minute is not None:
        counters = (*counters, (quarter.minute_table, str(minute)))
    return CounterGroup(counters, counters, b"")


@lru_cache(maxsize=65_536)
def _category_group(code: str, month: str, day: str) -> CounterGroup:
    codes, tokens, leaf = _category_tokens(code)
    dates = ("total", month, day)
    counters = tuple((f"category:{level}", at) for level in codes for at in dates)
    names = tuple((token, at) for token in tokens for at in dates)
    return CounterGroup((*counters, ("categories", code)), (*names, (leaf, "total")), b"".join((*tokens[:-1], leaf)))


@lru_cache(maxsize=8192)
def _category_tokens(code: str) -> tuple[tuple[str, ...], tuple[bytes, ...], bytes]:
    """The levels of a code, the token of each, and the token of the whole code."""
    codes = levels(code)
    tokens = tuple(entity_token(f"category:{level}") for level in codes)
    return codes, tokens, leaf_token(tokens[-1])


def _product_group(product_id: str, month: str, day: str) -> CounterGroup:
    table = f"product:{product_id}"
    token = entity_token(table)
    return CounterGroup(
        ((table, "total"), (table, month), (table, day)), ((token, "total"), (token, month), (token, day)), token
    )


def _user_group(user_id: str, month: str) -> CounterGroup:
    table = f"user:{user_id}"
    token = entity_token(table)
    return CounterGroup(((table, "total"), (table, month)), ((token, "total"), (token, month)), token)


@lru_cache(maxsize=8192)
def _brand_group(brand: str) -> CounterGroup:
    token = entity_token(f"brand:{brand}")
    return CounterGroup((("brands", brand),), ((token, "total"),), token)
