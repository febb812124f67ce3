"""Attacks that take what others need, for some seconds, from an address of their own."""

import asyncio
import contextlib
import json
import os
from collections.abc import Awaitable, Callable, Mapping

from bench.attack.shop import ATTACKER, request
from local.ports import LOOPBACK

Flood = Callable[[int, str, float], Awaitable[int]]
"""Port, key, seconds → requests or connections that were made."""

_SLOW_CONNECTIONS, _STREAMS, _CLIENTS = 400, 1_000, 8
_ERRORS = (OSError, asyncio.IncompleteReadError)


async def slow_heads(port: int, _key: str, seconds: float) -> int:
    """Connections that send a byte of their head now and then."""
    return await _each(_SLOW_CONNECTIONS, seconds, lambda ends: _drip(port, b"GET / HTTP/1.1\r\nX-Slow: ", ends))


async def slow_bodies(port: int, key: str, seconds: float) -> int:
    """The same with a body."""
    head = request("POST", "/v1/events", f"Authorization: Bearer {key}", "Content-Type: application/json",
                   "Content-Length: 100000")  # fmt: skip
    return await _each(_SLOW_CONNECTIONS, seconds, lambda ends: _drip(port, head + b"[", ends))


async def idle_streams(port: int, key: str, seconds: float) -> int:
    """Live streams that are opened and not read."""
    head = request("GET", "/v1/stats/stream", f"Authorization: Bearer {key}")
    return await _each(_STREAMS, seconds, lambda ends: _drip(port, head, ends, drips=False))


async def large_heads(port: int, _key: str, seconds: float) -> int:
    """Fields without an end."""
    bomb = b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Bomb: " + b"x" * 4_000_000
    return await _repeatedly(port, bomb, seconds)


async def junk_keys(port: int, _key: str, seconds: float) -> int:
    """Bodies of half a megabyte, with keys that nobody gave out."""
    junk = json.dumps({f"key{number}": number for number in range(40_000)}).encode()
    head = request("POST", "/v1/recommendations", "Authorization: Bearer guess", "Content-Type: application/json",
                   f"Content-Length: {len(junk)}", body=junk)  # fmt: skip
    return await _repeatedly(port, head, seconds)


async def deep_json(port: int, key: str, seconds: float) -> int:
    """Brackets without an end, with a key that is valid."""
    body = b"[" * 4_000_000
    head = request("POST", "/v1/events", f"Authorization: Bearer {key}", "Content-Type: application/json",
                   f"Content-Length: {len(body)}", body=body)  # fmt: skip
    return await _repeatedly(port, head, seconds)


async def wide_ranges(port: int, key: str, seconds: float) -> int:
    """Rankings of all time, the most expensive reading of the live tables."""
    path = "/v1/stats/top/products?n=100&from=2000-01-01T00:00:00Z&to=2030-01-01T00:00:00Z"
    return await _repeatedly(port, request("GET", path, f"Authorization: Bearer {key}"), seconds)


async def large_batches(port: int, key: str, seconds: float) -> int:
    """Recommendations of 100 products for 1,000 customers at a time."""
    body = json.dumps({"user_ids": [f"user-{number}" for number in range(1_000)], "k": 100}).encode()
    head = request("POST", "/v1/recommendations", f"Authorization: Bearer {key}", "Content-Type: application/json",
                   f"Content-Length: {len(body)}", body=body)  # fmt: skip
    return await _repeatedly(port, head, seconds)


async def _each(count: int, seconds: float, one: Callable[[float], Awaitable[int]]) -> int:
    ends = asyncio.get_running_loop().time() + seconds
    return sum(await asyncio.gather(*(one(ends) for _ in range(count))))


async def _repeatedly(port: int, sent: bytes, seconds: float) -> int:
    """One request after the other on each of a few connections."""

    async def one(ends: float) -> int:
        made = 0
        while asyncio.get_running_loop().time() < ends:
            made += 1
            await _ask(port, sent)
        return made

    return await _each(_CLIENTS, seconds, one)


async def _ask(port: int, sent: bytes) -> None:
    with contextlib.suppress(*_ERRORS):
        reader, writer = await asyncio.open_connection(LOOPBACK, port, local_addr=(ATTACKER, 0))
        try:
            writer.write(sent)
            await asyncio.gather(writer.drain(), reader.read())
        finally:
            writer.close()


async def _drip(port: int, head: bytes, ends: float, *, drips: bool = True) -> int:
    """Hold a connection as long as the gateway lets it be, then open another one."""
    loop, opened = asyncio.get_running_loop(), 0
    while loop.time() < ends:
        opened += 1
        with contextlib.suppress(*_ERRORS):
            reader, writer = await asyncio.open_connection(LOOPBACK, port, local_addr=(ATTACKER, 0))
            writer.write(head)
            while loop.time() < ends and not reader.at_eof() and not writer.is_closing():
                await asyncio.sleep(0.5)
                if drips:
                    writer.write(b"x")
            writer.close()
    return opened


FLOODS: Mapping[str, Flood] = {
    flood.__name__.replace("_", " "): flood
    for flood in (
        slow_heads, slow_bodies, idle_streams, large_heads, junk_keys, deep_json, wide_ranges, large_batches,
    )
}  # fmt: skip


def attack(name: str, port: int, key: str, seconds: float) -> int:
    """Run one flood, in a process of its own and below the honest client in priority."""
    os.nice(10)
    return asyncio.run(_run(FLOODS[name], port, key, seconds))


async def _run(flood: Flood, port: int, key: str, seconds: float) -> int:
    return await flood(port, key, seconds)
