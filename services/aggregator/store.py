"""The live tables as the aggregator writes them: marks are read, deltas applied through the fenced script."""

import time
from collections import defaultdict
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from services.aggregator.fold import ShardDelta, shard_of
from services.aggregator.payload import Change, Move, Payload, stamp_field
from services.common.metrics import AGGREGATOR_FRESHNESS_SECONDS, AGGREGATOR_SCRIPT_SECONDS
from services.common.redis_client import RedisClient
from services.common.tables import Keys

_SCRIPTS = Path(__file__).parent


@dataclass(slots=True)
class ShardState:
    """Where one shard stands in one partition: the next offset to apply, and the highest row of each source.

    `stamp`: the broker's time of the record before the mark, epoch milliseconds; it tells one log from another.
    """

    mark: int = 0
    rows: dict[str, int] = field(default_factory=dict)
    stamp: int | None = None


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

    def use(self, keys: Sequence[Keys]) -> None:
        """Work on these shards from now on."""
        self._keys = keys

    async def load(self, partition: str) -> list[ShardState]:
        """Where each shard stands in a partition."""
        return [await self._load(keys, partition) for keys in self._keys]

    async def _load(self, keys: Keys, partition: str) -> ShardState:
        # One transaction: a mark without the rows that belong to it would let a repeat through.
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.hmget(keys("marks"), partition, stamp_field(partition))
            pipe.hgetall(keys(f"rows:{partition}"))
            (mark, stamp), rows = await pipe.execute()
        known_rows = {source.decode(): int(row) for source, row in rows.items()}
        return ShardState(int(mark or 0), known_rows, None if stamp is None else int(stamp))

    async def marks(self, partition: str) -> list[int]:
        """Each shard's next offset to apply in a partition."""
        return [int(await self._redis.hget(keys("marks"), partition) or 0) for keys in self._keys]

    async def minute_floors(self) -> list[int]:
        """Each shard's minute floor, epoch seconds."""
        return [int(await self._redis.hget(keys("totals"), "minute_floor") or 0) for keys in self._keys]

    async def note_missing(self, shard: int, partition: str, first: int, last: int) -> None:
        """Remember that the figures go on without these records (offsets, inclusive)."""
        await self._redis.hset(self._keys[shard]("missing"), f"{partition}/{first}", str(last))

    async def apply(self, shard: int, move: Move, delta: ShardDelta, change: Change) -> int:
        """Apply one delta to one shard. Returns the shard's minute floor; raises Moved without any effect."""
        payload = Payload(self._keys[shard], move, delta, change, now_ms=int(time.time() * 1000))
        started = time.perf_counter()
        applied, value = await self._apply(keys=payload.keys, args=payload.arguments)
        AGGREGATOR_SCRIPT_SECONDS.observe(time.perf_counter() - started)
        if not applied:
            raise Moved(f"{move.partition}: shard {shard} stands at {int(value)}, not at {move.expected}")
        if delta.events:
            AGGREGATOR_FRESHNESS_SECONDS.set(max(0.0, time.time() - change.arrived_at / 1000))
        return int(value)

    async def claim(self, wanted: Mapping[str, str], replays: Container[str] = frozenset()) -> dict[str, str]:
        """The owning record of each event id, claiming those that nobody owns. `wanted`: event id → record.

        A claim is remembered among the newest ones, that of an id in `replays` for ever.
        """
        by_shard: defaultdict[int, list[str]] = defaultdict(list)
        for event_id in wanted:
            by_shard[shard_of(event_id, self.shards)].append(event_id)
        owners: dict[str, str] = {}
        for shard, event_ids in by_shard.items():
            keys = self._keys[shard]
            asked = [
                part
                for event_id in event_ids
                for part in (event_id, wanted[event_id], "replay" if event_id in replays else "")
            ]
            answer = await self._claim(
                keys=[keys("claims"), keys("claims:log"), keys("replays")], args=[self._event_ids_kept, *asked]
            )
            owners.update(zip(event_ids, (owner.decode() for owner in answer), strict=True))
        return owners
