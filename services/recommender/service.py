"""The gRPC methods: each reads the live model once, so that an answer never mixes two."""

import asyncio
from collections.abc import Callable
from typing import Any

from grpc import aio

from proto.tillstream.recommender.v1 import recommender_pb2 as pb
from proto.tillstream.recommender.v1 import recommender_pb2_grpc
from services.common.metrics import RECOMMENDER_ANSWERS
from services.recommender import recommend
from services.recommender.interceptors import NoModel, UnknownProduct
from services.recommender.loader import Serving
from services.recommender.model import Model
from services.recommender.requests import read_filters, read_id, read_ids, read_k
from services.recommender.responses import write_answer, write_item

SERVICE_NAME: str = pb.DESCRIPTOR.services_by_name["Recommender"].full_name

# Users of a batch answered in one go (about 2 ms): between two such slices other requests get their turn, and a
# batch whose deadline has passed ends.
_SLICE = 16

Context = aio.ServicerContext[Any, Any]


class RecommenderService(recommender_pb2_grpc.RecommenderServicer):
    """Answers from `serving()`, which is asked once a request. Scoring runs on the event loop: it takes a fraction of
    a millisecond, less than handing it to a thread and back costs under load."""

    def __init__(self, serving: Callable[[], Serving]) -> None:
        self._serving = serving

    async def Recommend(self, request: pb.RecommendRequest, context: Context) -> pb.RecommendResponse:
        user_id = read_id("user_id", request.user_id)
        k, filters = read_k(request.k), read_filters(request.filters)
        model = self._model()
        answer = _counted(recommend.for_user(model, user_id, k, filters))
        return write_answer(model, answer, user_id)

    async def RecommendBatch(self, request: pb.RecommendBatchRequest, context: Context) -> pb.RecommendBatchResponse:
        user_ids = read_ids("user_ids", request.user_ids)
        k, filters = read_k(request.k), read_filters(request.filters)
        model = self._model()
        response = pb.RecommendBatchResponse(model_version=model.version)
        for start in range(0, len(user_ids), _SLICE):
            some = user_ids[start : start + _SLICE]
            answers = recommend.for_users(model, some, k, filters)
            response.results.extend(
                write_answer(model, _counted(answer), user_id) for user_id, answer in zip(some, answers, strict=True)
            )
            await asyncio.sleep(0)
        return response

    async def RecommendForItems(self, request: pb.RecommendForItemsRequest, context: Context) -> pb.RecommendResponse:
        product_ids = read_ids("product_ids", request.product_ids)
        k, filters = read_k(request.k), read_filters(request.filters)
        model = self._model()
        return write_answer(model, _counted(recommend.for_basket(model, product_ids, k, filters)))

    async def SimilarItems(self, request: pb.SimilarItemsRequest, context: Context) -> pb.SimilarItemsResponse:
        product_id = read_id("product_id", request.product_id)
        k, filters = read_k(request.k), read_filters(request.filters)
        model = self._model()
        product = model.catalogue.row(product_id)
        if product is None:
            raise UnknownProduct(f"product_id {product_id} is not in model {model.version}")
        picks = recommend.similar(model, product, k, filters)
        return pb.SimilarItemsResponse(model_version=model.version, items=[write_item(model, pick) for pick in picks])

    async def GetModel(self, request: pb.GetModelRequest, context: Context) -> pb.GetModelResponse:
        serving = self._serving()
        response = pb.GetModelResponse()
        if serving.live is not None:
            model = serving.live.model
            response.model_version = model.version
            response.users, response.items, response.rank = len(model.user_factors), len(model.items), model.rank
            response.trained_at_ms, response.loaded_at_ms = model.created_at_ms, serving.live.loaded_at_ms
        if serving.refusal is not None:
            response.refused_version, response.refused_reason = serving.refusal.version, serving.refusal.reason
        return response

    def _model(self) -> Model:
        serving = self._serving()
        if serving.live is None:
            refused = f"; version {serving.refusal.version} was refused" if serving.refusal else ""
            raise NoModel(f"no model is loaded yet{refused}")
        return serving.live.model


def _counted(answer: recommend.Answer) -> recommend.Answer:
    RECOMMENDER_ANSWERS.labels(answer.strategy.value).inc()
    return answer
