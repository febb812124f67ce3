"""The figures over REST equal what stands in the live tables, on one shard and on several."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any

import httpx
import pytest

from services.common.settings import RedisSettings
from services.gateway.api.schemas.entities import CustomerResponse, ProductResponse
from services.gateway.api.schemas.figures import Bucket, Summary, TopItem, TotalsReading
from services.gateway.queries.buckets import Range
from services.gateway.queries.ranges import RangeRankings, TooManyProducts, TooManyRankings
from services.gateway.queries.shards import LiveTables, ShardReader, open_live_tables
from tests.support.gateway_app import client_of, settings_of
from tests.support.gateway_tables import CHAIR, HEADPHONES, MYSTERY, PHONE, RETURN, SHOP, Line, TableWriter
from tests.support.polling import eventually


@pytest.fixture(params=[1, 3], ids=["one shard", "three shards"])
def writer(redis_url: str, request: pytest.FixtureRequest) -> Iterator[TableWriter]:
    writer = TableWriter(redis_url, shards=request.param)
    yield writer
    writer.close()


@pytest.fixture
async def gateway(redis_url: str, writer: TableWriter) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(settings_of(redis_url=redis_url, shards=len(writer.keys))) as client:
        yield client


async def get(gateway: httpx.AsyncClient, path: str, **query: Any) -> Any:
    answer = await gateway.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def summary(gateway: httpx.AsyncClient, events: int) -> Summary:
    """The summary once it counts so many events: it is read in the background."""
    async with asyncio.timeout(60):
        while True:
            answer = Summary.model_validate(await get(gateway, "/v1/stats/summary"))
            if answer.events == events:
                return answer
            await asyncio.sleep(0.02)


async def test_summary_adds_up_all_shards(gateway: httpx.AsyncClient, writer: TableWriter) -> None:
    writer.write(SHOP)
    writer.redis.hset(writer.keys[0]("dead_letters"), mapping={"not_json": "2", "bad_price": "1"})
    answer = await summary(gateway, events=5)
    assert (answer.revenue, answer.quantity, answer.orders, answer.buyers) == ("266.99", 4, 4, 2)
    assert answer.dead_letters == 3
    assert answer.first_event == "2020-04-24T11:50:39Z"
    assert answer.last_event == "2020-05-24T11:50:39Z"
    assert (answer.lag, answer.model_version) == (None, None)  # neither Kafka nor the recommender is there
    assert answer.freshness_ms == 40
    # Of the newest event's day: the return.
    assert answer.today == Bucket(bucket="2020-05-24T00:00:00Z", revenue="-25.99", quantity=-1, orders=1)


async def test_summary_before_the_first_event(gateway: httpx.AsyncClient) -> None:
    answer = await summary(gateway, events=0)
    assert (answer.revenue, answer.orders, answer.buyers) == ("0.00", 0, 0)
    assert (answer.freshness_ms, answer.first_event, answer.last_event, answer.today) == (None, None, None, None)
    assert answer.events_per_second == 0.0


async def test_arrivals_count_whatever_their_event_time_is(gateway: httpx.AsyncClient, writer: TableWriter) -> None:
    writer.write([PHONE] * 20, arrived_at=datetime.now(UTC).timestamp() - 2)
    await summary(gateway, events=20)
    rates: list[float | None] = []

    async def counted() -> bool:
        rates.append((await summary(gateway, events=20)).events_per_second)
        return rates[-1] == pytest.approx(2.0)

    await eventually(counted, "their second is over", timeout_s=5)
    assert set(rates) <= {0.0, 2.0}


async def test_sales_by_month(gateway: httpx.AsyncClient, writer: TableWriter) -> None:
    writer.write(SHOP)
    assert await get(gateway, "/v1/stats/sales") == [
        {"bucket": "2020-04-01T00:00:00Z", "revenue": "213.99", "quantity": 3, "orders": 1},
        {"bucket": "2020-05-01T00:00:00Z", "revenue": "53.00", "quantity": 1, "orders": 3},
    ]


@pytest.mark.parametrize(
    ("granularity", "buckets"),
    [
        ("day", ["2020-04-24T00:00:00Z", "2020-05-02T00:00:00Z", "2020-05-24T00:00:00Z"]),
        ("hour", ["2020-04-24T11:00:00Z", "2020-05-02T08:00:00Z", "2020-05-24T11:00:00Z"]),
        ("minute", ["2020-04-24T11:50:00Z", "2020-05-02T08:05:00Z", "2020-05-24T11:50:00Z"]),
    ],
)
async def test_sales_by_finer_buckets(
    gateway: httpx.AsyncClient, writer: TableWriter, granularity: str, buckets: list[str]
) -> None:
    writer.write(SHOP)
    answer = [Bucket(**row) for row in await get(gateway, "/v1/stats/sales", granularity=granularity)]
    assert [row.bucket for row in answer] == buckets
    assert [row.revenue for row in answer] == ["213.99", "78.99", "-25.99"]
    assert [row.orders for row in answer] == [1, 2, 1]


async def test_from_is_inclusive_and_to_exclusive(gateway: httpx.AsyncClient, writer: TableWriter) -> None:
    writer.write(SHOP)
    query = {"granularity": "day", "from": "2020-04-24T00:00:00Z", "to": "2020-05-02T00:00:00Z"}
    assert [row["bucket"] for row in await get(gateway, "/v1/stats/sales", **query)] == ["2020-04-24T00:00:00Z"]
    query |= {"from": "2020-04-24T02:00:01+02:00", "to": "2020-05-02T00:00:01Z"}
    assert [row["bucket"] for row in await get(gateway, "/v1/stats/sales", **query)] == ["2020-05-02T00:00:00Z"]


async def test_a_range_without_sales_is_empty(gateway: httpx.AsyncClient, writer: TableWriter) -> None:
    writer.write(SHOP)
    for query in ({"to": "1970-01-01T00:00:00Z"}, {"from": "2099-01-01T00:00:00Z"}):
        for granularity in ("month", "day", "hour", "minute"):
            assert await get(gateway, "/v1/stats/sales", granularity=granularity, **query) == []


async def test_a_category_takes_in_those_below_it(gateway: httpx.AsyncClient, writer: TableWriter) -> None:
    writer.write(SHOP)
    rows = await get(gateway, "/v1/stats/sales", category="electronics", granularity="day")
    assert [(row["bucket"], row["revenue"], row["orders"]) for row in rows] == [
        ("2020-04-24T00:00:00Z", "213.99", 1),
        ("2020-05-24T00:00:00Z", "-25.99", 1),
    ]
    (row,) = await get(gateway, "/v1/stats/sales", category="electronics.smartphone")
    assert row == {"bucket": "2020-04-01T00:00:00Z", "revenue": "162.01", "quantity": 1, "orders": 1}
    assert await get(gateway, "/v1/stats/sales", category="electronic") == []
    (unknown,) = await get(gateway, "/v1/stats/sales", category="unknown")
    assert unknown["revenue"] == "1.00"


async def test_minutes_below_the_floor_are_left_out_and_the_floor_is_named(
    gateway: httpx.AsyncClient, writer: TableWriter
) -> None:
    writer.write(SHOP)
    floor = int(datetime(2020, 5, 2, 8, 5, tzinfo=UTC).timestamp())
    writer.redis.hset(writer.keys[-1]("totals"), "minute_floor", str(floor))
    answer = await gateway.get("/v1/stats/sales", params={"granularity": "minute"})
    # The event of 24 May is further ahead than a shop's present may be past its floor: it has moved no clock.
    assert [row["bucket"] for row in answer.json()] == ["2020-05-02T08:05:00Z"]
    assert answer.headers["Tillstream-Minute-Floor"] == "2020-05-02T08:05:00Z"
    assert "Tillstream-Minute-Floor" not in (await gateway.get("/v1/stats/sales")).headers


async def test_at_most_ten_thousand_buckets_the_newest_kept(redis_url: str) -> None:
    writer = TableWriter(redis_url)
    writer.write([replace(PHONE, time=datetime(2010, 1, 1, tzinfo=UTC)), PHONE])
    first = int(datetime(2018, 1, 1, tzinfo=UTC).timestamp())
    with writer.redis.pipeline(transaction=False) as pipe:
        for hour in range(20_000):
            start = datetime.fromtimestamp(first + hour * 3600, UTC)
            pipe.hset(writer.keys[0](f"sales:hour:{start:%Y-%m}"), str(first + hour * 3600), "100 1 1")
        pipe.execute()
    async with client_of(settings_of(redis_url=redis_url)) as gateway:
        answer = await gateway.get("/v1/stats/sales", params={"granularity": "hour"})
        assert len(answer.json()) == 10_000
        assert answer.json()[-1]["bucket"] == "2020-04-24T11:00:00Z"
        assert answer.headers["Tillstream-Cut"]
        window = {"granularity": "hour", "from": "2018-01-01T00:00:00Z", "to": "2018-01-02T00:00:00Z"}
        answer = await gateway.get("/v1/stats/sales", params=window)
        assert len(answer.json()) == 24
        assert "Tillstream-Cut" not in answer.headers
    writer.close()


async def test_buckets_follow_the_shops_zone(redis_url: str) -> None:
    writer = TableWriter(redis_url, time_zone="Europe/Berlin")
    before_midnight = replace(PHONE, time=datetime(2019, 12, 31, 22, 59, tzinfo=UTC))
    writer.write([before_midnight, replace(PHONE, time=datetime(2019, 12, 31, 23, 0, tzinfo=UTC), order_id="o-9")])
    async with client_of(settings_of(redis_url=redis_url, time_zone="Europe/Berlin")) as gateway:
        days = await get(gateway, "/v1/stats/sales", granularity="day")
        assert [row["bucket"] for row in days] == ["2019-12-31T00:00:00+01:00", "2020-01-01T00:00:00+01:00"]
        minutes = await get(gateway, "/v1/stats/sales", granularity="minute")
        assert [row["bucket"] for row in minutes] == ["2019-12-31T23:59:00+01:00", "2020-01-01T00:00:00+01:00"]
    writer.close()


async def test_top_lists(gateway: httpx.AsyncClient, writer: TableWriter) -> None:
    writer.write(SHOP)
    products = [TopItem(**row) for row in await get(gateway, "/v1/stats/top/products")]
    assert [(p.id, p.revenue, p.quantity, p.name) for p in products] == [
        (PHONE.product_id, "162.01", 1, "Galaxy"),
        (CHAIR.product_id, "77.99", 1, None),
        (HEADPHONES.product_id, "25.99", 1, None),
        (MYSTERY.product_id, "1.00", 1, None),
    ]
    assert products[0].share == pytest.approx(16201 / 26699)
    spenders = await get(gateway, "/v1/stats/top/spenders", n=1)
    assert [(s["id"], s["revenue"], s["quantity"]) for s in spenders] == [(PHONE.user_id, "188.00", 2)]
    categories = await get(gateway, "/v1/stats/top/categories", n=3)
    assert [c["id"] for c in categories] == [
        "electronics.smartphone",
        "furniture.living_room.chair",
        "electronics.audio.headphone",
    ]
    brands = await get(gateway, "/v1/stats/top/brands")
    assert [(b["id"], b["revenue"]) for b in brands] == [
        ("samsung", "162.01"),
        ("unknown", "78.99"),
        ("huawei", "25.99"),
    ]


async def top_of(gateway: httpx.AsyncClient, board: str, start: str, to: str, n: int = 10) -> list[TopItem]:
    return [TopItem(**row) for row in await get(gateway, f"/v1/stats/top/{board}", **{"from": start, "to": to, "n": n})]


async def test_products_of_a_range_of_days(gateway: httpx.AsyncClient, writer: TableWriter) -> None:
    writer.write(SHOP)
    products = await top_of(gateway, "products", "2020-04-01T00:00:00Z", "2020-05-03T00:00:00Z")
    assert [(p.id, p.revenue, p.quantity, p.name) for p in products] == [
        (PHONE.product_id, "162.01", 1, "Galaxy"),
        (CHAIR.product_id, "77.99", 1, None),
        (HEADPHONES.product_id, "51.98", 2, None),
        (MYSTERY.product_id, "1.00", 1, None),
    ]
    assert products[0].share == pytest.approx(16201 / 29298)
    (returned,) = await top_of(gateway, "products", "2020-05-03T00:00:00Z", "2020-06-01T00:00:00Z")
    assert (returned.id, returned.revenue, returned.quantity, returned.share) == (RETURN.product_id, "-25.99", -1, 1.0)
    assert len(await top_of(gateway, "products", "2020-04-01T00:00:00Z", "2020-05-03T00:00:00Z", n=1)) == 1


async def test_a_category_of_a_range_does_not_take_in_those_below_it(
    gateway: httpx.AsyncClient, writer: TableWriter
) -> None:
    plain = replace(PHONE, category="electronics", price=500, quantity=3, order_id="o-5", product_id="p-5")
    writer.write([*SHOP, plain, replace(plain, category="electronics.audio", order_id="o-6", price=200)])
    categories = await top_of(gateway, "categories", "2020-04-24T00:00:00Z", "2020-04-25T00:00:00Z")
    assert [(c.id, c.revenue, c.quantity) for c in categories] == [
        ("electronics.smartphone", "162.01", 1),
        ("electronics.audio.headphone", "51.98", 2),
        ("electronics", "15.00", 3),
        ("electronics.audio", "6.00", 3),
    ]
    assert categories[2].share == pytest.approx(1500 / 23499)


async def test_the_ranges_of_a_year_add_up_to_the_rankings_since_the_beginning(
    gateway: httpx.AsyncClient, writer: TableWriter
) -> None:
    days = [
        replace(PHONE, time=PHONE.time + timedelta(days=9 * day), order_id=f"o{day}", price=day) for day in range(40)
    ]
    writer.write([*SHOP, *days, *(replace(day, product_id="p-2", category="electronics") for day in days[::3])])
    for board in ("products", "categories"):
        everything = await get(gateway, f"/v1/stats/top/{board}", n=100)
        assert await get(gateway, f"/v1/stats/top/{board}", n=100, to="2030-01-01T00:00:00Z") == everything
        cut = "2020-09-17T00:00:00Z"
        halves = [
            *await top_of(gateway, board, "2000-01-01T00:00:00Z", cut),
            *await top_of(gateway, board, cut, "2030-01-01T00:00:00Z"),
        ]
        assert sum(int(half.revenue.replace(".", "")) for half in halves) == sum(
            int(row["revenue"].replace(".", "")) for row in everything
        )


async def test_what_has_no_sales_by_day_is_not_ranked_by_range(gateway: httpx.AsyncClient, writer: TableWriter) -> None:
    writer.write(SHOP)
    for board in ("spenders", "brands"):
        answer = await gateway.get(f"/v1/stats/top/{board}", params={"from": "2020-04-01T00:00:00Z"})
        assert answer.status_code == 422
        assert "since the beginning only" in answer.json()["detail"]
    answer = await gateway.get(
        "/v1/stats/top/products", params={"from": "2020-04-02T00:00:00Z", "to": "2020-04-01T00:00:00Z"}
    )
    assert answer.status_code == 422


async def test_too_many_products_are_not_ranked_by_range(writer: TableWriter) -> None:
    writer.write(SHOP)
    settings = RedisSettings(redis_url=writer.url, shards=len(writer.keys))
    tables = open_live_tables(settings, "UTC")
    with pytest.raises(TooManyProducts, match="up to 3"):
        await RangeRankings(max_products=3).read(tables.reader, "products", Range(0), 1)
    assert len(await RangeRankings(max_products=4).read(tables.reader, "products", Range(0), 10)) == 4
    await tables.close()


class Watched(ShardReader):
    """Keeps which task asked, question by question."""

    def __init__(self, tables: LiveTables) -> None:
        super().__init__(tables._redis, tables.reader.generation)
        self.asked: list[asyncio.Task[Any] | None] = []

    async def query(self, commands: Callable[[Any, Any], object]) -> list[list[Any]]:
        self.asked.append(asyncio.current_task())
        return await super().query(commands)


@pytest.fixture
async def watched(writer: TableWriter) -> AsyncIterator[Watched]:
    tables = open_live_tables(RedisSettings(redis_url=writer.url, shards=len(writer.keys)), "UTC")
    yield Watched(tables)
    await tables.close()


def day_of(day: int, milliseconds: int = 0) -> int:
    return int(datetime(2020, 4, day, tzinfo=UTC).timestamp() * 1000) + milliseconds


async def test_ranges_of_the_same_days_are_read_once(writer: TableWriter, watched: Watched) -> None:
    writer.write(SHOP)
    ranges = RangeRankings()
    first = await ranges.read(watched, "categories", Range(day_of(24), day_of(25)), 10)
    watched.asked.clear()
    for milliseconds in range(1, 40):  # more than are kept
        wanted = Range(day_of(23, milliseconds), day_of(25, -milliseconds))
        assert await ranges.read(watched, "categories", wanted, 10) == first
    assert set(watched.asked) == {asyncio.current_task()}, "only the totals, no ranking"
    assert len(watched.asked) == 39
    await ranges.read(watched, "categories", Range(day_of(24)), 10)
    assert set(watched.asked) != {asyncio.current_task()}, "other days are another ranking"


async def test_one_range_is_read_after_the_other(writer: TableWriter, watched: Watched) -> None:
    writer.write([replace(PHONE, time=datetime(2020, 4, day, 12, tzinfo=UTC), order_id=f"o{day}") for day in (1, 2, 3)])
    ranges = RangeRankings()
    wanted = [Range(day_of(day), day_of(day + 1)) for day in (1, 2, 3)]
    found = await asyncio.gather(*(ranges.read(watched, "categories", each, 10) for each in wanted))
    assert [[place.figures.revenue for place in ranking] for ranking in found] == [[PHONE.price]] * 3
    reading = [task for task in watched.asked if watched.asked.count(task) > 1]
    assert len(set(reading)) == 3
    assert len([task for task, _questions in groupby(reading)]) == 3, "no question of one between two of another"


async def test_a_ranking_that_nobody_waits_for_ends(writer: TableWriter, watched: Watched) -> None:
    writer.write(SHOP)
    ranges = RangeRankings()
    wanted = Range(day_of(24), day_of(25))
    reader = asyncio.create_task(ranges.read(watched, "products", wanted, 10))
    await eventually(lambda: len(set(watched.asked)) == 2, "the ranking is read by a task of its own", pause_s=0)
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    asked = len(watched.asked)
    await asyncio.sleep(0.2)
    assert len(watched.asked) == asked, "no further question"
    assert await ranges.read(watched, "products", wanted, 10)


async def test_only_so_many_rankings_wait(writer: TableWriter, watched: Watched) -> None:
    writer.write(
        [replace(PHONE, time=datetime(2020, 4, day, 12, tzinfo=UTC), order_id=f"o{day}") for day in range(1, 12)]
    )
    ranges = RangeRankings()
    wanted = [Range(day_of(day), day_of(day + 1)) for day in range(1, 11)]
    found = await asyncio.gather(
        *(ranges.read(watched, "categories", each, 10) for each in wanted), return_exceptions=True
    )
    assert Counter(type(each) for each in found) == {list: 8, TooManyRankings: 2}


async def test_the_pulse_tells_what_came_second_by_second(gateway: httpx.AsyncClient, writer: TableWriter) -> None:
    await summary(gateway, events=0)
    writer.write(SHOP)
    await summary(gateway, events=5)
    readings = [TotalsReading(**row) for row in await get(gateway, "/v1/stats/pulse")]
    assert (readings[0].revenue, readings[0].events) == ("0.00", 0)
    assert (readings[-1].revenue, readings[-1].events) == ("266.99", 5)
    assert [reading.as_of for reading in readings] == sorted({reading.as_of for reading in readings})


async def test_equal_revenue_is_ordered_by_id(gateway: httpx.AsyncClient, writer: TableWriter) -> None:
    ids = ["10", "9", "é", "z", "a", "100"]
    writer.write(replace(PHONE, user_id=id, product_id=id, brand=id, order_id=id, partition=len(id)) for id in ids)
    for board in ("spenders", "products", "brands"):
        rows = await get(gateway, f"/v1/stats/top/{board}")
        assert [row["id"] for row in rows] == ["10", "100", "9", "a", "z", "é"]


async def test_share_is_null_where_nothing_was_earned(gateway: httpx.AsyncClient, writer: TableWriter) -> None:
    writer.write([replace(PHONE, price=0)])
    (row,) = await get(gateway, "/v1/stats/top/products")
    assert (row["revenue"], row["share"]) == ("0.00", None)


async def test_a_customer(gateway: httpx.AsyncClient, writer: TableWriter) -> None:
    writer.write(SHOP)
    answer = CustomerResponse.model_validate(await get(gateway, f"/v1/users/{PHONE.user_id}"))
    assert (answer.revenue, answer.quantity, answer.orders) == ("188.00", 2, 2)
    assert (answer.first_seen, answer.last_seen) == ("2020-04-24T11:50:39Z", "2020-05-24T11:50:39Z")
    assert answer.purchases[0].revenue == "-25.99"
    assert {p.product_id for p in answer.purchases} == {PHONE.product_id, HEADPHONES.product_id}
    assert [(month.bucket, month.revenue, month.quantity, month.orders) for month in answer.months] == [
        ("2020-04-01T00:00:00Z", "213.99", 3, 1),
        ("2020-05-01T00:00:00Z", "-25.99", -1, 1),
    ]


async def test_a_customer_shows_the_latest_fifty_lines(gateway: httpx.AsyncClient, writer: TableWriter) -> None:
    writer.write(replace(PHONE, time=PHONE.time + timedelta(days=day), order_id=f"o{day}") for day in range(60))
    answer = await get(gateway, f"/v1/users/{PHONE.user_id}")
    assert [p["order_id"] for p in answer["purchases"]] == [f"o{day}" for day in range(59, 9, -1)]
    assert answer["orders"] == 60
    assert sum(month["orders"] for month in answer["months"]) == 60


async def test_ids_come_back_byte_for_byte(gateway: httpx.AsyncClient, writer: TableWriter) -> None:
    odd = ["9223372036854775808", "007", "a/b", "a%2Fb", "ü ✓", "..", "recommendations", "a?b#c", "+", "{x}"]
    writer.write(replace(PHONE, user_id=id, product_id=id, order_id=id) for id in odd)
    for id in odd:
        path = "".join(f"%{byte:02X}" for byte in id.encode())
        assert (await get(gateway, f"/v1/users/{path}"))["user_id"] == id
        assert (await get(gateway, f"/v1/products/{path}"))["product_id"] == id
    assert sorted(await get(gateway, "/v1/users", limit=100)) == sorted(odd)


async def test_unknown_customer_and_product_are_problems(gateway: httpx.AsyncClient) -> None:
    for path in ("/v1/users/nobody", "/v1/products/nothing", "/v1/products/nothing/similar"):
        answer = await gateway.get(path)
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"
        assert "is known" in answer.json()["detail"]


async def test_a_product(gateway: httpx.AsyncClient, writer: TableWriter) -> None:
    writer.write(SHOP)
    answer = ProductResponse.model_validate(await get(gateway, f"/v1/products/{HEADPHONES.product_id}"))
    assert (answer.revenue, answer.quantity, answer.orders, answer.price) == ("25.99", 1, 2, "25.99")
    assert (answer.product_name, answer.brand) == ("unknown", "huawei")
    rows = await get(gateway, f"/v1/products/{HEADPHONES.product_id}/sales", granularity="day")
    assert [(row["bucket"], row["revenue"]) for row in rows] == [
        ("2020-04-24T00:00:00Z", "51.98"),
        ("2020-05-24T00:00:00Z", "-25.99"),
    ]
    assert await get(gateway, "/v1/products/never-sold/sales") == []


async def test_customers_by_prefix_biggest_spenders_first(gateway: httpx.AsyncClient, writer: TableWriter) -> None:
    writer.write(SHOP)
    assert await get(gateway, "/v1/users") == [PHONE.user_id, MYSTERY.user_id]
    assert await get(gateway, "/v1/users", prefix="1515") == [PHONE.user_id]
    assert await get(gateway, "/v1/users", prefix="user/1 ü") == [MYSTERY.user_id]
    assert await get(gateway, "/v1/users", prefix="9") == []
    assert await get(gateway, "/v1/users", limit=1) == [PHONE.user_id]


async def test_a_common_prefix_is_answered_from_the_ranking(gateway: httpx.AsyncClient, writer: TableWriter) -> None:
    """More ids match than are looked at in order, and the biggest spender comes last among the ids."""
    spend = {f"c{number:05}": number * 100 for number in range(5_000)}
    with writer.redis.pipeline(transaction=False) as pipe:
        for user_id, cents in spend.items():
            keys = writer.home(user_id)
            pipe.zadd(keys("users"), {user_id: 0})
            pipe.zadd(keys("spenders"), {user_id: -cents})
        pipe.execute()
    assert await get(gateway, "/v1/users", prefix="c", limit=3) == ["c04999", "c04998", "c04997"]
    assert await get(gateway, "/v1/users", prefix="c000", limit=3) == ["c00099", "c00098", "c00097"]


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("", [PHONE, CHAIR, HEADPHONES, MYSTERY]),
        ("15159662", [PHONE, HEADPHONES]),
        ("Phone ", []),
        ("samsung", [PHONE]),
        ("ELECTRONICS head", [HEADPHONES]),
        ("living gal", []),
        ("chair furn", [CHAIR]),
        ("living_room", [CHAIR]),
        ("galaxy", [PHONE]),
        (MYSTERY.product_id, [MYSTERY]),
    ],
)
async def test_products_by_id_or_words_best_selling_first(
    gateway: httpx.AsyncClient, writer: TableWriter, search: str, found: list[Line]
) -> None:
    writer.write(SHOP)
    answers = [ProductResponse.model_validate(each) for each in await get(gateway, "/v1/products", search=search)]
    assert [answer.product_id for answer in answers] == [line.product_id for line in found]


async def test_a_product_of_this_very_id_comes_first(gateway: httpx.AsyncClient, writer: TableWriter) -> None:
    writer.write(
        [*(replace(PHONE, product_id=f"7{number}") for number in range(5)), replace(PHONE, product_id="7", price=1)]
    )
    answers = await get(gateway, "/v1/products", search="7", limit=3)
    assert [answer["product_id"] for answer in answers] == ["7", "70", "71"]


async def test_returns_may_make_everything_negative(gateway: httpx.AsyncClient, writer: TableWriter) -> None:
    writer.write([Line(PHONE.time, "r", "p", "u", 12345, quantity=-2)])
    assert (await summary(gateway, events=1)).revenue == "-246.90"
    (row,) = await get(gateway, "/v1/stats/top/spenders")
    assert (row["revenue"], row["quantity"], row["share"]) == ("-246.90", -2, 1.0)


async def test_dead_letters_are_counted_by_reason_over_all_shards(
    gateway: httpx.AsyncClient, writer: TableWriter
) -> None:
    assert await get(gateway, "/v1/stats/dead-letters") == []
    for keys in writer.keys:
        writer.redis.hset(keys("dead_letters"), mapping={"bad_price": "1", "not_json": "2", "bad_id": "1"})
    shards = len(writer.keys)
    assert await get(gateway, "/v1/stats/dead-letters") == [
        {"reason": "not_json", "count": 2 * shards},
        {"reason": "bad_id", "count": shards},
        {"reason": "bad_price", "count": shards},
    ]


async def test_today_is_the_day_of_the_shops_clock(gateway: httpx.AsyncClient, writer: TableWriter) -> None:
    """One event of a year later is in the figures of its own day, and moves no "today"."""
    writer.write([*SHOP, replace(PHONE, time=PHONE.time + timedelta(days=365))])
    present = int((PHONE.time + timedelta(hours=1)).timestamp() * 1000)
    known = {f"purchases/0/{number}": present - number for number in range(19)}
    writer.redis.zadd(writer.keys[0]("newest_events"), known | {"purchases/0/99": present + 365 * 86_400_000})
    writer.redis.zadd(writer.keys[-1]("newest_events"), {"purchases/1/1": present - 20})
    answer = await summary(gateway, events=6)
    assert answer.last_event == (PHONE.time + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert answer.today is not None
    assert answer.today.bucket == PHONE.time.strftime("%Y-%m-%dT00:00:00Z")
