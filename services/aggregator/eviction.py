"""Redis must evict nothing: an evicted key is a figure that is silently wrong, or a line that counts again."""

import logging
from typing import Any

from services.common.metrics import AGGREGATOR_REDIS_EVICTS
from services.common.redis_client import REDIS_ERRORS, RedisClient
from services.common.tasks import repeat
from services.common.telemetry import Health

logger = logging.getLogger(__name__)

CHECK = "eviction"
SAFE_POLICY = "noeviction"
_EVERY_S = 10.0


class EvictingRedis(Exception):
    """The server may evict keys; the message says what to do."""


class EvictionGuard:
    """Refuses a server that may evict keys at the start, and says so loudly where it changes later."""

    def __init__(self, redis: RedisClient, health: Health, every_s: float = _EVERY_S) -> None:
        self._redis = redis
        self._health = health
        self._every_s = every_s

    async def require_none(self) -> None:
        """Raises EvictingRedis. A server that is away is looked at once it is back."""
        try:
            policies = await self._policies()
        except REDIS_ERRORS as error:
            logger.warning("the eviction policy of Redis cannot be read yet: %s", error)
            return
        if policies != {SAFE_POLICY}:
            raise EvictingRedis(_what_to_do(policies))

    async def watch(self) -> None:
        """Look until cancelled: a check of the health, a metric, and a line in the log each time that it is wrong."""
        await repeat(self._look, self._every_s)

    async def _look(self) -> None:
        try:
            policies = await self._policies()
        except REDIS_ERRORS:
            return  # the tables' own check says that Redis is away
        evicts = policies != {SAFE_POLICY}
        AGGREGATOR_REDIS_EVICTS.set(evicts)
        self._health.set(CHECK, not evicts, _what_to_do(policies) if evicts else "")
        if evicts:
            logger.error(_what_to_do(policies), extra={"policies": sorted(policies)})

    async def _policies(self) -> set[str]:
        """The policies of all nodes. INFO has them where a provider does not allow CONFIG."""
        info: dict[str, Any] = await self._redis.info("memory")
        nodes = [info] if "maxmemory_policy" in info else list(info.values())
        return {node["maxmemory_policy"] for node in nodes}


def _what_to_do(policies: set[str]) -> str:
    return (
        f"Redis may evict keys (maxmemory-policy {', '.join(sorted(policies))}), and then figures are silently wrong: "
        f"set it to {SAFE_POLICY} (`redis-cli CONFIG SET maxmemory-policy {SAFE_POLICY}`, with the password in "
        "REDISCLI_AUTH, and in its configuration; on ElastiCache in the parameter group). If it has evicted keys "
        "already (INFO stats, evicted_keys), run `make rebuild`"
    )
