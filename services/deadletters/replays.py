"""Which dead letters have been replayed, by the live tables in Redis."""

from collections.abc import Sequence

from services.common.generations import live_generation
from services.common.redis_client import REDIS_ERRORS, connect
from services.common.settings import RedisSettings

_BATCH_SIZE = 1000


class Replays:
    """Looks event ids up among those that were replayed. Raises redis.RedisError where Redis is away."""

    def __init__(self, settings: RedisSettings) -> None:
        self._redis = connect(settings)
        self._shards = settings.shards

    async def count(self, event_ids: Sequence[str]) -> int:
        """How many of these were replayed."""
        if not event_ids:
            return 0
        live = await live_generation(self._redis, self._shards, "UTC")
        found: set[str] = set()
        for keys in live.keys:
            owners = await self._redis.hmget(keys("replays"), list(event_ids))
            found |= {event_id for event_id, owner in zip(event_ids, owners, strict=True) if owner is not None}
        return len(found)

    async def close(self) -> None:
        """Give the connection back."""
        await self._redis.aclose()


class ReplayCounter:
    """Counts the dead letters that were replayed, as far as Redis answers."""

    def __init__(self, settings: RedisSettings) -> None:
        self._replays = Replays(settings)
        self._pending: list[str] = []
        self._count: int | None = 0

    async def add(self, event_id: str) -> None:
        """Look one id up, in batches."""
        self._pending.append(event_id)
        if len(self._pending) == _BATCH_SIZE:
            await self._look_up()

    async def result(self) -> int | None:
        """How many were replayed; None where Redis was unavailable. Closes the connection."""
        await self._look_up()
        await self._replays.close()
        return self._count

    async def _look_up(self) -> None:
        pending, self._pending = self._pending, []
        try:
            if self._count is not None:
                self._count += await self._replays.count(pending)
        except REDIS_ERRORS:
            self._count = None
