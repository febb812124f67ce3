"""Several gateways sum the requests of a client in Redis."""

from redis.asyncio import Redis

from services.gateway.access.rates import RequestRates

NOW = 60_015.0


async def test_two_replicas_allow_no_more_than_one(connection: Redis) -> None:
    one, other = (RequestRates(100, lambda: NOW) for _ in range(2))
    for rates in (one, other):
        assert [rates.spend("webshop") for _ in range(60)] == [None] * 60
    for rates in (one, other, one):
        await rates.share(connection)
    assert one.spend("webshop") == other.spend("webshop") == 46
    assert one.spend("till") is None
    (key,) = await connection.keys("*")
    assert b"webshop" not in key
    assert int(await connection.get(key) or 0) == 120, "each request is reported once"
    assert 0 < await connection.ttl(key) <= 120


async def test_an_owner_with_few_requests_is_not_reported(connection: Redis) -> None:
    rates = RequestRates(1_000, lambda: NOW)
    assert [rates.spend("visitor") for _ in range(40)] == [None] * 40
    await rates.share(connection)
    assert await connection.keys("*") == []
