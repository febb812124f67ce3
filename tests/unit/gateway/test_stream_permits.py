"""Streams end with their session or key."""

import pytest
from redis.exceptions import ConnectionError as RedisAway
from redis.exceptions import RedisClusterException
from starlette.types import Scope

from services.gateway.access.roles import Access
from services.gateway.stream.hub import StreamClient
from services.gateway.stream.permits import StreamPermits


class Hub:
    """Keeps streams, and which of them were ended."""

    def __init__(self, streams: list[StreamClient]) -> None:
        self.open = streams
        self.ended: list[StreamClient] = []

    def __contains__(self, client: StreamClient) -> bool:
        return client in self.open

    def end(self, client: StreamClient) -> None:
        if client in self.open:
            self.open.remove(client)
            self.ended.append(client)


async def test_a_stream_goes_on_while_its_reader_may() -> None:
    may: set[str] = {"anna", "vera", "max"}
    asked: list[str] = []

    async def still(scope: Scope, access: Access) -> bool:
        assert access is Access.FIGURES
        asked.append(scope["who"])
        return scope["who"] in may

    annas, veras, gone, broken = (StreamClient(2, 60) for _ in range(4))
    hub = Hub([annas, veras])
    permits = StreamPermits(still, hub)
    for client, who in ((annas, "anna"), (veras, "vera"), (gone, "nobody"), (broken, "max")):
        permits.watch(client, {"who": who}, Access.FIGURES)
    permits.leave(gone)
    await permits.refresh()
    assert (asked, hub.ended) == (["anna", "vera"], [])
    may.remove("vera")
    await permits.refresh()
    await permits.refresh()
    assert hub.ended == [veras]
    assert asked == ["anna", "vera", "anna", "vera", "anna"]


@pytest.mark.parametrize("error", [RedisAway("away"), RedisClusterException("no node")], ids=["server", "cluster"])
async def test_without_redis_streams_stay(error: Exception) -> None:
    async def still(scope: Scope, access: Access) -> bool:
        raise error

    client = StreamClient(2, 60)
    hub = Hub([client])
    permits = StreamPermits(still, hub)
    permits.watch(client, {}, Access.FIGURES)
    await permits.refresh()
    assert hub.ended == []
