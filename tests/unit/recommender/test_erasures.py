"""An erased customer is unknown to the recommender, to the model as to the stream, within one look at the list."""

import asyncio
from typing import Any, cast

from proto.tillstream.recommender.v1 import recommender_pb2 as pb
from recsys.answers import Strategy
from recsys.catalogue import Filters
from recsys.model import load_model
from recsys.stream_apply import Deduplicator, StreamApplier
from services.common.erasure_list import add_erased
from services.recommender.erasures import ErasureFollower
from services.recommender.model_startup import ModelActivator
from services.recommender.service import RecommenderService
from services.recommender.serving import Serving, ServingModel
from services.recommender.settings import RecommenderSettings
from tests.support.bucket import Bucket
from tests.support.models import MODELS, VERSION, checkerboard, without_stream, write_model
from tests.support.records import NOW, encode

USER, OTHER = "u03", "u05"


class Consumer:
    """The part of PurchaseConsumer that is asked."""

    def __init__(self, applier: StreamApplier) -> None:
        self.applier = applier

    def use_rules(self, rules: Any) -> None:
        self.applier.rules = rules


class Impressions:
    def __init__(self) -> None:
        self.of: list[str] = []

    def add(self, user_id: str, make: Any) -> None:
        self.of.append(user_id)


def served_model(bucket: Bucket) -> ServingModel:
    write_model(bucket, checkerboard())
    return without_stream(load_model(bucket, f"{MODELS}/{VERSION}", VERSION, lambda: False, spare=2))


def purchase(user_id: str, number: int) -> bytes:
    return encode(
        {"event_time": "2020-04-30T11:50:39Z", "order_id": f"o{number}", "product_id": "p00", "price": "1.00"}
        | {"user_id": user_id}
    )


async def test_an_erased_customer_is_unknown_from_the_next_look_on() -> None:
    bucket, impressions = Bucket(), Impressions()
    served = served_model(bucket)
    activator = ModelActivator(RecommenderSettings(), asyncio.get_running_loop())
    applier = StreamApplier(
        served.model.catalogue, served.model.scorer.categories, served.recommender.live, Deduplicator()
    )
    activator._consumers[VERSION] = cast(Any, Consumer(applier))
    follower = ErasureFollower(bucket, activator, lambda: Serving(served))
    service = RecommenderService(lambda: Serving(served), cast(Any, impressions), lambda: NOW, lambda: follower.erased)

    async def strategies() -> list[int]:
        request = pb.RecommendBatchRequest(user_ids=[USER, OTHER], k=1)
        return [each.strategy for each in (await service.RecommendBatch(request, cast(Any, None))).results]

    await follower.step()
    applier.apply(purchase(USER, 1), NOW)
    assert await strategies() == [pb.STRATEGY_PERSONAL, pb.STRATEGY_PERSONAL]
    assert impressions.of == [USER, OTHER]

    add_erased(bucket, USER, NOW)
    await follower.step()
    assert await strategies() == [pb.STRATEGY_POPULAR, pb.STRATEGY_PERSONAL]
    assert impressions.of == [USER, OTHER, OTHER]
    assert USER not in served.recommender.live.customers()
    applier.apply(purchase(USER, 2), NOW)
    applier.apply(purchase(OTHER, 3), NOW)
    assert USER not in served.recommender.live.customers()
    assert len(served.recommender.live.history(OTHER)) == 4
    (answer,) = served.recommender.for_users([USER], 1, Filters(), NOW)
    assert answer.strategy is Strategy.POPULAR


async def test_a_list_that_cannot_be_read_leaves_the_last_one() -> None:
    bucket = Bucket()
    served = served_model(bucket)
    activator = ModelActivator(RecommenderSettings(), asyncio.get_running_loop())
    follower = ErasureFollower(bucket, activator, lambda: Serving(served))
    add_erased(bucket, USER, NOW)
    await follower.step()
    known = follower.erased
    assert known is not None
    bucket.put("privacy/erased.json", b"{")
    await follower.step()
    assert follower.erased == known
