"""Waits for engines that are unavailable: nothing is skipped meanwhile."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from aiokafka.errors import KafkaError
from redis.exceptions import ReadOnlyError

from services.aggregator.live_generation import TablesOutdated
from services.aggregator.store import TableStore
from services.common.redis_client import REDIS_ERRORS
from services.common.telemetry import Health

logger = logging.getLogger(__name__)
T = TypeVar("T")

_RETRY_AFTER_S = (0.1, 0.2, 0.5, 1.0, 2.0)


async def until_available(
    attempt: Callable[[], Awaitable[T]], store: TableStore, health: Health, on_failure: Callable[[], Awaitable[None]]
) -> T:
    """Retry until it succeeds, and call `on_failure` before each wait."""
    failures = 0
    while True:
        try:
            result = await attempt()
        except (*REDIS_ERRORS, KafkaError, TablesOutdated) as error:
            await on_failure()
            if isinstance(error, ReadOnlyError):  # a replica by now: its connection would answer so for ever
                await store.reconnect()
            wait = _RETRY_AFTER_S[min(failures, len(_RETRY_AFTER_S) - 1)]
            failures += 1
            health.set("tables", False, f"{type(error).__name__}: {error}")
            logger.warning(
                "waiting %.1f s for Redis, Kafka, the archive or a rebuild: %s",
                wait,
                error,
                extra={"retry_after_s": wait},
            )
            await asyncio.sleep(wait)
        else:
            health.set("tables", True)
            return result
