"""The gRPC methods: each reads `serving` once, so that an answer never mixes two models."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

from grpc import aio

from proto.tillstream.recommender.v1 import recommender_pb2 as pb
from proto.tillstream.recommender.v1 import recommender_pb2_grpc
from recsys.catalogue import Filters
from services.common.erased import Erased
from services.common.model_pointer import MAIN
from services.recommender.answering import CustomerAnswers, count_answers, main_model
from services.recommender.impressions import ImpressionLog
from services.recommender.interceptors import UnknownProduct
from services.recommender.requests import read_filters, read_id, read_ids, read_k
from services.recommender.responses import Source, write_answer, write_model, write_related
from services.recommender.serving import Serving

SERVICE_NAME: str = pb.DESCRIPTOR.services_by_name["Recommender"].full_name

# Users of a batch answered without a pause (about 10 ms): between two such slices other requests and the stream get
# their turn, and a batch whose deadline has passed ends.
_SLICE = 16

Context = aio.ServicerContext[Any, Any]


def clock_ms() -> int:
    """Epoch milliseconds."""
    return time.time_ns() // 1_000_000


class RecommenderService(recommender_pb2_grpc.RecommenderServicer):
    """Answers from `serving()`, called once a request."""

    def __init__(
        self,
        serving: Callable[[], Serving],
        impressions: ImpressionLog | None = None,
        clock: Callable[[], int] = clock_ms,
        erased: Callable[[], Erased | None] = lambda: None,
    ) -> None:
        """`clock` gives epoch milliseconds; for `impressions` and `erased` see CustomerAnswers."""
        self._serving = serving
        self._clock = clock
        self._customers = CustomerAnswers(impressions, erased)

    async def Recommend(self, request: pb.RecommendRequest, context: Context) -> pb.RecommendResponse:
        user_id = read_id("user_id", request.user_id)
        k, filters = read_k(request.k), read_filters(request.filters)
        now_ms = self._clock()
        return self._for_users(self._serving(), [user_id], k, filters, now_ms)[0]

    async def RecommendBatch(self, request: pb.RecommendBatchRequest, context: Context) -> pb.RecommendBatchResponse:
        user_ids = read_ids("user_ids", request.user_ids)
        k, filters = read_k(request.k), read_filters(request.filters)
        serving, now_ms = self._serving(), self._clock()
        response = pb.RecommendBatchResponse(model_version=main_model(serving).model.version)
        for start in range(0, len(user_ids), _SLICE):
            response.results.extend(self._for_users(serving, user_ids[start : start + _SLICE], k, filters, now_ms))
            await asyncio.sleep(0)
        return response

    async def RecommendForItems(self, request: pb.RecommendForItemsRequest, context: Context) -> pb.RecommendResponse:
        product_ids = read_ids("product_ids", request.product_ids)
        k, filters = read_k(request.k), read_filters(request.filters)
        served, now_ms = main_model(self._serving()), self._clock()
        started = time.perf_counter()
        answer = served.recommender.for_basket(product_ids, k, filters, now_ms)
        count_answers([answer], time.perf_counter() - started)
        return write_answer(Source(served, MAIN, now_ms), answer)

    async def SimilarItems(self, request: pb.SimilarItemsRequest, context: Context) -> pb.SimilarItemsResponse:
        product_id = read_id("product_id", request.product_id)
        k, filters = read_k(request.k), read_filters(request.filters)
        served, now_ms = main_model(self._serving()), self._clock()
        product = served.model.catalogue.row(product_id)
        if product is None:
            raise UnknownProduct(f"product_id {product_id} is not in model {served.model.version}, nor sold since")
        return write_related(Source(served, MAIN, now_ms), served.recommender.related(product, k, filters, now_ms))

    async def GetModel(self, request: pb.GetModelRequest, context: Context) -> pb.GetModelResponse:
        return write_model(self._serving(), self._clock())

    def _for_users(
        self, serving: Serving, user_ids: Sequence[str], k: int, filters: Filters, now_ms: int
    ) -> list[pb.RecommendResponse]:
        answers = self._customers.for_users(serving, user_ids, k, filters, now_ms)
        return [
            write_answer(source, answer, user_id) for user_id, (source, answer) in zip(user_ids, answers, strict=True)
        ]
