"""Which generation of the tables the aggregator has to write."""

import logging

from services.common.generations import Generation, live_generation, remember_layout
from services.common.redis_client import RedisClient

logger = logging.getLogger(__name__)


class LiveTables:
    """The live generation. `shards` and `time_zone` are the settings: what a generation gets that is not built yet."""

    def __init__(self, redis: RedisClient, shards: int, time_zone: str) -> None:
        self._redis = redis
        self._shards = shards
        self._time_zone = time_zone
        self._known: Generation | None = None

    async def generation(self) -> Generation:
        """The generation to write now. Raises RedisError."""
        live = await live_generation(self._redis, self._shards, self._time_zone)
        await remember_layout(self._redis, live)
        if live != self._known:
            self._known = live
            self._tell(live)
        return live

    def _tell(self, live: Generation) -> None:
        logger.info("writing generation %s: %d shards, %s", live.name, live.shards, live.time_zone)
        if (live.shards, live.time_zone) != (self._shards, self._time_zone):
            logger.warning(
                "the live tables stay as they are built, with %d shards and %s, until `make rebuild` (python -m "
                "services.aggregator.rebuild): the settings say TILLSTREAM_SHARDS=%d, TILLSTREAM_TIME_ZONE=%s",
                live.shards,
                live.time_zone,
                self._shards,
                self._time_zone,
            )
