"""The live tables as the aggregator writes them: marks are read, deltas applied through the fenced script."""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster

from services.aggregator.fold import ShardDelta, shard_of
from services.common.metrics import AGGREGATOR_SCRIPT_SECONDS
from services.common.tables import ARRIVALS_KEPT_SECONDS, PURCHASES_KEPT, TICKER_KEPT, Keys, ProductFacts

_SCRIPTS = Path(__file__).parent
_MINUTE_TABLE = "sales:minute:"

RedisClient = Redis | RedisCluster


@dataclass(slots=True)
class ShardState:
    """Where one shard stands in one partition: the next offset to apply, and the highest row of each source."""

    mark: int = 0
    rows: dict[str, int] = field(default_factory=dict)


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


class Moved(Exception):
    """A shard's mark was not the expected one: another aggregator moved it, or Redis was restored."""


class TableStore:
    """All shards behind one client. Every call raises redis.RedisError where Redis is away."""

    def __init__(self, redis: RedisClient, keys: Sequence[Keys], event_ids_kept: int) -> None:
        self._redis = redis
        self._keys = keys
        self._event_ids_kept = event_ids_kept
        self._apply = redis.register_script((_SCRIPTS / "apply.lua").read_text())
        self._claim = redis.register_script((_SCRIPTS / "claim.lua").read_text())

    @property
    def shards(self) -> int:
        """How many shards there are."""
        return len(self._keys)

    async def load(self, partition: str) -> list[ShardState]:
        """Where each shard stands in a partition."""
        return [await self._load(keys, partition) for keys in self._keys]

    async def _load(self, keys: Keys, partition: str) -> ShardState:
        # One transaction: a mark without the rows that belong to it would let a repeat through.
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.hget(keys("marks"), partition)
            pipe.hgetall(keys(f"rows:{partition}"))
            mark, rows = await pipe.execute()
        return ShardState(int(mark or 0), {source.decode(): int(row) for source, row in rows.items()})

    async def marks(self, partition: str) -> list[int]:
        """Each shard's next offset to apply in a partition."""
        return [int(await self._redis.hget(keys("marks"), partition) or 0) for keys in self._keys]

    async def minute_floors(self) -> list[int]:
        """Each shard's minute floor, epoch seconds."""
        return [int(await self._redis.hget(keys("totals"), "minute_floor") or 0) for keys in self._keys]

    async def apply(self, shard: int, move: Move, delta: ShardDelta, change: Change) -> int:
        """Apply one delta to one shard. Returns the shard's minute floor; raises Moved without any effect."""
        batch = _Batch(self._keys[shard])
        payload = batch.payload(move, delta, change)
        tokens = b"".join(places.tokens for places in delta.facets.places)  # MessagePack there knows no binary type
        started = time.perf_counter()
        applied, value = await self._apply(keys=batch.keys, args=[payload, tokens])
        AGGREGATOR_SCRIPT_SECONDS.observe(time.perf_counter() - started)
        if not applied:
            raise Moved(f"{move.partition}: shard {shard} stands at {int(value)}, not at {move.expected}")
        return int(value)

    async def claim(self, wanted: Mapping[str, str]) -> dict[str, str]:
        """The owning record of each event id, claiming those that nobody owns. `wanted`: event id → record."""
        by_shard: defaultdict[int, list[str]] = defaultdict(list)
        for event_id in wanted:
            by_shard[shard_of(event_id, self.shards)].append(event_id)
        owners: dict[str, str] = {}
        for shard, event_ids in by_shard.items():
            keys = self._keys[shard]
            arguments = [part for event_id in event_ids for part in (event_id, wanted[event_id])]
            answer = await self._claim(
                keys=[keys("claims"), keys("claims:log")], args=[self._event_ids_kept, *arguments]
            )
            owners.update(zip(event_ids, (owner.decode() for owner in answer), strict=True))
        return owners


class _Batch:
    """The script's input: keys by position (from 1, as Lua counts) and the MessagePack payload."""

    def __init__(self, keys: Keys) -> None:
        self._name = keys
        self._position: dict[str, int] = {}
        self.keys: list[str] = []
        self._key("marks")
        self._key("totals")

    def _key(self, table: str) -> int:
        position = self._position.get(table)
        if position is None:
            self.keys.append(self._name(table))
            position = self._position[table] = len(self.keys)
        return position

    def payload(self, move: Move, delta: ShardDelta, change: Change) -> bytes:
        """The script's ARGV[1]; apply.lua reads these names."""
        now_ms = int(time.time() * 1000)
        return msgspec.msgpack.encode(
            {
                "partition": move.partition,
                "expected": str(move.expected),
                "next": str(move.next),
                "minute_floor": change.minute_floor,
                "expired_keys": [self._key(table) for table in change.expired_tables],
                **self._figures(delta),
                "total_revenue": delta.revenue,
                "total_quantity": delta.quantity,
                "events": delta.events,
                "first_event": delta.first_event or 0,
                "last_event": delta.last_event or 0,
                "applied_at": str(now_ms),
                "freshness_ms": str(max(0, now_ms - change.arrived_at)),
                "arrivals": list(delta.arrivals.items()),
                "newest_arrival": max(delta.arrivals, default=0),
                "lateness": list(delta.lateness.items()),
                "dead_letters": list(delta.dead_letters.items()),
                "ticker": delta.ticker,
                "rows": list(change.rows.items()),
                "orders_key": self._key("orders"),
                "users_key": self._key("users"),
                "spenders_key": self._key("spenders"),
                "products_key": self._key("products"),
                "arrivals_key": self._key("arrivals"),
                "lateness_key": self._key("lateness"),
                "dead_letters_key": self._key("dead_letters"),
                "ticker_key": self._key("ticker"),
                "rows_key": self._key(f"rows:{move.partition}"),
                "purchases_kept": PURCHASES_KEPT,
                "ticker_kept": TICKER_KEPT,
                "arrivals_kept": ARRIVALS_KEPT_SECONDS,
            }
        )

    def _figures(self, delta: ShardDelta) -> dict[str, Any]:
        """Facets and the counters behind them, numbered so that the fields of each table stand side by side."""
        by_table: dict[str, dict[str, int]] = {}
        for places, _ in delta.facets.places:
            for table, name in places:
                by_table.setdefault(table, {})[name] = 0
        counters = 0
        for fields in by_table.values():
            for name in fields:
                counters += 1  # from 1, as Lua counts
                fields[name] = counters
        return {
            "counters": counters,
            "facets": [[by_table[table][name] for table, name in places] for places, _ in delta.facets.places],
            "revenue": delta.facets.revenue,
            "quantity": delta.facets.quantity,
            "orders": [(order_id, [facet + 1 for facet in facets]) for order_id, facets in delta.orders.items()],
            **self._tables(delta, by_table),
        }

    def _tables(self, delta: ShardDelta, by_table: dict[str, dict[str, int]]) -> dict[str, Any]:
        """Tables with their fields and first counter; what else a product or user brings stands beside its figures."""
        products = [
            (*self._table(by_table, f"product:{product_id}"), product_id, facts.event_time, _encode(facts))
            for product_id, facts in delta.products.items()
        ]
        users = [
            (
                *self._table(by_table, f"user:{user_id}"),
                user_id,
                user.first_seen,
                user.last_seen,
                self._key(f"purchases:{user_id}"),
                [part for event_time, line in user.purchases for part in (str(event_time), line)],
            )
            for user_id, user in delta.users.items()
        ]
        minutes = [self._table(by_table, table) for table in list(by_table) if table.startswith(_MINUTE_TABLE)]
        others = [self._table(by_table, table) for table in list(by_table)]
        return {"products": products, "users": users, "minutes": minutes, "tables": others}

    def _table(self, by_table: dict[str, dict[str, int]], table: str) -> tuple[int, list[str], int]:
        fields = by_table.pop(table)
        return self._key(table), list(fields), next(iter(fields.values()))


def _encode(facts: ProductFacts) -> str:
    return msgspec.json.encode(facts).decode()
