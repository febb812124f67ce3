"""Generations of the live tables: which one is live, and how each was built.

| key | type | content |
|---|---|---|
| `tillstream:live` | string | the name of the generation that is written and read; `1` where there is none |
| `tillstream:built:<generation>` | hash | `shards`, `time_zone`: what it was built with, and is read with; `format` |

A rebuild fills the next generation next to the live one and then moves the pointer. Writers and readers poll it every
second or two and switch over, to its shards and its time zone. Their own settings for these apply to the next rebuild.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

from services.common.tables import Keys, shard_keys

LIVE_KEY = "tillstream:live"
FIRST_GENERATION = "1"
FORMAT = "2"
"""How lines are recognised and orders' entries are written; tables of another format can be read, not continued."""


@dataclass(frozen=True)
class Generation:
    """One complete set of live tables."""

    name: str
    shards: int
    time_zone: str

    @cached_property
    def keys(self) -> list[Keys]:
        """The keys of each shard."""
        return shard_keys(self.shards, self.name)

    @cached_property
    def zone(self) -> ZoneInfo:
        """The zone of its days and months."""
        return ZoneInfo(self.time_zone)


def built_key(name: str) -> str:
    """The key of a generation's layout."""
    return f"tillstream:built:{name}"


async def live_generation(redis: Any, shards: int, time_zone: str) -> Generation:
    """The live generation; built with these settings where no layout is stored. Raises RedisError.

    `redis`: a client of redis.asyncio, decoding or not.
    """
    name = _text(await redis.get(LIVE_KEY)) or FIRST_GENERATION
    built_shards, built_zone = map(_text, await redis.hmget(built_key(name), ["shards", "time_zone"]))
    return Generation(name, int(built_shards or shards), built_zone or time_zone)


async def table_format(redis: Any, name: str) -> str | None:
    """The format of a generation's tables; None for one that was not begun, or before there were formats."""
    return _text(await redis.hget(built_key(name), "format"))


async def remember_layout(redis: Any, generation: Generation) -> None:
    """Store the layout of a generation, unless one is stored. Raises RedisError."""
    key = built_key(generation.name)
    if await redis.exists(key):
        return
    async with redis.pipeline(transaction=True) as pipe:
        pipe.hsetnx(key, "shards", str(generation.shards))
        pipe.hsetnx(key, "time_zone", generation.time_zone)
        pipe.hsetnx(key, "format", FORMAT)
        await pipe.execute()


async def make_live(redis: Any, generation: Generation) -> None:
    """Make this the generation that every reader and writer uses. Raises RedisError."""
    await redis.set(LIVE_KEY, generation.name)


def _text(value: str | bytes | None) -> str | None:
    return value.decode() if isinstance(value, bytes) else value
