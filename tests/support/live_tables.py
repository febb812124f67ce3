"""What the live tables should hold, computed in the plainest way, and what they do hold."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

import redis

from services.common.events import Purchase
from services.common.generations import FIRST_GENERATION
from services.common.tables import Figures, parse_figures, shard_keys


@dataclass
class Tally:
    """Figures with their orders as a set."""

    revenue: int = 0
    quantity: int = 0
    orders: set[str] = field(default_factory=set)

    def add(self, purchase: Purchase) -> None:
        self.revenue += purchase.revenue
        self.quantity += purchase.quantity
        self.orders.add(purchase.order_id)

    @property
    def figures(self) -> Figures:
        return Figures(self.revenue, self.quantity, len(self.orders))


def expected(purchases: Iterable[Purchase]) -> dict[str, dict[str, Figures]]:
    """Table → field → figures, for the shop's calendar in UTC; minutes are left out (see the floor)."""
    tables: defaultdict[str, defaultdict[str, Tally]] = defaultdict(lambda: defaultdict(Tally))
    for purchase in purchases:
        moment = datetime.fromtimestamp(purchase.event_time / 1000, UTC)
        hour = moment.replace(minute=0, second=0, microsecond=0)
        day = hour.replace(hour=0)
        month = day.replace(day=1)
        tables[f"sales:hour:{moment:%Y-%m}"][stamp(hour)].add(purchase)
        tables[f"sales:day:{moment:%Y}"][stamp(day)].add(purchase)
        tables["sales:month:all"][stamp(month)].add(purchase)
        category = purchase.category_code or "unknown"
        tables["categories"][category].add(purchase)
        tables["brands"][purchase.brand or "unknown"].add(purchase)
        levels = category.split(".")
        dated = [f"category:{'.'.join(levels[: n + 1])}" for n in range(len(levels))]
        for table in [*dated, f"product:{purchase.product_id}"]:
            tables[table]["total"].add(purchase)
            tables[table][f"day:{stamp(day)}"].add(purchase)
            tables[table][f"month:{stamp(month)}"].add(purchase)
        if purchase.user_id is not None:
            tables[f"user:{purchase.user_id}"]["total"].add(purchase)
            tables[f"user:{purchase.user_id}"][f"month:{stamp(month)}"].add(purchase)
    return {table: {name: tally.figures for name, tally in fields.items()} for table, fields in tables.items()}


def stamp(moment: datetime) -> str:
    return str(int(moment.timestamp()))


def held(
    client: redis.Redis, tables: Iterable[str], shards: int, generation: str = FIRST_GENERATION
) -> dict[str, dict[str, Figures]]:
    """The same tables as Redis holds them, summed over the shards."""
    found: dict[str, dict[str, Figures]] = {}
    for table in tables:
        fields: defaultdict[str, Figures] = defaultdict(Figures)
        for keys in shard_keys(shards, generation):
            for name, packed in hash_of(client, keys(table)).items():
                if len(packed.split()) == 3 and name != "facts":
                    fields[name] += parse_figures(packed)
        found[table] = dict(fields)
    return found


def minutes(client: redis.Redis, shards: int) -> dict[int, Figures]:
    """Minute start (epoch seconds) → figures, from the highest floor on."""
    found: defaultdict[int, Figures] = defaultdict(Figures)
    floor = max(int(totals(client, shards, "minute_floor", combine=max)), 0)
    for keys in shard_keys(shards):
        for key in client.scan_iter(match=keys("sales:minute:*").replace("{", "\\{")):
            for minute, packed in hash_of(client, key).items():
                if int(minute) >= floor:
                    found[int(minute)] += parse_figures(packed)
    return dict(found)


def totals(client: redis.Redis, shards: int, name: str, combine: Any = sum, generation: str = FIRST_GENERATION) -> int:
    """One field of `totals` over all shards."""
    values = (client.hget(keys("totals"), name) for keys in shard_keys(shards, generation))
    return int(combine(int(value or 0) for value in values))


def hash_of(client: redis.Redis, key: Any) -> dict[str, str]:
    found = cast(dict[bytes, bytes], client.hgetall(key))
    return {name.decode(): value.decode() for name, value in found.items()}


def scores(client: redis.Redis, key: str) -> dict[str, int]:
    """A sorted set's members with their scores, lowest first."""
    found = cast(list[tuple[bytes, float]], client.zrange(key, 0, -1, withscores=True))
    return {member.decode(): int(score) for member, score in found}
