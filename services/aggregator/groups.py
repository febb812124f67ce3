"""Counter groups: the counters that a line changes, in at most five groups that always change together. Pure.

One line changes some twenty counters (minute, hour, day, month; each level of its category, by month and by day;
product, brand, customer). Lines share most of them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple
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
_TOTAL = "total"


class TableCounters(NamedTuple):
    """Counters of one table. `owner` is what an order's entry knows them by: the table, or an entity's token.

    `is_index`: the table lists entities (`brands`, `categories`), and the owner is the one of its only field.
    """

    table: str
    fields: tuple[str, ...]
    owner: str | bytes
    is_index: bool = False


class CounterGroup:
    """Counters that always change together, table by table, and the tokens of their entities."""

    __slots__ = ("_names", "entities", "tables")

    def __init__(self, tables: tuple[TableCounters, ...], entities: bytes) -> None:
        self.tables = tables
        self.entities = entities
        self._names: tuple[CounterName, ...] | None = None

    @property
    def is_category(self) -> bool:
        """Whether it may share counters with another group of that day: those of the levels above both."""
        return len(self.tables) > 1 and bool(self.entities)

    @property
    def counters(self) -> list[CounterKey]:
        """All counters, in the order of their positions in the group."""
        return [(table.table, name) for table in self.tables for name in table.fields]

    @property
    def names(self) -> tuple[CounterName, ...]:
        """The name of each counter for an order's entry. Only orders of several lines ask for it."""
        names = self._names
        if names is None:
            names = self._names = tuple(
                [(table.owner, _TOTAL if table.is_index else name) for table in self.tables for name in table.fields]
            )
        return names


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

    def touch(
        self, purchases: Iterable[Purchase], calendar: Calendar, minute_floor: int, renamed: Renamed = AS_SENT
    ) -> list[list[int]]:
        """For each line, the positions of the groups that it changes. Figures are not added yet.

        Minutes before the floor (epoch seconds) are left out. One function with local names: measured, a call a line
        and attributes cost a third more.
        """
        position, new = self._position, self._new
        known, quarter_of, as_sent = position.get, calendar.quarter_hour, renamed is AS_SENT
        touched: list[list[int]] = []
        for purchase in purchases:
            at_ms = purchase.event_time
            quarter = quarter_of(at_ms)
            minute = at_ms // MINUTE_MS * 60
            day = quarter.day_field
            category, brand = purchase.category_code or UNKNOWN, purchase.brand or UNKNOWN
            product, user = purchase.product_id, purchase.user_id
            if not as_sent:
                category, brand, product = renamed.of(category, brand, product)
            # Keys of different kinds differ in type or length, or in the prefix of their last part.
            time: object = minute if minute >= minute_floor else quarter.hour
            of_category, of_product = (category, day, None), (product, day)
            at_time, at_category, at_product, at_brand = (
                known(time),
                known(of_category),
                known(of_product),
                known(brand),
            )
            if at_time is None:
                at_time = new(time, None, _time_group(quarter, minute if time is minute else None))
            if at_category is None:
                at_category = new(of_category, None, _category_group(category, quarter.dates))
            if at_product is None:
                at_product = new(of_product, product, _product_group(product, quarter.dates))
            if at_brand is None:
                at_brand = new(brand, None, _brand_group(brand))
            found = [at_time, at_category, at_product, at_brand]
            if user is not None:
                of_user = (user, quarter.month_field)
                at_user = known(of_user)
                if at_user is None:
                    at_user = new(of_user, user, _user_group(user, quarter.month_field))
                found.append(at_user)
            touched.append(found)
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
    buckets: tuple[CounterKey, ...] = (quarter.hour, quarter.day, quarter.month)
    if minute is not None:
        buckets = (*buckets, (quarter.minute_table, str(minute)))
    return CounterGroup(tuple([TableCounters(table, (start,), table) for table, start in buckets]), b"")


@lru_cache(maxsize=65_536)
def _category_group(code: str, dates: tuple[str, ...]) -> CounterGroup:
    tables, tokens, index, entities = _category_tables(code)
    by_date = [TableCounters(table, dates, token) for table, token in zip(tables, tokens, strict=True)]
    return CounterGroup((*by_date, index), entities)


@lru_cache(maxsize=8192)
def _category_tables(code: str) -> tuple[tuple[str, ...], tuple[bytes, ...], TableCounters, bytes]:
    """The table and token of each level of a code, the counters of the whole code, and the tokens of an entry."""
    tables = tuple(f"category:{level}" for level in levels(code))
    tokens = tuple(map(entity_token, tables))
    leaf = leaf_token(tokens[-1])
    return tables, tokens, TableCounters("categories", (code,), leaf, is_index=True), b"".join((*tokens[:-1], leaf))


def _product_group(product_id: str, dates: tuple[str, ...]) -> CounterGroup:
    table, token = _product_table(product_id)
    return CounterGroup((TableCounters(table, dates, token),), token)


@lru_cache(maxsize=65_536)
def _product_table(product_id: str) -> tuple[str, bytes]:
    table = f"product:{product_id}"
    return table, entity_token(table)


def _user_group(user_id: str, month: str) -> CounterGroup:
    table = f"user:{user_id}"
    token = entity_token(table)
    return CounterGroup((TableCounters(table, (_TOTAL, month), token),), token)


@lru_cache(maxsize=8192)
def _brand_group(brand: str) -> CounterGroup:
    token = entity_token(f"brand:{brand}")
    return CounterGroup((TableCounters("brands", (brand,), token, is_index=True),), token)
