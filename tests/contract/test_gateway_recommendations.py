"""The user gets an answer: from the recommender, or popular products when it gives none."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from itertools import islice
from typing import Any

import grpc
import httpx
import pytest

from proto.tillstream.recommender.v1 import recommender_pb2 as pb
from services.gateway.api.schemas.recommendations import RecommendationList, Recommendations, SimilarProducts
from services.gateway.routes import recommendations as recommendation_routes
from services.gateway.upstreams import recommendations
from services.gateway.upstreams.recommender_client import Filters, RecommenderClient, RecommenderUnavailable
from tests.support.gateway_app import FakeRecommender, client_of, item, product_ids, serving, settings_of
from tests.support.gateway_tables import CHAIR, HEADPHONES, MYSTERY, PHONE, SHOP, TableWriter
from tests.support.metrics import growth

POPULAR = [PHONE.product_id, CHAIR.product_id, HEADPHONES.product_id, MYSTERY.product_id]


@pytest.fixture
def writer(redis_url: str) -> Iterator[TableWriter]:
    writer = TableWriter(redis_url)
    yield writer
    writer.close()


@pytest.fixture
async def recommender() -> FakeRecommender:
    return FakeRecommender()


PATIENT = {"recommender_deadline_ms": 10_000, "recommender_batch_deadline_ms": 60_000}


@pytest.fixture
async def gateway(redis_url: str, recommender: FakeRecommender) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        serving(recommender) as address,
        client_of(settings_of(redis_url=redis_url, recommender_address=address, **PATIENT)) as client,
    ):
        yield client


@pytest.fixture
async def alone(redis_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """A gateway whose recommender is down."""
    async with client_of(settings_of(redis_url=redis_url)) as client:
        yield client


async def get(gateway: httpx.AsyncClient, path: str, **query: Any) -> Any:
    answer = await gateway.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def recommended(gateway: httpx.AsyncClient, user_id: str = "42", **query: Any) -> dict[str, Any]:
    answer = await get(gateway, f"/v1/users/{user_id}/recommendations", **query)
    Recommendations.model_validate(answer, strict=True)
    return dict(answer)


async def test_the_recommenders_answer(gateway: httpx.AsyncClient, recommender: FakeRecommender) -> None:
    recommender.answer.items.extend(
        [item("p1", product_name="Galaxy", category_code="electronics", brand="samsung", price_cents=1999), item("p2")]
    )
    assert await recommended(gateway, "1515915625441993984") == {
        "user_id": "1515915625441993984",
        "strategy": "personal",
        "model_version": "v1",
        "variant": "trial",
        "state_age_ms": 0,
        "items": [
            {
                "product_id": "p1",
                "product_name": "Galaxy",
                "category_code": "electronics",
                "brand": "samsung",
                "price": "19.99",
                "image_url": None,
                "score": 0.5,
                "reason": {"code": "bought_together", "product_id": "bought-before", "weight": 0.25, "orders": None},
            },
            {
                "product_id": "p2",
                "product_name": "unknown",
                "category_code": "unknown",
                "brand": "unknown",
                "price": None,
                "image_url": None,
                "score": 0.5,
                "reason": {"code": "bought_together", "product_id": "bought-before", "weight": 0.25, "orders": None},
            },
        ],
        "message": None,
        "unknown_product_ids": None,
    }
    assert recommender.requests[-1].k == 3
    assert not recommender.requests[-1].filters.HasField("exclude_purchased"), "that is the shop's choice"
    for asked in (True, False):
        await recommended(gateway, "42", exclude_purchased=asked)
        assert recommender.requests[-1].filters.exclude_purchased is asked


async def test_filters_reach_the_recommender(gateway: httpx.AsyncClient, recommender: FakeRecommender) -> None:
    query: dict[str, Any] = {
        "k": 7,
        "category": "a.b",
        "brand": "c",
        "min_price": "0",
        "max_price": "19.9",
        "exclude_purchased": False,
    }
    answer = await recommended(gateway, **query)
    assert answer["message"] == "no product passes these filters"
    request = recommender.requests[-1]
    assert request == pb.RecommendRequest(
        user_id="42",
        k=7,
        filters=pb.Filters(category="a.b", brand="c", min_price_cents=0, max_price_cents=1990, exclude_purchased=False),
    )


async def test_no_bounds_on_the_price_are_no_bounds(gateway: httpx.AsyncClient, recommender: FakeRecommender) -> None:
    await recommended(gateway)
    filters = recommender.requests[-1].filters
    assert not filters.HasField("min_price_cents")
    assert not filters.HasField("max_price_cents")


async def test_an_unknown_customer_gets_popular_products(
    gateway: httpx.AsyncClient, recommender: FakeRecommender
) -> None:
    recommender.answer = pb.RecommendResponse(strategy=pb.STRATEGY_POPULAR, model_version="v1", items=[item("p")])
    answer = await recommended(gateway, "nobody")
    assert (answer["strategy"], answer["model_version"], product_ids(answer)) == ("popular", "v1", ["p"])
    assert (answer["variant"], answer["state_age_ms"]) == (None, None), "an older recommender tells neither"


async def test_recommender_down(alone: httpx.AsyncClient, writer: TableWriter) -> None:
    writer.write(SHOP)
    answer = await recommended(alone, k=2)
    assert (answer["strategy"], answer["model_version"]) == ("popular_fallback", None)
    assert (answer["variant"], answer["state_age_ms"]) == (None, None)
    assert product_ids(answer) == POPULAR[:2]
    first = answer["items"][0]
    assert (first["price"], first["product_name"], first["reason"]["code"]) == ("162.01", "Galaxy", "popular")
    assert first["score"] == pytest.approx(16201 / 26699)


@pytest.mark.parametrize(
    "status", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL, grpc.StatusCode.RESOURCE_EXHAUSTED]
)
async def test_recommender_without_a_model_or_broken(
    gateway: httpx.AsyncClient, recommender: FakeRecommender, writer: TableWriter, status: grpc.StatusCode
) -> None:
    writer.write(SHOP)
    recommender.fails = status
    ended = calls("Recommend", status)
    assert (await recommended(gateway))["strategy"] == "popular_fallback"
    assert ended() == 1


def calls(method: str, status: grpc.StatusCode) -> Callable[[], float]:
    """How many calls to the recommender end so from now on, as the gateway sees it."""
    return growth("gateway_recommender_call_seconds_count", method=method, code=status.name)


async def test_the_request_id_goes_to_the_recommender_and_back(
    gateway: httpx.AsyncClient, recommender: FakeRecommender
) -> None:
    path = "/v1/users/42/recommendations"
    own = await gateway.get(path, headers={"X-Request-Id": "till-7.order_19"})
    assert own.headers["X-Request-Id"] == "till-7.order_19"
    made = [(await gateway.get(path, headers={"X-Request-Id": sent})).headers["X-Request-Id"] for sent in ("", "a b")]
    assert [len(each) for each in made] == [16, 16]
    assert recommender.request_ids == ["till-7.order_19", *made]


async def test_recommender_too_slow(redis_url: str, recommender: FakeRecommender, writer: TableWriter) -> None:
    writer.write(SHOP)
    recommender.delay_s = 30.0
    loop = asyncio.get_running_loop()
    async with (
        serving(recommender) as address,
        client_of(
            settings_of(redis_url=redis_url, recommender_address=address, recommender_deadline_ms=500)
        ) as hurried,
    ):
        began, late = loop.time(), calls("Recommend", grpc.StatusCode.DEADLINE_EXCEEDED)
        assert (await recommended(hurried))["strategy"] == "popular_fallback"
        assert loop.time() - began < 20, "it does not wait for the recommender"
        assert late() == 1


async def test_a_recommender_that_does_not_answer_gets_few_calls(recommender: FakeRecommender) -> None:
    async with serving(recommender) as address, asyncio.timeout(60):
        client = RecommenderClient(address, deadline_ms=120_000, batch_deadline_ms=120_000)
        recommender.fails = grpc.StatusCode.INTERNAL
        with pytest.raises(RecommenderUnavailable):
            await client.recommend("42", 3, Filters())
        assert not client.answering
        recommender.fails, recommender.delay_s = None, 120.0
        waiting = [asyncio.create_task(client.recommend("42", 3, Filters())) for _ in range(8)]
        await asyncio.sleep(0)
        with pytest.raises(RecommenderUnavailable):
            await client.recommend("42", 3, Filters())
        for one in waiting:
            one.cancel()
        await asyncio.wait(waiting)
        recommender.delay_s = 0.0
        await client.recommend("42", 3, Filters())
        assert client.answering
        await client.close()


async def test_requests_beyond_the_largest_burst_are_refused_at_once(
    redis_url: str, recommender: FakeRecommender
) -> None:
    recommender.delay_s = 120.0
    async with (
        serving(recommender) as address,
        client_of(
            settings_of(redis_url=redis_url, recommender_address=address, recommendations_in_flight=1, **PATIENT)
        ) as gateway,
        asyncio.timeout(60),
    ):
        asked = [asyncio.create_task(gateway.get("/v1/users/42/recommendations")) for _ in range(20)]
        refused = [await one for one in islice(asyncio.as_completed(asked), 12)]
        assert {answer.status_code for answer in refused} == {503}
        assert {answer.headers["retry-after"] for answer in refused} == {"1"}
        assert {answer.headers["content-type"] for answer in refused} == {"application/problem+json"}
        assert all(answer.headers["x-request-id"] for answer in refused)
        for one in asked:
            one.cancel()
        await asyncio.wait(asked)


async def test_the_fallback_honours_the_filters(alone: httpx.AsyncClient, writer: TableWriter) -> None:
    writer.write(SHOP)
    for query, expected in [
        ({"category": "electronics"}, [POPULAR[0], POPULAR[2]]),
        ({"category": "unknown"}, [POPULAR[3]]),
        ({"brand": "huawei"}, [POPULAR[2]]),
        ({"min_price": "77.99", "max_price": "77.99"}, [POPULAR[1]]),
        ({"max_price": "0.99"}, []),
    ]:
        answer = await recommended(alone, **query)
        assert product_ids(answer) == expected
        assert answer["message"] == (None if expected else "no product passes these filters")


async def test_the_fallback_leaves_out_what_was_bought(alone: httpx.AsyncClient, writer: TableWriter) -> None:
    writer.write(SHOP)
    assert PHONE.user_id is not None
    # One of two headphones came back: one is still owned.
    assert product_ids(await recommended(alone, PHONE.user_id)) == [POPULAR[1], POPULAR[3]]
    assert product_ids(await recommended(alone, PHONE.user_id, exclude_purchased=False, k=9)) == POPULAR
    writer.write([replace(PHONE, order_id="back", quantity=-1)])
    assert PHONE.product_id in product_ids(await recommended(alone, PHONE.user_id))


async def model_version_is(gateway: httpx.AsyncClient, version: str | None) -> None:
    """Wait until the summary names this model."""
    async with asyncio.timeout(120):
        while (await get(gateway, "/v1/stats/summary"))["model_version"] != version:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_the_fallback_masks_purchases_as_the_model_served_last(
    redis_url: str, recommender: FakeRecommender, writer: TableWriter
) -> None:
    writer.write(SHOP)
    assert PHONE.user_id is not None
    recommender.fails = grpc.StatusCode.UNAVAILABLE
    recommender.masks_bought = False
    async with AsyncExitStack() as up:
        address = await up.enter_async_context(serving(recommender))
        async with client_of(settings_of(redis_url=redis_url, recommender_address=address)) as gateway:
            await model_version_is(gateway, "v1")
            assert PHONE.product_id in product_ids(await recommended(gateway, PHONE.user_id))
            for excluded in (True, False):
                answer = await recommended(gateway, PHONE.user_id, exclude_purchased=excluded)
                assert (PHONE.product_id in product_ids(answer)) is not excluded
            await up.aclose()
            await model_version_is(gateway, None)
            assert PHONE.product_id in product_ids(await recommended(gateway, PHONE.user_id))


async def test_the_fallback_masks_purchases_where_an_older_recommender_does_not_say(
    gateway: httpx.AsyncClient, recommender: FakeRecommender, writer: TableWriter
) -> None:
    writer.write(SHOP)
    assert PHONE.user_id is not None
    recommender.fails = grpc.StatusCode.UNAVAILABLE
    await model_version_is(gateway, "v1")
    assert PHONE.product_id not in product_ids(await recommended(gateway, PHONE.user_id))


async def test_nothing_sold_yet(alone: httpx.AsyncClient) -> None:
    answer = await recommended(alone)
    assert (answer["strategy"], answer["items"]) == ("popular_fallback", [])
    assert "no purchases yet" in answer["message"]


async def test_neither_recommender_nor_redis() -> None:
    async with client_of(settings_of()) as gateway:
        answer = await recommended(gateway)
        assert (answer["strategy"], answer["items"]) == ("popular_fallback", [])
        assert answer["message"]


async def test_many_customers(gateway: httpx.AsyncClient, recommender: FakeRecommender) -> None:
    recommender.answer.items.append(item("p1"))
    body = {"user_ids": ["b", "a", "b"], "k": 1, "max_price": "5.00"}
    answer = await gateway.post("/v1/recommendations", json=body)
    results = RecommendationList.model_validate(answer.json(), strict=True).results
    assert [result.user_id for result in results] == ["b", "a", "b"]
    assert recommender.requests[-1].filters.max_price_cents == 500


async def test_many_customers_without_the_recommender(alone: httpx.AsyncClient, writer: TableWriter) -> None:
    writer.write(SHOP)
    answer = await alone.post("/v1/recommendations", json={"user_ids": [PHONE.user_id, "new"]})
    known, new = answer.json()["results"]
    assert product_ids(known) == [POPULAR[1], POPULAR[3]]
    assert product_ids(new) == POPULAR[:3]


async def test_a_basket(gateway: httpx.AsyncClient, recommender: FakeRecommender) -> None:
    recommender.answer.items.append(item("p1"))
    answer = await gateway.post("/v1/recommendations", json={"product_ids": ["p0", "unknown-1"]})
    (result,) = RecommendationList.model_validate(answer.json(), strict=True).results
    assert (result.user_id, result.strategy, result.unknown_product_ids) == (None, "basket", ["unknown-1"])
    assert [each.reason.orders for each in result.items] == [None]


async def test_a_basket_says_in_how_many_orders_both_were(
    gateway: httpx.AsyncClient, recommender: FakeRecommender
) -> None:
    recommender.answer.items.append(item("p1"))
    recommender.answer.items[0].reason.orders = 312
    answer = await gateway.post("/v1/recommendations", json={"product_ids": ["p0"]})
    (result,) = RecommendationList.model_validate(answer.json(), strict=True).results
    assert [each.reason.orders for each in result.items] == [312]


async def test_a_basket_without_the_recommender(alone: httpx.AsyncClient, writer: TableWriter) -> None:
    writer.write(SHOP)
    answer = await alone.post("/v1/recommendations", json={"product_ids": [POPULAR[0]]})
    (result,) = answer.json()["results"]
    assert (result["strategy"], product_ids(result)) == ("popular_fallback", POPULAR[1:])


async def test_similar_products(gateway: httpx.AsyncClient, recommender: FakeRecommender) -> None:
    recommender.answer.items.append(item("p1"))
    answer = await get(gateway, "/v1/products/p0/similar", k=5)
    similar = SimilarProducts.model_validate(answer, strict=True)
    assert (similar.strategy, similar.variant, similar.state_age_ms) == ("similar", "main", 7)
    assert [item.product_id for item in similar.complements] == ["p1"]
    assert recommender.requests[-1] == pb.SimilarItemsRequest(product_id="p0", k=5)


async def test_substitutes_have_all_their_reasons(gateway: httpx.AsyncClient, recommender: FakeRecommender) -> None:
    reason = pb.Reason(code="same_category", product_id="p0", weight=0.25, also=["same_brand", "like_price"])
    recommender.answer.items.append(item("p1", reason=reason))
    answer = await get(gateway, "/v1/products/p0/similar")
    assert answer["items"][0]["reason"]["also"] == ["same_brand", "like_price"]


async def test_where_nothing_is_like_a_product_the_strategy_says_popular(
    gateway: httpx.AsyncClient, recommender: FakeRecommender
) -> None:
    recommender.answer.items.append(item("p1", reason=pb.Reason(code="popular", weight=0.5)))
    assert (await get(gateway, "/v1/products/p0/similar"))["strategy"] == "popular"


async def test_alike_products_are_asked_for_by_customers_and_baskets(
    gateway: httpx.AsyncClient, recommender: FakeRecommender
) -> None:
    await get(gateway, "/v1/users/42/recommendations", alike="true")
    await gateway.post("/v1/recommendations", json={"product_ids": ["p0"], "alike": True})
    await get(gateway, "/v1/users/42/recommendations")
    assert [request.filters.alike for request in recommender.requests] == [True, True, False]


async def test_products_of_the_same_category_where_the_model_does_not_know_it(
    gateway: httpx.AsyncClient, recommender: FakeRecommender, writer: TableWriter
) -> None:
    other = replace(PHONE, product_id="other-phone", price=100, user_id=None)
    writer.write([*SHOP, other])
    recommender.fails = grpc.StatusCode.NOT_FOUND
    answer = await get(gateway, f"/v1/products/{PHONE.product_id}/similar")
    assert (answer["strategy"], product_ids(answer)) == ("popular_fallback", ["other-phone"])
    assert answer["complements"] == []
    assert (await gateway.get("/v1/products/nobody-knows/similar")).status_code == 404


async def test_what_the_recommender_refuses_is_a_problem(
    gateway: httpx.AsyncClient, recommender: FakeRecommender
) -> None:
    recommender.fails = grpc.StatusCode.INVALID_ARGUMENT
    answer = await gateway.get("/v1/users/42/recommendations")
    assert (answer.status_code, answer.json()["detail"]) == (422, "made to fail")


async def test_the_summary_names_the_model(gateway: httpx.AsyncClient) -> None:
    await model_version_is(gateway, "v1")


async def test_the_largest_batch_is_the_recommenders_answer(
    gateway: httpx.AsyncClient, recommender: FakeRecommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (recommendations, recommendation_routes):
        monkeypatch.setattr(module, "_BATCH_SECONDS", 300.0)  # on a busy machine, too
    recommender.answer.items.extend(item(f"product-{number}") for number in range(100))
    user_ids = [f"u{number}" for number in range(1_000)]
    answer = await gateway.post("/v1/recommendations", json={"user_ids": user_ids, "k": 100}, timeout=300)
    results = answer.json()["results"]
    assert [result["user_id"] for result in results] == user_ids
    assert {result["strategy"] for result in results} == {"personal"}, "together more than a gRPC message takes"
    assert {len(result["items"]) for result in results} == {100}
    asked = [each for each in recommender.requests if isinstance(each, pb.RecommendBatchRequest)]
    assert max(len(request.user_ids) for request in asked) * 100 <= 2_000


async def test_a_batch_stops_asking_a_recommender_that_fails(
    gateway: httpx.AsyncClient, recommender: FakeRecommender, writer: TableWriter
) -> None:
    writer.write(SHOP)
    assert PHONE.user_id is not None
    recommender.fails = grpc.StatusCode.INTERNAL
    user_ids = [f"u{number}" for number in range(299)] + [PHONE.user_id]
    answer = await gateway.post("/v1/recommendations", json={"user_ids": user_ids, "exclude_purchased": True})
    results = answer.json()["results"]
    assert [result["user_id"] for result in results] == user_ids
    assert {result["strategy"] for result in results} == {"popular_fallback"}
    assert product_ids(results[0]) == POPULAR[:3]
    assert product_ids(results[-1]) == [POPULAR[1], POPULAR[3]]
    assert len([each for each in recommender.requests if isinstance(each, pb.RecommendBatchRequest)]) == 1
