"""Access to the live tables: reads marks (applied offsets) and orders, applies deltas through the fenced script."""

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from redis.exceptions import ResponseError

from services.aggregator.fold import ShardDelta
from services.aggregator.groups import shard_of
from services.aggregator.order_counts import KnownOrder
from services.aggregator.payload import BatchEffects, OffsetAdvance, Payload, orders_field, timestamp_field
from services.aggregator.uncounted import Uncounted, decode_runs, uncounted_table
from services.common.metrics import AGGREGATOR_DELAY_SECONDS, AGGREGATOR_FRESHNESS_SECONDS, AGGREGATOR_SCRIPT_SECONDS
from services.common.order_entry import decode_entry
from services.common.redis_client import RedisClient, is_of_script, reconnect
from services.common.tables import Keys

_SCRIPT = Path(__file__).parent / "apply.lua"
_OTHER_MARK, _APPLIED, _OTHER_ORDER = 0, 1, 2
_MEMBERS_A_CALL = 5000


@dataclass(slots=True)
class ShardState:
    """How far one partition is applied in one shard: the next offset, and the dead letters that have counted.

    `orders_mark`: the next offset for the orders' entries, which with several shards are written first; the lines
    before it that did not count are in `uncounted`. `rows`: source → highest offset; `file_rows`: see `row_token`.
    `last_timestamp_ms`: broker timestamp of the record before the mark, epoch milliseconds. It identifies the log.
    """

    mark: int = 0
    orders_mark: int = 0
    rows: dict[str, int] = field(default_factory=dict)
    last_timestamp_ms: int | None = None
    uncounted: Uncounted = field(default_factory=Uncounted)
    file_rows: set[str] = field(default_factory=set)


class OffsetConflict(Exception):
    """Compare-and-set of a mark failed: another aggregator moved it, or Redis was restored."""


class OrderConflict(OffsetConflict):
    """Compare-and-set of an order's entry failed: a line of it came by another partition meanwhile."""


class BatchRefused(Exception):
    """The script cannot apply a batch because of what is in it. Nothing was written."""


class TableStore:
    """All shards behind one client. Every call raises RedisError while Redis is unavailable."""

    def __init__(self, redis: RedisClient, keys: Sequence[Keys]) -> None:
        self._redis = redis
        self._keys = keys
        self._apply = redis.register_script(_SCRIPT.read_text())
        self._near_limit = False

    @property
    def checks_first(self) -> bool:
        """Whether all shards are asked before one is written: a shard could refuse what another has added already."""
        return self._near_limit and self.shards > 1

    @property
    def shards(self) -> int:
        """How many shards there are."""
        return len(self._keys)

    def home_shard(self, partition: int) -> int:
        """The shard of a partition's additive tables."""
        return partition % len(self._keys)

    def use(self, keys: Sequence[Keys]) -> None:
        """Write these shards from now on."""
        self._keys = keys

    async def load(self, partition: str) -> list[ShardState]:
        """The state of each shard in a partition."""
        near_limit = [await self._redis.hexists(keys("totals"), "near_limit") for keys in self._keys]
        self._near_limit = any(near_limit)
        return [await self._load(keys, partition) for keys in self._keys]

    async def _load(self, keys: Keys, partition: str) -> ShardState:
        # One transaction: a mark without the rows that belong to it would let a repeat through.
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.hmget(keys("marks"), partition, orders_field(partition), timestamp_field(partition))
            pipe.hgetall(keys(f"rows:{partition}"))
            pipe.smembers(keys(f"file_rows:{partition}"))
            (mark, orders_mark, timestamp_ms), rows, file_rows = await pipe.execute()
        state = ShardState(
            int(mark or 0),
            int(orders_mark or mark or 0),
            {source.decode(): int(row) for source, row in rows.items()},
            None if timestamp_ms is None else int(timestamp_ms),
            file_rows={token.decode() for token in file_rows},
        )
        if self.shards > 1:
            runs = cast("list[bytes]", await self._redis.lrange(keys(uncounted_table(partition)), 0, -1))
            state.uncounted = decode_runs([run.decode() for run in runs])
        return state

    async def marks(self, partition: str) -> list[int]:
        """Each shard's next offset to apply in a partition."""
        return [int(await self._redis.hget(keys("marks"), partition) or 0) for keys in self._keys]

    async def minute_floors(self) -> list[int]:
        """Each shard's minute floor, epoch seconds."""
        return [int(await self._redis.hget(keys("totals"), "minute_floor") or 0) for keys in self._keys]

    async def newest_events(self) -> list[int]:
        """Times of the newest events, epoch milliseconds: up to twenty of each shard."""
        found = [await self._redis.zrange(keys("newest_events"), 0, -1, withscores=True) for keys in self._keys]
        return [int(at_ms) for events in found for _record, at_ms in cast(list[tuple[bytes, float]], events)]

    async def note_missing(self, shard: int, partition: str, first: int, last: int) -> None:
        """Store that the figures lack these records (offsets, inclusive)."""
        await self._redis.hset(self._keys[shard]("missing"), f"{partition}/{first}", str(last))

    def payload(self, shard: int, advance: OffsetAdvance, delta: ShardDelta, effects: BatchEffects) -> Payload:
        """What the script takes to apply one delta to one shard."""
        return Payload(self._keys[shard], advance, delta, effects, now_ms=int(time.time() * 1000))

    async def apply(
        self,
        shard: int,
        advance: OffsetAdvance,
        delta: ShardDelta,
        effects: BatchEffects,
        payload: Payload | None = None,
    ) -> int:
        """Apply one delta to one shard. Returns the shard's minute floor. `payload`: where it is made already.

        Raises OffsetConflict, OrderConflict and BatchRefused, each without any effect.
        """
        payload = payload or self.payload(shard, advance, delta, effects)
        started = time.perf_counter()
        floor, near_limit = await self._run(shard, advance, payload)
        AGGREGATOR_SCRIPT_SECONDS.observe(time.perf_counter() - started)
        self._near_limit = self._near_limit or near_limit
        if delta.events:
            delay_s = max(0.0, time.time() - (effects.last_timestamp_ms or 0) / 1000)
            AGGREGATOR_FRESHNESS_SECONDS.set(delay_s)
            AGGREGATOR_DELAY_SECONDS.observe(delay_s)
        return floor

    async def check(self, shard: int, advance: OffsetAdvance, payload: Payload) -> None:
        """Raise what `apply` would raise, and write nothing."""
        await self._run(shard, advance, payload, check_only=True)

    async def _run(
        self, shard: int, advance: OffsetAdvance, payload: Payload, *, check_only: bool = False
    ) -> tuple[int, bool]:
        """The shard's minute floor, and whether one of its figures has come near what is exact."""
        try:
            answer = await self._apply(keys=payload.keys, args=payload.arguments(check_only=check_only))
        except ResponseError as error:
            raise (BatchRefused(str(error)) if is_of_script(error) else error) from error
        status, value = answer[:2]
        if status == _OTHER_MARK:
            raise OffsetConflict(f"{advance.partition}: shard {shard} is at {int(value)}, not at {advance.expected}")
        if status == _OTHER_ORDER:
            raise OrderConflict(f"{advance.partition}: an order has changed")
        if status != _APPLIED:
            raise BatchRefused(f"{value.decode()} would exceed 2^53, up to which figures are exact")
        return int(value), bool(answer[2])

    async def probe(self, shard: int, partition: str, mark: int) -> None:
        """Apply nothing, from a mark to the same mark. Raises what `apply` raises."""
        await self.apply(shard, OffsetAdvance(partition, mark, mark), ShardDelta(), BatchEffects(None))

    async def reconnect(self) -> None:
        """Resolve Redis's address again, as after a failover."""
        await reconnect(self._redis)

    async def orders(self, order_ids: Iterable[str]) -> dict[str, KnownOrder]:
        """The orders as their entries have them."""
        by_shard: defaultdict[int, list[str]] = defaultdict(list)
        for order_id in order_ids:
            by_shard[shard_of(order_id, self.shards)].append(order_id)
        found: dict[str, KnownOrder] = {}
        for shard, ids in by_shard.items():
            entries = cast("list[bytes | None]", await self._redis.hmget(self._keys[shard]("orders"), ids))
            found.update(zip(ids, map(known_order, entries), strict=True))
        return found

    async def names(self, shard: int, table: str, names: Sequence[str]) -> tuple[set[str], int]:
        """Which of these names a table has, and how many it has: a hash, or the sorted set of products."""
        key = self._keys[shard](table)
        async with self._redis.pipeline(transaction=False) as pipe:
            if table == "products":
                pipe.zmscore(key, list(names))
                pipe.zcard(key)
            else:
                pipe.hmget(key, list(names))
                pipe.hlen(key)
            found, size = await pipe.execute()
        return {name for name, value in zip(names, found, strict=True) if value is not None}, size

    async def members(self, wanted: Mapping[str, Sequence[bytes]]) -> dict[str, frozenset[bytes]]:
        """Those of the wanted members that the sets of large orders have. `wanted`: order → members."""
        found = {}
        for order_id, members in wanted.items():
            key = self._keys[shard_of(order_id, self.shards)](f"order:{order_id}")
            held: list[int] = []
            for start in range(0, len(members), _MEMBERS_A_CALL):
                held += await self._redis.smismember(key, list(members[start : start + _MEMBERS_A_CALL]))
            found[order_id] = frozenset(member for member, is_held in zip(members, held, strict=True) if is_held)
        return found


def known_order(stored: bytes | None) -> KnownOrder:
    """The order of an entry; of a large one, without tokens and counters."""
    if stored is None:
        return KnownOrder()
    entry = decode_entry(stored)
    return KnownOrder(stored, set(entry.lines), entry.digest, None if entry.members is None else frozenset())
