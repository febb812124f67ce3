"""Write access to the live tables: reads marks (applied offsets), applies deltas through the fenced script."""

import time
from collections import defaultdict
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from services.aggregator.fold import ShardDelta, shard_of
from services.aggregator.payload import BatchEffects, OffsetAdvance, Payload, timestamp_field
from services.common.metrics import AGGREGATOR_FRESHNESS_SECONDS, AGGREGATOR_SCRIPT_SECONDS
from services.common.redis_client import RedisClient
from services.common.tables import Keys

_SCRIPTS = Path(__file__).parent


@dataclass(slots=True)
class ShardState:
    """How far one partition is applied in one shard: the next offset, and the highest row of each source.

    `last_timestamp_ms`: broker timestamp of the record before the mark, epoch milliseconds. It identifies the log.
    """

    mark: int = 0
    rows: dict[str, int] = field(default_factory=dict)
    last_timestamp_ms: int | None = None


class OffsetConflict(Exception):
    """Compare-and-set of a mark failed: another aggregator moved it, or Redis was restored."""


class TableStore:
    """All shards behind one client. Every call raises RedisError while Redis is unavailable."""

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

    def home_shard(self, partition: int) -> int:
        """The shard of a partition's additive tables."""
        return partition % len(self._keys)

    def use(self, keys: Sequence[Keys]) -> None:
        """Write these shards from now on."""
        self._keys = keys

    async def load(self, partition: str) -> list[ShardState]:
        """The state of each shard in a partition."""
        return [await self._load(keys, partition) for keys in self._keys]

    async def _load(self, keys: Keys, partition: str) -> ShardState:
        # One transaction: a mark without the rows that belong to it would let a repeat through.
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.hmget(keys("marks"), partition, timestamp_field(partition))
            pipe.hgetall(keys(f"rows:{partition}"))
            (mark, timestamp_ms), rows = await pipe.execute()
        known_rows = {source.decode(): int(row) for source, row in rows.items()}
        return ShardState(int(mark or 0), known_rows, None if timestamp_ms is None else int(timestamp_ms))

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

    async def apply(self, shard: int, advance: OffsetAdvance, delta: ShardDelta, effects: BatchEffects) -> int:
        """Apply one delta to one shard. Returns the shard's minute floor; raises OffsetConflict without any effect."""
        payload = Payload(self._keys[shard], advance, delta, effects, now_ms=int(time.time() * 1000))
        started = time.perf_counter()
        applied, value = await self._apply(keys=payload.keys, args=payload.arguments)
        AGGREGATOR_SCRIPT_SECONDS.observe(time.perf_counter() - started)
        if not applied:
            raise OffsetConflict(f"{advance.partition}: shard {shard} is at {int(value)}, not at {advance.expected}")
        if delta.events:
            AGGREGATOR_FRESHNESS_SECONDS.set(max(0.0, time.time() - effects.last_timestamp_ms / 1000))
        return int(value)

    async def claim(self, wanted: Mapping[str, str], replays: Container[str] = frozenset()) -> dict[str, str]:
        """The owning record of each event id; claims those without an owner. `wanted`: event id → record.

        Only the newest claims are kept, but those of ids in `replays` never expire.
        """
        by_shard: defaultdict[int, list[str]] = defaultdict(list)
        for event_id in wanted:
            by_shard[shard_of(event_id, self.shards)].append(event_id)
        owners: dict[str, str] = {}
        for shard, event_ids in by_shard.items():
            keys = self._keys[shard]
            arguments = [
                part
                for event_id in event_ids
                for part in (event_id, wanted[event_id], "replay" if event_id in replays else "")
            ]
            answer = await self._claim(
                keys=[keys("claims"), keys("claims:log"), keys("replays")], args=[self._event_ids_kept, *arguments]
            )
            owners.update(zip(event_ids, (owner.decode() for owner in answer), strict=True))
        return owners
