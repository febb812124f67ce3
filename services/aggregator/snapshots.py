"""Stores snapshots of the live figures in S3 every few minutes; the batch job compares its own figures with them.

They are read while batches are applied, in one transaction per shard, so that marks (applied offsets) and figures
belong together. An error here is logged and retried; it never delays the figures themselves.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from services.aggregator.payload import orders_field, timestamp_field
from services.aggregator.settings import AggregatorSettings
from services.common import live_snapshot
from services.common.calendar import periods
from services.common.generations import live_generation
from services.common.live_snapshot import Buckets, LiveSnapshot, SnapshotTotals
from services.common.metrics import AGGREGATOR_SNAPSHOT_FAILURES, AGGREGATOR_SNAPSHOT_SECONDS, AGGREGATOR_SNAPSHOTS
from services.common.object_store import ObjectStore
from services.common.redis_client import REDIS_ERRORS, RedisClient
from services.common.tables import Granularity, Keys, parse_ledger_entry, sum_figures
from services.common.tasks import repeat

logger = logging.getLogger(__name__)

LEASE_KEY = "tillstream:snapshot-turn"
_POLL_EVERY_S = 5.0
_ATTEMPTS = 5
_MONTHS = "sales:month:all"
_ALWAYS = ("marks", "totals", "ledger", _MONTHS, "categories", "brands", "dead_letters")

Hash = Mapping[str, str]
Tables = dict[str, Hash]


class SnapshotNotStable(Exception):
    """The tables grew into new periods between every two reads."""


@dataclass(frozen=True, slots=True)
class SnapshotSource:
    """The records that the figures come from, and the time zone of their calendar."""

    generation: str
    topic: str
    time_zone: str


class LiveFigures:
    """Reads all live tables. Raises RedisError while Redis is unavailable."""

    def __init__(self, redis: RedisClient, settings: AggregatorSettings) -> None:
        self._redis = redis
        self._shards = settings.shards
        self._topic = settings.purchases_topic
        self._time_zone = settings.time_zone

    async def acquire_lease(self, seconds: float) -> bool:
        """Whether this process holds the lease now: it alone takes a snapshot within the next `seconds`."""
        return bool(await self._redis.set(LEASE_KEY, "taken", nx=True, px=round(seconds * 1000)))

    async def release_lease(self) -> None:
        """Release the lease early: there was nothing to store yet."""
        await self._redis.delete(LEASE_KEY)

    async def read(self) -> tuple[SnapshotSource, list[Tables]]:
        """The tables of every shard, each from one transaction; if possible, all with the same marks.

        Raises SnapshotNotStable.
        """
        live = await live_generation(self._redis, self._shards, self._time_zone)
        keys = live.keys
        shards: list[Tables] | None = None
        wanted: tuple[str, ...] = _ALWAYS
        for _ in range(_ATTEMPTS):
            # Concurrently: the less time between them, the more likely they have the same marks.
            found = list(await asyncio.gather(*(self._read_shard(shard, wanted) for shard in keys)))
            needed = (*_ALWAYS, *dated_tables(found, live.zone))
            if set(needed) <= set(wanted):
                shards = found
                if is_consistent(found, self._topic):
                    break
            wanted = needed
        if shards is None:
            raise SnapshotNotStable
        return SnapshotSource(live.name, self._topic, live.time_zone), shards

    async def _read_shard(self, keys: Keys, tables: Sequence[str]) -> Tables:
        async with self._redis.pipeline(transaction=True) as pipe:
            for table in tables:
                pipe.hgetall(keys(table))
            hashes: list[dict[bytes, bytes]] = await pipe.execute()
        return {table: _text(found) for table, found in zip(tables, hashes, strict=True)}


def _text(found: Mapping[bytes, bytes]) -> Hash:
    return {field.decode(): value.decode() for field, value in found.items()}


def dated_tables(shards: Sequence[Tables], zone: ZoneInfo) -> list[str]:
    """The tables of days and hours from the first event to the last one, over all shards."""
    totals = [shard["totals"] for shard in shards if "first_event" in shard["totals"]]
    if not totals:
        return []
    first_ms = min(int(shard["first_event"]) for shard in totals)
    last_ms = max(int(shard["last_event"]) for shard in totals)
    granularities: tuple[Granularity, ...] = ("day", "hour")
    return [f"sales:{each}:{period}" for each in granularities for period in periods(each, zone, first_ms, last_ms)]


def is_consistent(shards: Sequence[Tables], topic: str) -> bool:
    """Whether all shards have the same marks of the topic, and their orders' entries stand there too."""
    marks = _marks(shards[0], topic)
    if any(_marks(shard, topic) != marks for shard in shards):
        return False
    return len(shards) == 1 or all(_marks(shard, orders_field(topic)) == marks for shard in shards)


def _marks(shard: Tables, topic: str) -> dict[int, int]:
    """Partition → next offset to apply."""
    named = (name.rpartition("/") for name in shard["marks"])
    return {
        int(partition): int(shard["marks"][f"{topic}/{partition}"]) for name, _, partition in named if name == topic
    }


def build_snapshot(source: SnapshotSource, shards: Sequence[Tables], taken_at: int) -> LiveSnapshot | None:
    """The snapshot; None where nothing has been applied yet. `taken_at`: epoch milliseconds."""
    marks, timestamps = {}, []
    for partition in sorted(set().union(*(_marks(shard, source.topic) for shard in shards))):
        # The additive tables of a partition are in its home shard, and change with the mark there.
        home = shards[partition % len(shards)]["marks"]
        name = f"{source.topic}/{partition}"
        if name in home:
            marks[partition] = int(home[name])
            timestamps.append(int(home[timestamp_field(name)]))
    if not marks:
        return None
    return LiveSnapshot(
        taken_at=taken_at,
        generation=source.generation,
        topic=source.topic,
        time_zone=source.time_zone,
        marks=marks,
        newest=max(timestamps),
        consistent=is_consistent(shards, source.topic),
        totals=_totals(shards),
        ledger={
            int(name.rpartition("/")[2]): parse_ledger_entry(packed)
            for shard in shards
            for name, packed in shard["ledger"].items()
        },
        months=_buckets(shards, _MONTHS),
        days=_buckets(shards, "sales:day:"),
        hours=_buckets(shards, "sales:hour:"),
        categories=_buckets(shards, "categories"),
        brands=_buckets(shards, "brands"),
        dead_letters=dict(
            sum((Counter({r: int(n) for r, n in shard["dead_letters"].items()}) for shard in shards), Counter())
        ),
    )


def _totals(shards: Sequence[Tables]) -> SnapshotTotals:
    def total(field: str) -> int:
        return sum(int(shard["totals"].get(field, 0)) for shard in shards)

    return SnapshotTotals(*(total(field) for field in ("revenue", "quantity", "events", "orders", "buyers")))


def _buckets(shards: Sequence[Tables], prefix: str) -> Buckets:
    """Field → figures over all shards, of the tables with this prefix."""
    return sum_figures([fields for shard in shards for table, fields in shard.items() if table.startswith(prefix)])


class Snapshots:
    """Stores a snapshot whenever this process gets the lease, and keeps the newest `kept`."""

    def __init__(
        self,
        figures: LiveFigures,
        store: ObjectStore,
        *,
        seconds: float,
        kept: int,
        erased: Callable[[], int] = lambda: 0,
    ) -> None:
        """`erased`: how many erased customers the figures are without."""
        self._figures = figures
        self._store = store
        self._seconds = seconds
        self._kept = kept
        self._erased = erased

    async def run(self) -> None:
        """Take snapshots until cancelled."""
        await repeat(self._try, min(_POLL_EVERY_S, self._seconds))

    async def _try(self) -> None:
        try:
            await self.take_if_due()
        except (*REDIS_ERRORS, BotoCoreError, ClientError, SnapshotNotStable) as error:
            AGGREGATOR_SNAPSHOT_FAILURES.inc()
            logger.warning("snapshot failed, will retry: %s: %s", type(error).__name__, error)
        except Exception:  # an error here must not stop the aggregator
            AGGREGATOR_SNAPSHOT_FAILURES.inc()
            logger.exception("snapshot failed, will retry")

    async def take_if_due(self) -> str | None:
        """Take and store a snapshot, if this process gets the lease and anything is applied; returns its key."""
        if not await self._figures.acquire_lease(self._seconds):
            return None
        started = time.perf_counter()
        erased = self._erased()  # before the figures: they may lack one more customer, and the count is checked
        source, shards = await self._figures.read()
        AGGREGATOR_SNAPSHOT_SECONDS.set(time.perf_counter() - started)
        key = await asyncio.to_thread(self._store_snapshot, source, shards, time.time_ns() // 1_000_000, erased)
        if key is None:
            await self._figures.release_lease()
        return key

    def _store_snapshot(
        self, source: SnapshotSource, shards: Sequence[Tables], taken_at: int, erased: int
    ) -> str | None:
        snapshot = build_snapshot(source, shards, taken_at)
        if snapshot is None:
            return None
        key = live_snapshot.snapshot_key(taken_at)
        self._store.put(key, live_snapshot.encode(msgspec.structs.replace(snapshot, erased=erased)))
        AGGREGATOR_SNAPSHOTS.inc()
        self._prune()
        return key

    def _prune(self) -> None:
        keys = [key for key, _size in self._store.list(live_snapshot.FOLDER) if live_snapshot.is_snapshot(key)]
        for key in keys[: -self._kept]:
            self._store.delete(key)
