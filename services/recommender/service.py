"""The gRPC methods: each reads `serving` once, so that an answer never mixes two models."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

from grpc import aio

from proto.tillstream.recommender.v1 import recommender_pb2 as pb
from proto.tillstream.recommender.v1 import recommender_pb2_grpc
from recsys.answers import Answer, Strategy
from recsys.catalogue import Filters
from services.common.erased import Erased
from services.common.metrics import RECOMMENDER_ANSWERS, RECOMMENDER_SCORING_SECONDS
from services.common.model_pointer import MAIN
from services.common.times import format_time
from services.recommender.impressions import Impression, ImpressionLog
from services.recommender.interceptors import NoModel, UnknownProduct
from services.recommender.requests import read_filters, read_id, read_ids, read_k
from services.recommender.responses import Source, write_answer, write_model, write_related
from services.recommender.serving import Serving, ServingModel

SERVICE_NAME: str = pb.DESCRIPTOR.services_by_name["Recommender"].full_name

# Users of a batch answered without a pause (about 10 ms): between two such slices other requests and the stream get
# their turn, and a batch whose deadline has passed ends.
_SLICE = 16
_NOBODY = ""  # is no id

Context = aio.ServicerContext[Any, Any]

# Looked up once: that takes longer than counting and timing.
_METRICS = {
    strategy: (RECOMMENDER_ANSWERS.labels(strategy.value), RECOMMENDER_SCORING_SECONDS.labels(strategy.value))
    for strategy in Strategy
}


def clock_ms() -> int:
    """Epoch milliseconds."""
    return time.time_ns() // 1_000_000


class RecommenderService(recommender_pb2_grpc.RecommenderServicer):
    """Answers from `serving()`, called once a request.

    Scoring runs on the event loop: it takes less than a millisecond, and a thread would contend for the interpreter
    lock between its many short calls.
    """

    def __init__(
        self,
        serving: Callable[[], Serving],
        impressions: ImpressionLog | None = None,
        clock: Callable[[], int] = clock_ms,
        erased: Callable[[], Erased | None] = lambda: None,
    ) -> None:
        """`impressions` records a sample of the answers; `clock` gives epoch milliseconds.

        `erased`: customers to answer as unknown ones, and of whom nothing is recorded.
        """
        self._serving = serving
        self._impressions = impressions
        self._clock = clock
        self._erased = erased

    async def Recommend(self, request: pb.RecommendRequest, context: Context) -> pb.RecommendResponse:
        user_id = read_id("user_id", request.user_id)
        k, filters = read_k(request.k), read_filters(request.filters)
        now_ms = self._clock()
        return self._for_users(self._serving(), [user_id], k, filters, now_ms)[0]

    async def RecommendBatch(self, request: pb.RecommendBatchRequest, context: Context) -> pb.RecommendBatchResponse:
        user_ids = read_ids("user_ids", request.user_ids)
        k, filters = read_k(request.k), read_filters(request.filters)
        serving, now_ms = self._serving(), self._clock()
        response = pb.RecommendBatchResponse(model_version=_main(serving).model.version)
        for start in range(0, len(user_ids), _SLICE):
            response.results.extend(self._for_users(serving, user_ids[start : start + _SLICE], k, filters, now_ms))
            await asyncio.sleep(0)
        return response

    async def RecommendForItems(self, request: pb.RecommendForItemsRequest, context: Context) -> pb.RecommendResponse:
        product_ids = read_ids("product_ids", request.product_ids)
        k, filters = read_k(request.k), read_filters(request.filters)
        served, now_ms = _main(self._serving()), self._clock()
        started = time.perf_counter()
        answer = served.recommender.for_basket(product_ids, k, filters, now_ms)
        _count([answer], time.perf_counter() - started)
        return write_answer(Source(served, MAIN, now_ms), answer)

    async def SimilarItems(self, request: pb.SimilarItemsRequest, context: Context) -> pb.SimilarItemsResponse:
        product_id = read_id("product_id", request.product_id)
        k, filters = read_k(request.k), read_filters(request.filters)
        served, now_ms = _main(self._serving()), self._clock()
        product = served.model.catalogue.row(product_id)
        if product is None:
            raise UnknownProduct(f"product_id {product_id} is not in model {served.model.version}, nor sold since")
        return write_related(Source(served, MAIN, now_ms), served.recommender.related(product, k, filters, now_ms))

    async def GetModel(self, request: pb.GetModelRequest, context: Context) -> pb.GetModelResponse:
        return write_model(self._serving(), self._clock())

    def _for_users(
        self, serving: Serving, user_ids: Sequence[str], k: int, filters: Filters, now_ms: int
    ) -> list[pb.RecommendResponse]:
        """The answers to all, each by the model that the customer is assigned to."""
        main = _main(serving)
        asked = [serving.model_for(user_id) for user_id in user_ids]
        responses: dict[int, pb.RecommendResponse] = {}
        for name in dict.fromkeys(name for name, _ in asked):
            places = [place for place, (variant, _) in enumerate(asked) if variant == name]
            source = Source(asked[places[0]][1] or main, name, now_ms)
            some = [user_ids[place] for place in places]
            known = [_NOBODY if self._is_erased(user_id) else user_id for user_id in some]
            started = time.perf_counter()
            answers = source.served.recommender.for_users(known, k, filters, now_ms)
            _count(answers, time.perf_counter() - started)
            for place, user_id, answer in zip(places, some, answers, strict=True):
                responses[place] = self._respond(source, user_id, answer)
        return [responses[place] for place in range(len(user_ids))]

    def _respond(self, source: Source, user_id: str, answer: Answer) -> pb.RecommendResponse:
        response = write_answer(source, answer, user_id)
        if self._impressions is not None and not self._is_erased(user_id):
            self._impressions.add(user_id, lambda: _impression(source, user_id, answer, response))
        return response

    def _is_erased(self, user_id: str) -> bool:
        erased = self._erased()
        return erased is not None and user_id in erased


def _main(serving: Serving) -> ServingModel:
    if serving.main is None:
        refused = f"; version {serving.refusal.version} was refused" if serving.refusal else ""
        raise NoModel(f"no model is loaded yet{refused}")
    return serving.main


def _count(answers: Sequence[Answer], seconds: float) -> None:
    """Count the answers that were scored together in so many seconds."""
    for answer in answers:
        counted, timed = _METRICS[answer.strategy]
        counted.inc()
        timed.observe(seconds / len(answers))


def _impression(source: Source, user_id: str, answer: Answer, response: pb.RecommendResponse) -> Impression:
    return Impression(
        time=format_time(source.now_ms),
        user_id=user_id,
        variant=source.variant,
        model_version=source.served.model.version,
        strategy=answer.strategy.value,
        product_ids=[item.product_id for item in response.items],
    )
