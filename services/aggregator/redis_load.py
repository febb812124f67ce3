"""Memory and script time of Redis as the server itself measures them, reported as metrics."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from prometheus_client import Counter
from redis.exceptions import ResponseError

from services.common.metrics import (
    REDIS_EVICTED,
    REDIS_MEMORY_MAX,
    REDIS_MEMORY_USED,
    REDIS_SCRIPT_CALLS,
    REDIS_SCRIPT_P99_SECONDS,
    REDIS_SCRIPT_SECONDS,
)
from services.common.redis_client import REDIS_ERRORS, RedisClient
from services.common.tasks import repeat

Info = Mapping[str, Any]

_EVERY_S = 10.0
_SECTIONS = ("memory", "stats", "commandstats", "latencystats")
_ONLY_NODE = "redis"
# A script runs by its hash, or by its text where the server does not know it yet.
_SCRIPT_COMMANDS = ("evalsha", "eval")


class RedisLoad:
    """Asks every node for INFO, and reports what it says."""

    def __init__(self, redis: RedisClient, every_s: float = _EVERY_S) -> None:
        self._redis = redis
        self._every_s = every_s
        self._counts: dict[tuple[Counter, str], float] = {}

    async def watch(self) -> None:
        """Look until cancelled."""
        await repeat(self.look, self._every_s)

    async def look(self) -> None:
        """Look once. A server that is away is reported by the check of the tables."""
        try:
            nodes = await self._nodes()
        except REDIS_ERRORS:
            return
        for node, info in nodes.items():
            self._report(node, info)

    async def _nodes(self) -> dict[str, dict[str, Any]]:
        """INFO by node (host:port; `redis` where there is only one)."""
        nodes: dict[str, dict[str, Any]] = {}
        for section in _SECTIONS:
            with suppress(ResponseError):  # a provider may not allow all of them
                answer: dict[str, Any] = await self._redis.info(section)
                for node, info in (answer if _is_by_node(answer) else {_ONLY_NODE: answer}).items():
                    nodes.setdefault(node, {}).update(info)
        return nodes

    def _report(self, node: str, info: Info) -> None:
        REDIS_MEMORY_USED.labels(node).set(info.get("used_memory", 0))
        REDIS_MEMORY_MAX.labels(node).set(info.get("maxmemory", 0))
        self._advance(REDIS_EVICTED, node, info.get("evicted_keys", 0))
        self._advance(REDIS_SCRIPT_CALLS, node, script_total(info, "calls"))
        self._advance(REDIS_SCRIPT_SECONDS, node, script_total(info, "usec") / 1e6)
        if (p99_us := info.get("latency_percentiles_usec_evalsha", {}).get("p99")) is not None:
            REDIS_SCRIPT_P99_SECONDS.labels(node).set(p99_us / 1e6)

    def _advance(self, counter: Counter, node: str, count: float) -> None:
        """Let a counter follow one of the server's, which begins at 0 again where the server restarts."""
        before = self._counts.get((counter, node), count)
        counter.labels(node).inc(count - before if count >= before else count)
        self._counts[counter, node] = count


def script_total(info: Info, field: str) -> float:
    """A field of commandstats, over the commands that run scripts."""
    return float(sum(info.get(f"cmdstat_{command}", {}).get(field, 0) for command in _SCRIPT_COMMANDS))


def _is_by_node(answer: Info) -> bool:
    """Whether INFO was answered by several nodes: then it is keyed by their addresses."""
    return bool(answer) and all(isinstance(each, dict) and ":" in name for name, each in answer.items())
