"""Resolves the generation of the live tables that the aggregator writes."""

import logging

from services.common.generations import FORMAT, Generation, live_generation, remember_layout, table_format
from services.common.redis_client import RedisClient

logger = logging.getLogger(__name__)


class TablesOutdated(Exception):
    """The live tables were written by another version; the message says what to do."""


class LiveGeneration:
    """The live generation. `shards` and `time_zone` are the settings, used where no generation is built yet."""

    def __init__(self, redis: RedisClient, shards: int, time_zone: str) -> None:
        self._redis = redis
        self._shards = shards
        self._time_zone = time_zone
        self._known: Generation | None = None

    async def current(self) -> Generation:
        """The generation to write now. Raises RedisError, TablesOutdated."""
        live = await live_generation(self._redis, self._shards, self._time_zone)
        await remember_layout(self._redis, live)
        await self._require_format(live)
        if live != self._known:
            self._known = live
            self._log(live)
        return live

    async def _require_format(self, live: Generation) -> None:
        if await table_format(self._redis, live.name) == FORMAT:
            return
        raise TablesOutdated(
            f"generation {live.name} of the live tables was written by another version of Tillstream, which recognises "
            "repeated lines by another rule: run `make rebuild` (python -m services.aggregator.rebuild). Until then "
            "the figures stay as they are"
        )

    def _log(self, live: Generation) -> None:
        fields = {"generation": live.name, "shards": live.shards, "time_zone": live.time_zone}
        logger.info("writing generation %s: %d shards, %s", *fields.values(), extra=fields)
        if (live.shards, live.time_zone) != (self._shards, self._time_zone):
            logger.warning(
                "the live tables keep their layout, %d shards and %s, until `make rebuild` (python -m "
                "services.aggregator.rebuild): the settings say TILLSTREAM_SHARDS=%d, TILLSTREAM_TIME_ZONE=%s",
                live.shards,
                live.time_zone,
                self._shards,
                self._time_zone,
            )
