"""Live tables by hand: what the aggregator would write for a few lines, straight from services/common/tables.py.

Shares no code with the aggregator. `python -m tests.support.gateway_tables redis://127.0.0.1:6379/0`
fills a server with a small shop to look at.
"""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from zlib import crc32
from zoneinfo import ZoneInfo

import msgspec
import redis

from services.common.categories import UNKNOWN
from services.common.tables import (
    Figures,
    Granularity,
    Keys,
    ProductFacts,
    PurchaseLine,
    TickerLine,
    parse_figures,
    period_of,
    shard_keys,
)


@dataclass(frozen=True)
class Line:
    """One accepted purchase line; `time` is its event time. Price in cents."""

    time: datetime
    order_id: str
    product_id: str
    user_id: str | None
    price: int
    quantity: int = 1
    category: str | None = None
    brand: str | None = None
    name: str | None = None
    partition: int = 0

    @property
    def revenue(self) -> int:
        return self.price * self.quantity

    @property
    def time_ms(self) -> int:
        return int(self.time.timestamp() * 1000)


class TableWriter:
    """Writes lines into the tables of `shards` shards, where nobody else writes figures."""

    def __init__(self, url: str, shards: int = 1, time_zone: str = "UTC") -> None:
        self.url = url
        self.redis = redis.Redis.from_url(url, decode_responses=True)
        self.keys = shard_keys(shards)
        self._commands = self.redis.pipeline(transaction=False)  # sent by `write`
        self._written: dict[tuple[str, str], str] = {}
        self._zone = ZoneInfo(time_zone)
        self._offset = 0
        self._orders: set[tuple[str, str]] = set()

    def close(self) -> None:
        """Disconnect."""
        self.redis.close()

    def write(self, lines: Iterable[Line], *, arrived_at: float | None = None) -> None:
        """Apply the lines in their order, all of which arrived at this time (default: now)."""
        for line in lines:
            self._apply(line, int((time.time() if arrived_at is None else arrived_at) * 1000))
        self._commands.execute()

    def home(self, text: str) -> Keys:
        """The shard of an entity. Which one it is does not matter to a reader."""
        return self.keys[crc32(text.encode()) % len(self.keys)]

    def _apply(self, line: Line, arrived_ms: int) -> None:
        home = self.keys[line.partition % len(self.keys)]
        self._offset += 1
        self._totals(line, home, arrived_ms)
        for key, field in [
            *self._time_places(line),
            *self._category_places(line),
            (home("brands"), line.brand or UNKNOWN),
        ]:
            self._add(key, field, line)
        self._product(line)
        if line.user_id is not None:
            self._customer(line, line.user_id)
        self._commands.hincrby(home("arrivals"), str(arrived_ms // 1000), 1)
        self._commands.xadd(home("ticker"), {"line": ticker_line(line, arrived_ms)}, maxlen=200, approximate=False)
        for keys in self.keys:
            self._commands.hset(keys("marks"), f"purchases/{line.partition}", str(self._offset))

    def _totals(self, line: Line, home: Keys, arrived_ms: int) -> None:
        totals = home("totals")
        self._commands.hincrby(totals, "revenue", line.revenue)
        self._commands.hincrby(totals, "quantity", line.quantity)
        self._commands.hincrby(totals, "events", 1)
        if self._is_new("order", line.order_id):
            self._commands.hincrby(self.home(line.order_id)("totals"), "orders", 1)
        self._extend(totals, "first_event", line.time_ms, min)
        self._extend(totals, "last_event", line.time_ms, max)
        self._commands.hset(totals, mapping={"applied_at": str(arrived_ms + 40), "freshness_ms": "40"})

    def _extend(self, key: str, field: str, value: int, choose: Callable[[int, int], int]) -> None:
        known = self._written.get((key, field))
        self._set(key, field, str(value if known is None else choose(int(known), value)))

    def _set(self, key: str, field: str, value: str) -> None:
        self._written[key, field] = value
        self._commands.hset(key, field, value)

    def _is_new(self, counter: str, order_id: str) -> bool:
        new = (counter, order_id) not in self._orders
        self._orders.add((counter, order_id))
        return new

    def _add(self, key: str, field: str, line: Line) -> None:
        """Revenue and pieces under the key; the order in the same table of the order's own shard, once."""
        self._add_figures(key, field, Figures(line.revenue, line.quantity, 0))
        table = key.split(":", 3)[3]
        if self._is_new(f"{table}|{field}", line.order_id):
            self._add_figures(self.home(line.order_id)(table), field, Figures(0, 0, 1))

    def _add_figures(self, key: str, field: str, figures: Figures) -> None:
        total = parse_figures(self._written.get((key, field))) + figures
        self._set(key, field, " ".join(map(str, total)))

    def _starts(self, line: Line) -> Iterator[tuple[Granularity, datetime]]:
        minute = line.time.astimezone(self._zone).replace(second=0, microsecond=0)
        day = minute.replace(hour=0, minute=0)
        yield "month", day.replace(day=1)
        yield "day", day
        yield "hour", minute.replace(minute=0)
        yield "minute", minute

    def _time_places(self, line: Line) -> Iterator[tuple[str, str]]:
        home = self.keys[line.partition % len(self.keys)]
        for granularity, start in self._starts(line):
            yield home(f"sales:{granularity}:{period_of(granularity, start)}"), _seconds(start)

    def _category_places(self, line: Line) -> Iterator[tuple[str, str]]:
        home = self.keys[line.partition % len(self.keys)]
        code = line.category or UNKNOWN
        yield home("categories"), code
        parts = code.split(".")
        for depth in range(1, len(parts) + 1):
            key = home(f"category:{'.'.join(parts[:depth])}")
            yield from ((key, field) for field in self._entity_fields(line))

    def _entity_fields(self, line: Line) -> Iterator[str]:
        yield "total"
        for granularity, start in self._starts(line):
            if granularity in ("month", "day"):
                yield f"{granularity}:{_seconds(start)}"

    def _product(self, line: Line) -> None:
        keys = self.home(line.product_id)
        key = keys(f"product:{line.product_id}")
        for field in self._entity_fields(line):
            self._add(key, field, line)
        facts = ProductFacts(line.name, None, line.category, line.brand, line.price, line.time_ms)
        self._commands.hset(key, "facts", msgspec.json.encode(facts))
        self._commands.zincrby(keys("products"), -line.revenue, line.product_id)

    def _customer(self, line: Line, user_id: str) -> None:
        keys = self.home(user_id)
        key = keys(f"user:{user_id}")
        if (key, "first_seen") not in self._written:
            self._commands.hincrby(keys("totals"), "buyers", 1)
        self._add(key, "total", line)
        self._add(key, f"month:{_seconds(dict(self._starts(line))['month'])}", line)
        self._extend(key, "first_seen", line.time_ms, min)
        self._extend(key, "last_seen", line.time_ms, max)
        self._commands.zincrby(keys("spenders"), -line.revenue, user_id)
        self._commands.zadd(keys("users"), {user_id: 0})
        self._commands.zadd(keys(f"purchases:{user_id}"), {self._purchase_line(line): line.time_ms})
        self._commands.zremrangebyrank(keys(f"purchases:{user_id}"), 0, -51)

    def _purchase_line(self, line: Line) -> bytes:
        return msgspec.json.encode(
            PurchaseLine(
                f"{line.partition}/{self._offset}",
                line.time_ms,
                line.order_id,
                line.product_id,
                line.name,
                line.category,
                line.brand,
                line.price,
                line.quantity,
                line.revenue,
            )
        )


def _seconds(start: datetime) -> str:
    return str(int(start.timestamp()))


def ticker_line(line: Line, arrived_ms: int) -> bytes:
    """An arrival as it stands in the ticker."""
    return msgspec.json.encode(
        TickerLine(
            arrived_ms,
            line.time_ms,
            line.order_id,
            line.user_id,
            line.product_id,
            line.name,
            line.category,
            line.brand,
            line.price,
            line.quantity,
            line.revenue,
        )
    )


PHONE = Line(
    datetime(2020, 4, 24, 11, 50, 39, tzinfo=UTC),
    "2294359932054536986",
    "1515966223509089906",
    "1515915625441993984",
    16201,
    category="electronics.smartphone",
    brand="samsung",
    name="Galaxy",
)
HEADPHONES = replace(
    PHONE,
    product_id="1515966223509104145",
    price=2599,
    quantity=2,
    category="electronics.audio.headphone",
    brand="huawei",
    name=None,
)
CHAIR = Line(
    datetime(2020, 5, 2, 8, 5, 0, tzinfo=UTC),
    "2294444024058086220",
    "2273948319057183658",
    None,
    7799,
    category="furniture.living_room.chair",
    partition=1,
)
MYSTERY = replace(CHAIR, order_id="o-3", product_id="p/α 1", user_id="user/1 ü", price=100, category=None, partition=2)
RETURN = replace(HEADPHONES, time=HEADPHONES.time + timedelta(days=30), order_id="o-4", quantity=-1)

# Five lines of four orders, two customers: revenue 162.01 + 51.98 + 77.99 + 1.00 - 25.99 = 266.99.
SHOP = (PHONE, HEADPHONES, CHAIR, MYSTERY, RETURN)


if __name__ == "__main__":
    writer = TableWriter(sys.argv[1])
    writer.write(SHOP)
    writer.close()
