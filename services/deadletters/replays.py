"""Which dead letters have been replayed, as the live tables know it."""

from collections.abc import Sequence

from services.common.generations import live_generation
from services.common.redis_client import connect
from services.common.settings import RedisSettings


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
