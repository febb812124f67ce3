"""Clients of the Redis of a test."""

from collections.abc import AsyncIterator, Iterator

import pytest
import redis
from redis.asyncio import Redis


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    """To look into Redis."""
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
async def connection(redis_url: str) -> AsyncIterator[Redis]:
    """For the code under test."""
    connection = Redis.from_url(redis_url)
    yield connection
    await connection.aclose()
