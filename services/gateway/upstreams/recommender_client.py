"""The seam to the recommender: its gRPC calls, each under a deadline."""

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TypeVar

import grpc

from proto.tillstream.recommender.v1 import recommender_pb2 as pb
from proto.tillstream.recommender.v1 import recommender_pb2_grpc
from services.gateway.api.problems import Problem

logger = logging.getLogger(__name__)

Response = TypeVar("Response")
_WATCH_DEADLINE_SECONDS = 1.0
_CHANNEL_OPTIONS = [
    # Reconnect soon after the recommender is back: the default backs off up to two minutes.
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # Spread calls over all replicas behind one name.
    ("grpc.service_config", '{"loadBalancingConfig": [{"round_robin": {}}]}'),
    ("grpc.enable_http_proxy", 0),
]
# grpc.health.v1.HealthCheckResponse{status: SERVING}
_SERVING = b"\x08\x01"


class RecommenderUnavailable(Exception):
    """No answer from the recommender: it is down, has no model, or took too long."""


class UnknownToModel(Exception):
    """The model does not know the product."""


@dataclass(frozen=True, slots=True)
class Filters:
    """Which products may be recommended. Prices in cents, inclusive; `exclude_purchased` None: the shop's choice."""

    category: str | None = None
    brand: str | None = None
    min_price: int | None = None
    max_price: int | None = None
    exclude_purchased: bool | None = None
    exclude_product_ids: Sequence[str] = field(default=())

    def to_message(self) -> pb.Filters:
        """The gRPC message."""
        return pb.Filters(
            category=self.category or "",
            brand=self.brand or "",
            min_price_cents=self.min_price,
            max_price_cents=self.max_price,
            exclude_purchased=self.exclude_purchased,
            exclude_product_ids=self.exclude_product_ids,
        )


class RecommenderClient:
    """Calls the recommender. Every call raises RecommenderUnavailable, or Problem 422 where it refuses an argument."""

    def __init__(self, address: str, deadline_ms: int, batch_deadline_ms: int) -> None:
        self._channel = grpc.aio.insecure_channel(address, options=_CHANNEL_OPTIONS)
        self._stub = recommender_pb2_grpc.RecommenderStub(self._channel)
        # Called on the wire's level: the health package is not worth a dependency for one field.
        self._health: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]
        self._health = self._channel.unary_unary("/grpc.health.v1.Health/Check")
        self._deadline = deadline_ms / 1000
        self._batch_deadline = batch_deadline_ms / 1000

    async def recommend(self, user_id: str, k: int, filters: Filters) -> pb.RecommendResponse:
        """The k best products for one customer."""
        request = pb.RecommendRequest(user_id=user_id, k=k, filters=filters.to_message())
        return await _answer(self._stub.Recommend(request, timeout=self._deadline))

    async def recommend_batch(
        self, user_ids: Sequence[str], k: int, filters: Filters
    ) -> Sequence[pb.RecommendResponse]:
        """The same for many customers, in their order."""
        request = pb.RecommendBatchRequest(user_ids=user_ids, k=k, filters=filters.to_message())
        answer = await _answer(self._stub.RecommendBatch(request, timeout=self._batch_deadline))
        return answer.results

    async def recommend_for_items(self, product_ids: Sequence[str], k: int, filters: Filters) -> pb.RecommendResponse:
        """The k best products for an anonymous basket."""
        request = pb.RecommendForItemsRequest(product_ids=product_ids, k=k, filters=filters.to_message())
        return await _answer(self._stub.RecommendForItems(request, timeout=self._batch_deadline))

    async def similar_items(self, product_id: str, k: int) -> pb.SimilarItemsResponse:
        """The k products most like one. Raises UnknownToModel."""
        request = pb.SimilarItemsRequest(product_id=product_id, k=k)
        return await _answer(self._stub.SimilarItems(request, timeout=self._deadline))

    async def model(self) -> pb.GetModelResponse:
        """What is being served."""
        return await _answer(self._stub.GetModel(pb.GetModelRequest(), timeout=_WATCH_DEADLINE_SECONDS))

    async def serving(self) -> bool:
        """Whether the recommender's standard health service says SERVING."""
        try:
            status: bytes = await self._health(b"", timeout=_WATCH_DEADLINE_SECONDS)
        except grpc.aio.AioRpcError:
            return False
        return status == _SERVING

    async def close(self) -> None:
        """Close the channel; calls under way end with an error."""
        await self._channel.close()


async def _answer(call: Awaitable[Response]) -> Response:
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        match error.code():
            case grpc.StatusCode.INVALID_ARGUMENT:
                raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, error.details() or "invalid") from None
            case grpc.StatusCode.NOT_FOUND:
                raise UnknownToModel(error.details()) from None
            case code:
                raise RecommenderUnavailable(f"{code.name}: {error.details()}") from None
    except asyncio.InvalidStateError as error:  # the channel was closed meanwhile
        raise RecommenderUnavailable(str(error)) from None


class ServingModelPoller:
    """Keeps what the recommender says it serves; `latest` is None while it is away.

    `masks_bought` outlives an outage: whether the model served last leaves out what a customer has bought. It is True
    before the first model, and stays as it was where an older recommender does not send it.
    """

    def __init__(self, client: RecommenderClient) -> None:
        self._client = client
        self.latest: pb.GetModelResponse | None = None
        self.detail = "not asked yet"
        self.masks_bought = True

    async def refresh(self) -> None:
        """Ask once."""
        try:
            self.latest = await self._client.model()
            self.detail = f"model {self.latest.model_version}" if self.latest.model_version else "no model yet"
        except (RecommenderUnavailable, Problem, UnknownToModel) as error:
            self.latest = None
            self.detail = str(error)
        else:
            if self.latest.HasField("masks_bought"):
                self.masks_bought = self.latest.masks_bought

    @property
    def version(self) -> str | None:
        """The version being served; None where there is none."""
        return (self.latest.model_version or None) if self.latest else None
