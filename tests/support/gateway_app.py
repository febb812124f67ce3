"""The gateway under test: its app in this process, and a fake recommender behind real gRPC."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
import httpx

from proto.tillstream.recommender.v1 import recommender_pb2 as pb
from proto.tillstream.recommender.v1 import recommender_pb2_grpc
from services.common.request_id import HEADER
from services.gateway.app import create_app
from services.gateway.settings import GatewaySettings

# Nothing listens on port 1: an engine that is unavailable.
AWAY = "127.0.0.1:1"


def settings_of(**given: Any) -> GatewaySettings:
    """Settings with every engine unavailable unless given, and short poll intervals."""
    defaults: dict[str, Any] = {
        "redis_url": f"redis://{AWAY}/0",
        "kafka_bootstrap": AWAY,
        "recommender_address": AWAY,
        "s3_endpoint": f"http://{AWAY}",
        "s3_access_key": "key",
        "s3_secret_key": "secret",
        "web_dist": "no/such/folder",
        "refresh_seconds": 0.05,
        "ticker_seconds": 0.02,
        "producer_telemetry": f"http://{AWAY}",
        "archiver_telemetry": f"http://{AWAY}",
        "aggregator_telemetry": f"http://{AWAY}",
        "recommender_telemetry": f"http://{AWAY}",
    }
    return GatewaySettings(**defaults | given)


@asynccontextmanager
async def client_of(settings: GatewaySettings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the app, within the app's lifespan."""
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            yield client


class FakeRecommender(recommender_pb2_grpc.RecommenderServicer):
    """Answers as configured and keeps the requests."""

    def __init__(self) -> None:
        self.requests: list[Any] = []
        self.request_ids: list[str] = []
        self.answer = pb.RecommendResponse(
            strategy=pb.STRATEGY_PERSONAL, model_version="v1", variant="trial", state_age_ms=0
        )
        self.fails: grpc.StatusCode | None = None
        self.delay_s = 0.0
        # None: as a recommender that does not know the field.
        self.masks_bought: bool | None = None

    async def _asked(self, request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        self.requests.append(request)
        self.request_ids += [str(value) for key, value in context.invocation_metadata() or () if key == HEADER]
        await asyncio.sleep(self.delay_s)
        if self.fails is not None:
            await context.abort(self.fails, "made to fail")

    async def Recommend(self, request: Any, context: Any) -> pb.RecommendResponse:
        await self._asked(request, context)
        return self._for(request.user_id)

    def _for(self, user_id: str) -> pb.RecommendResponse:
        answer = pb.RecommendResponse()
        answer.CopyFrom(self.answer)
        answer.user_id = user_id
        return answer

    async def RecommendBatch(self, request: Any, context: Any) -> pb.RecommendBatchResponse:
        await self._asked(request, context)
        return pb.RecommendBatchResponse(results=[self._for(user_id) for user_id in request.user_ids])

    async def RecommendForItems(self, request: Any, context: Any) -> pb.RecommendResponse:
        await self._asked(request, context)
        answer = self._for("")
        answer.strategy = pb.STRATEGY_BASKET
        answer.unknown_product_ids.extend(id for id in request.product_ids if id.startswith("unknown"))
        return answer

    async def SimilarItems(self, request: Any, context: Any) -> pb.SimilarItemsResponse:
        await self._asked(request, context)
        return pb.SimilarItemsResponse(
            model_version="v1",
            items=self.answer.items,
            complements=self.answer.items[:1],
            variant="main",
            state_age_ms=7,
        )

    async def GetModel(self, request: Any, context: Any) -> pb.GetModelResponse:
        return pb.GetModelResponse(
            model_version="v1",
            users=2,
            items=3,
            rank=4,
            state_age_ms=12,
            composition="factors 1",
            masks_bought=self.masks_bought,
        )


def item(product_id: str, **given: Any) -> pb.Item:
    """One product of a recommender response."""
    reason = pb.Reason(code="bought_together", product_id="bought-before", weight=0.25)
    fields: dict[str, Any] = {"product_id": product_id, "score": 0.5, "reason": reason}
    return pb.Item(**fields | given)


@asynccontextmanager
async def serving(recommender: FakeRecommender) -> AsyncIterator[str]:
    """Serve the recommender; gives its address."""
    server = grpc.aio.server()
    recommender_pb2_grpc.add_RecommenderServicer_to_server(recommender, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


def product_ids(answer: dict[str, Any]) -> Sequence[str]:
    """The product ids of a response's items."""
    return [entry["product_id"] for entry in answer["items"]]
