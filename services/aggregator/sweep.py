"""Removing generations of the tables that nobody reads any more."""

import asyncio
import re

from services.common.redis_client import RedisClient

_TABLE = re.compile(rb"tillstream:([^:]+):\{")
_BUILT = re.compile(rb"tillstream:built:(.+)")
_KEYS_A_STEP = 500


async def sweep(redis: RedisClient, keep: str) -> int:
    """Remove all generations but one, some hundred keys at a time; returns how many keys went. Raises RedisError.

    Their memory is freed in the background (UNLINK).
    """
    removed = 0
    doomed: list[bytes] = []
    async for key in redis.scan_iter(match="tillstream:*", count=_KEYS_A_STEP):
        if _generation_of(key) not in {None, keep.encode()}:
            doomed.append(key)
        if len(doomed) >= _KEYS_A_STEP:
            removed += await _unlink(redis, doomed)
            doomed = []
            await asyncio.sleep(0)
    return removed + await _unlink(redis, doomed)


def _generation_of(key: bytes) -> bytes | None:
    found = _TABLE.match(key) or _BUILT.fullmatch(key)
    return found[1] if found else None


async def _unlink(redis: RedisClient, keys: list[bytes]) -> int:
    """One command a key: on a cluster they live on different nodes."""
    async with redis.pipeline(transaction=False) as pipe:
        for key in keys:
            pipe.unlink(key)
        return sum(await pipe.execute()) if keys else 0
