"""Removes generations of the live tables that are no longer in use."""

import asyncio
import re

from services.common.redis_client import RedisClient

_TABLE = re.compile(rb"tillstream:([^:]+):\{")
_BUILT = re.compile(rb"tillstream:built:(.+)")
_KEYS_PER_STEP = 500


async def sweep(redis: RedisClient, keep: str) -> int:
    """Remove all generations but one, some hundred keys at a time; returns how many keys. Raises RedisError.

    Their memory is freed in the background (UNLINK).
    """
    removed = 0
    found: list[bytes] = []
    async for key in redis.scan_iter(match="tillstream:*", count=_KEYS_PER_STEP):
        if _generation_of(key) not in {None, keep.encode()}:
            found.append(key)
        if len(found) >= _KEYS_PER_STEP:
            removed += await _unlink(redis, found)
            found = []
            await asyncio.sleep(0)
    return removed + await _unlink(redis, found)


def _generation_of(key: bytes) -> bytes | None:
    found = _TABLE.match(key) or _BUILT.fullmatch(key)
    return found[1] if found else None


async def _unlink(redis: RedisClient, keys: list[bytes]) -> int:
    """One command per key: on a cluster they are on different nodes."""
    async with redis.pipeline(transaction=False) as pipe:
        for key in keys:
            pipe.unlink(key)
        return sum(await pipe.execute()) if keys else 0
