"""Removes erased customers from the live tables, and keeps them out.

Each aggregator first folds by the new list and then removes what is there. So whatever an aggregator wrote by an older
list is removed by its own next removal, also after a crash: it removes when it starts, after every change of the list,
and now and then, since a restored Redis may bring a customer back.
"""

import logging
import re
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import cast

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from services.common.erased import Erased
from services.common.erasure_list import BadErasureList, Source, read_erased
from services.common.redis_client import REDIS_ERRORS, RedisClient
from services.common.tables import TickerLine
from services.common.tasks import in_daemon_thread, repeat

logger = logging.getLogger(__name__)

POLL_S = 5.0
REMOVE_EVERY_S = 600.0
_KEYS_PER_STEP = 1000
_SCRIPT = Path(__file__).parent / "erase.lua"
_OF_CUSTOMER = re.compile(rb"(tillstream:[^:]+:\{[^}]*\}:)(user|purchases|ticker)(?::(.*))?", re.DOTALL)

_ticker_line = msgspec.json.Decoder(TickerLine).decode


class ErasureWatch:
    """Polls the list of erased customers; on a change, passes it to the applier and removes them from the tables."""

    def __init__(self, source: Source, redis: RedisClient, use: Callable[[Erased | None], Awaitable[None]]) -> None:
        """`use`: from its return on, nothing is folded by an older list."""
        self._source = source
        self._redis = redis
        self._use = use
        self._removed_at: float | None = None
        self._failing = False
        self.applied: Erased | None = None
        """What is removed from the tables."""

    async def run(self) -> None:
        """Follow the list until cancelled."""
        await repeat(self.step, POLL_S)

    async def step(self) -> None:
        """Read the list once, and apply it where that is due. While S3 or Redis is away nothing happens."""
        try:
            listed = await in_daemon_thread(lambda: read_erased(self._source))
            if listed is not None and (listed != self.applied or self._is_due()):
                await self._use(listed)
                await remove_erased(self._redis, listed)
                self.applied, self._removed_at = listed, time.monotonic()
            self._failing = False
        except (BadErasureList, BotoCoreError, ClientError, *REDIS_ERRORS) as error:
            if not self._failing:  # once an outage
                logger.warning("erased customers cannot be removed now, will retry: %s", error)
            self._failing = True

    def _is_due(self) -> bool:
        return self._removed_at is None or time.monotonic() - self._removed_at >= REMOVE_EVERY_S


async def remove_erased(redis: RedisClient, erased: Erased) -> int:
    """Remove erased customers from every generation of the tables; returns how many keys. Raises RedisError.

    It looks at each key: a crash between two shards may leave a customer in one that no index names.
    """
    script = redis.register_script(_SCRIPT.read_text())
    removed = 0
    async for key in redis.scan_iter(match="tillstream:*", count=_KEYS_PER_STEP):
        found = _OF_CUSTOMER.fullmatch(key)
        if found is None:
            continue
        prefix, table, name = found.groups()
        if name is None:
            removed += await _remove_from_ticker(redis, key, erased) if table == b"ticker" else 0
        elif name.decode() in erased:
            tables = (b"users", b"totals", b"spenders", b"user:" + name, b"purchases:" + name)
            removed += int(await script(keys=[prefix + each for each in tables], args=[name]))
    if removed:
        logger.info("%d keys and lines of erased customers removed from the live tables", removed)
    return removed


async def _remove_from_ticker(redis: RedisClient, key: bytes, erased: Erased) -> int:
    lines = cast("list[tuple[bytes, dict[bytes, bytes]]]", await redis.xrange(key))
    buyers = ((place, _ticker_line(fields[b"line"]).user_id) for place, fields in lines)
    gone = [place for place, user_id in buyers if user_id is not None and user_id in erased]
    return int(await redis.xdel(key, *gone)) if gone else 0
