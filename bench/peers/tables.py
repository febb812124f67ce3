"""What the peers keep, read from each contender's Redis database: revenue and pieces by table and name."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import cast

import redis

from services.common.tables import Figures, parse_figures, shard_keys

Tables = dict[tuple[str, str], tuple[int, int]]
"""(table, name) → revenue in cents, pieces. Tables: month, day, category, product, customer."""

PEER_TABLES = ("month", "day", "category", "product", "customer")
# In our live tables: prefix of the tables with one entity each, whose field `total` is compared.
_TOTALS = {"category:": "category", "product:": "product", "user:": "customer"}


def peer_tables(client: redis.Redis) -> Tables:
    """Hashes `<table>` or `<table>:<partition>` with fields `r|<name>` and `q|<name>`, summed over partitions."""
    sums: defaultdict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    for key in client.scan_iter(count=1000):
        table = key.decode().partition(":")[0]
        if table not in PEER_TABLES:
            continue
        for field, amount in cast("dict[bytes, bytes]", client.hgetall(key)).items():
            measure, _, name = field.decode().partition("|")
            sums[table, name]["rq".index(measure)] += int(amount)
    return {counter: (revenue, quantity) for counter, (revenue, quantity) in sums.items()}


def own_tables(client: redis.Redis, shards: int) -> Tables:
    """The same figures of the first generation of our live tables, in a shop whose time zone is UTC."""
    sums: defaultdict[tuple[str, str], Figures] = defaultdict(Figures)
    for keys in shard_keys(shards):
        prefix = keys("")
        for key in client.scan_iter(match=f"{prefix}*", count=1000):
            for counter, packed in _counters(client, key.decode().removeprefix(prefix), key):
                sums[counter] += parse_figures(packed)
    return {counter: (figures.revenue, figures.quantity) for counter, figures in sums.items()}


def _counters(client: redis.Redis, table: str, key: bytes) -> Iterator[tuple[tuple[str, str], bytes | None]]:
    for granularity, length in (("month", 7), ("day", 10)):
        if table.startswith(f"sales:{granularity}:"):
            for start, packed in cast("dict[bytes, bytes]", client.hgetall(key)).items():
                yield (granularity, datetime.fromtimestamp(int(start), UTC).isoformat()[:length]), packed
    for prefix, name in _TOTALS.items():
        if table.startswith(prefix):
            yield (name, table.removeprefix(prefix)), cast("bytes | None", client.hget(key, "total"))


def differences(ours: Tables, theirs: Tables) -> list[str]:
    """The counters that differ, in words."""
    return [
        f"{table} {name}: {theirs.get((table, name))}, ours {ours.get((table, name))}"
        for table, name in sorted({*ours, *theirs})
        if ours.get((table, name)) != theirs.get((table, name))
    ]
