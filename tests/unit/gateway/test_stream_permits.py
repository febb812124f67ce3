"""Streams end with their session or key."""

import pytest
from redis.exceptions import ConnectionError as RedisAway
from starlette.types import Scope

from services.gateway.access.roles import Access
from services.gateway.stream.hub import StreamClient
from services.gateway.stream.permits import StreamPermits


async def test_a_stream_goes_on_while_its_reader_may() -> None:
    may: set[str] = {"anna", "vera"}
    ended: list[StreamClient] = []

    async def still(scope: Scope, access: Access) -> bool:
        assert access is Access.FIGURES
        return scope["who"] in may

    permits = StreamPermits(still, ended.append)
    annas, veras, gone = (StreamClient(2, 60) for _ in range(3))
    permits.watch(annas, {"who": "anna"}, Access.FIGURES)
    permits.watch(veras, {"who": "vera"}, Access.FIGURES)
    permits.watch(gone, {"who": "nobody"}, Access.FIGURES)
    permits.leave(gone)
    await permits.refresh()
    assert ended == []
    may.remove("vera")
    await permits.refresh()
    await permits.refresh()
    assert ended == [veras]


async def test_without_redis_streams_stay(caplog: pytest.LogCaptureFixture) -> None:
    async def still(scope: Scope, access: Access) -> bool:
        raise RedisAway("away")

    permits = StreamPermits(still, lambda client: pytest.fail("ended"))
    permits.watch(StreamClient(2, 60), {}, Access.FIGURES)
    await permits.refresh()
