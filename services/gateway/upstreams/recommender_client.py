"""gRPC client of the recommender. Each call has a deadline."""

import asyncio
import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, TypeVar

import grpc

from proto.tillstream.recommender.v1 import recommender_pb2 as pb
from proto.tillstream.recommender.v1 import recommender_pb2_grpc
from services.common import tracing
from services.common.metrics import GATEWAY_RECOMMENDER_CALL_SECONDS
from services.common.request_id import HEADER, REQUEST_ID
from services.common.tracing import Span
from services.gateway.api.problems import Problem

logger = logging.getLogger(__name__)

Message = TypeVar("Message")
Request = TypeVar("Request")
_POLL_DEADLINE_SECONDS = 1.0
_SERVICE = pb.DESCRIPTOR.services_by_name["Recommender"].full_name
_ALL_REPLICAS: Mapping[str, Any] = {"loadBalancingConfig": [{"round_robin": {}}]}
# Calls go in turn to the replicas behind one name that say they are SERVING: one without a model is left out. A call
# that a replica did not answer goes to another one within its deadline; every call only reads. While most calls fail,
# none is retried.
_SERVING_REPLICAS = {
    **_ALL_REPLICAS,
    "healthCheckConfig": {"serviceName": _SERVICE},
    "methodConfig": [
        {
            "name": [{"service": _SERVICE}],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.01s",
                "maxBackoff": "0.05s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": [grpc.StatusCode.UNAVAILABLE.name],
            },
        }
    ],
    "retryThrottling": {"maxTokens": 100, "tokenRatio": 1},
}
# Products in the responses of one call. The largest one (ids and texts of full length in four bytes a character) is
# 3.6 kB, and a message of more than the limit would be thrown away.
PRODUCTS_PER_CALL = 2_000
_MAX_MESSAGE_BYTES = 16 * 1024 * 1024
_CHANNEL_OPTIONS: list[tuple[str, int]] = [
    ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.service_config_disable_resolution", 1),  # it is not in DNS
    ("grpc.enable_http_proxy", 0),
    # Reconnect soon after the recommender is back: the default backs off up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # Also how long a connection may take to open: the address of a pod that is gone does not answer at all.
    ("grpc.min_reconnect_backoff_ms", 1_000),
    # A lost connection asks DNS for the replicas of now. The default allows that twice a minute.
    ("grpc.dns_min_time_between_resolutions_ms", 1_000),
    # Finds a connection whose other end has vanished without a word; the recommender allows that often.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 2_000),
    ("grpc.keepalive_permit_without_calls", 1),
]
# grpc.health.v1.HealthCheckRequest{service: our service} and HealthCheckResponse{status: SERVING}
_IS_SERVING = b"\x0a%c%s" % (len(_SERVICE), _SERVICE.encode())
_SERVING = b"\x08\x01"


# While the recommender does not answer, so many calls try whether it does again; the others fail at once.
_TRIALS = 8


class RecommenderUnavailable(Exception):
    """The recommender gave no response: it is down, has no model, or exceeded the deadline."""


class UnknownProduct(Exception):
    """The model does not know the product."""


@dataclass(frozen=True, slots=True)
class Filters:
    """Which products may be recommended. Prices in cents, inclusive; `exclude_purchased` None: the model's choice.

    `alike`: products like one another are wanted, by score alone.
    """

    category: str | None = None
    brand: str | None = None
    min_price: int | None = None
    max_price: int | None = None
    exclude_purchased: bool | None = None
    exclude_product_ids: Sequence[str] = field(default=())
    alike: bool = False

    def to_message(self) -> pb.Filters:
        """The gRPC message."""
        return pb.Filters(
            category=self.category or "",
            brand=self.brand or "",
            min_price_cents=self.min_price,
            max_price_cents=self.max_price,
            exclude_purchased=self.exclude_purchased,
            exclude_product_ids=self.exclude_product_ids,
            alike=self.alike,
        )


class RecommenderClient:
    """The recommender's calls. Each raises RecommenderUnavailable, or Problem 422 where it refuses an argument."""

    def __init__(self, address: str, deadline_ms: int, batch_deadline_ms: int) -> None:
        self._channel = _channel(address, _SERVING_REPLICAS)
        self._stub = recommender_pb2_grpc.RecommenderStub(self._channel)
        # A recommender without a model still says which one it refused.
        self._status_channel = _channel(address, _ALL_REPLICAS)
        self._status = recommender_pb2_grpc.RecommenderStub(self._status_channel)
        # Called without generated stubs: one field is not worth a dependency on the health package.
        self._health: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]
        self._health = self._status_channel.unary_unary("/grpc.health.v1.Health/Check")
        self.answering = True
        """Whether the last call for one customer or product was answered."""
        self._in_flight = 0
        self._deadline = deadline_ms / 1000
        self._batch_deadline = batch_deadline_ms / 1000

    async def recommend(self, user_id: str, k: int, filters: Filters) -> pb.RecommendResponse:
        """The k best products for one customer."""
        request = pb.RecommendRequest(user_id=user_id, k=k, filters=filters.to_message())
        return await self._watched("Recommend", self._stub.Recommend, request)

    async def recommend_batch(
        self, user_ids: Sequence[str], k: int, filters: Filters
    ) -> Sequence[pb.RecommendResponse]:
        """The same for many customers, in their order: at most PRODUCTS_PER_CALL / k."""
        request = pb.RecommendBatchRequest(user_ids=user_ids, k=k, filters=filters.to_message())
        response = await _call("RecommendBatch", self._stub.RecommendBatch, request, self._batch_deadline)
        return response.results

    async def recommend_for_items(self, product_ids: Sequence[str], k: int, filters: Filters) -> pb.RecommendResponse:
        """The k best products for an anonymous basket."""
        request = pb.RecommendForItemsRequest(product_ids=product_ids, k=k, filters=filters.to_message())
        return await _call("RecommendForItems", self._stub.RecommendForItems, request, self._batch_deadline)

    async def similar_items(self, product_id: str, k: int) -> pb.SimilarItemsResponse:
        """The k products most like one. Raises UnknownProduct."""
        request = pb.SimilarItemsRequest(product_id=product_id, k=k)
        return await self._watched("SimilarItems", self._stub.SimilarItems, request)

    async def _watched(
        self, method: str, rpc: "grpc.aio.UnaryUnaryMultiCallable[Request, Message]", request: Request
    ) -> Message:
        """A call whose outcome says whether the recommender answers."""
        if not self.answering and self._in_flight >= _TRIALS:
            raise RecommenderUnavailable("it did not answer the last call, and enough calls wait for it")
        self._in_flight += 1
        try:
            answer = await _call(method, rpc, request, self._deadline)
        except RecommenderUnavailable:
            self.answering = False
            raise
        except (Problem, UnknownProduct):
            self.answering = True
            raise
        finally:
            self._in_flight -= 1
        self.answering = True
        return answer

    async def model(self) -> pb.GetModelResponse:
        """The model that is being served."""
        return await _call("GetModel", self._status.GetModel, pb.GetModelRequest(), _POLL_DEADLINE_SECONDS)

    async def serving(self) -> bool:
        """Whether the standard gRPC health service of the recommender says that it answers requests."""
        try:
            status: bytes = await self._health(_IS_SERVING, timeout=_POLL_DEADLINE_SECONDS)
        except grpc.aio.AioRpcError:
            return False
        return status == _SERVING

    async def close(self) -> None:
        """Close the channels. Calls in flight fail."""
        await self._channel.close()
        await self._status_channel.close()


def _channel(address: str, service_config: Mapping[str, Any]) -> grpc.aio.Channel:
    options = [*_CHANNEL_OPTIONS, ("grpc.service_config", json.dumps(service_config))]
    return grpc.aio.insecure_channel(address, options=options)


def _metadata(span: Span) -> tuple[tuple[str, str], ...]:
    """What the call is made for: the id of a request, and the step of a trace."""
    given = ((HEADER, REQUEST_ID.get()), (tracing.HEADER, span.traceparent))
    return tuple((name, value) for name, value in given if value is not None)


async def _call(
    method: str, rpc: "grpc.aio.UnaryUnaryMultiCallable[Request, Message]", request: Request, deadline_s: float
) -> Message:
    try:
        return await _timed(method, rpc, request, deadline_s)
    except grpc.aio.AioRpcError as error:
        match error.code():
            case grpc.StatusCode.INVALID_ARGUMENT:
                raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, error.details() or "invalid") from None
            case grpc.StatusCode.NOT_FOUND:
                raise UnknownProduct(error.details()) from None
            case code:
                raise RecommenderUnavailable(f"{code.name}: {error.details()}") from None
    except asyncio.InvalidStateError as error:  # the channel was closed during the call
        raise RecommenderUnavailable(str(error)) from None


async def _timed(
    method: str, rpc: "grpc.aio.UnaryUnaryMultiCallable[Request, Message]", request: Request, deadline_s: float
) -> Message:
    started, code = time.perf_counter(), grpc.StatusCode.OK
    with tracing.child(f"{_SERVICE}/{method}", "client") as span:
        try:
            return await rpc(request, timeout=deadline_s, metadata=_metadata(span))
        except grpc.aio.AioRpcError as error:
            code = error.code()
            raise
        except BaseException:  # the client has left, or the channel was closed
            code = grpc.StatusCode.CANCELLED
            raise
        finally:
            span.set("rpc.response.status_code", code.name)
            elapsed = time.perf_counter() - started
            GATEWAY_RECOMMENDER_CALL_SECONDS.labels(method, code.name).observe(elapsed)


class ServingModelPoller:
    """Polls which model the recommender serves. `latest` is None while the recommender is unavailable.

    `masks_bought` says whether the model that was served last excludes purchased products by default. It is kept
    during an outage. It is True before the first model, and unchanged where an older recommender does not send it.
    """

    def __init__(self, client: RecommenderClient) -> None:
        self._client = client
        self.latest: pb.GetModelResponse | None = None
        self.detail = "not asked yet"
        self.masks_bought = True
        # Broker time up to which the recommender that answered has read the stream; None where it does not know.
        self.as_of_ms: int | None = None

    async def refresh(self) -> None:
        """Ask once."""
        try:
            self.latest = await self._client.model()
            self.detail = f"model {self.latest.model_version}" if self.latest.model_version else "no model yet"
        except (RecommenderUnavailable, Problem, UnknownProduct) as error:
            self.latest = self.as_of_ms = None
            self.detail = str(error)
        else:
            knows = self.latest.HasField("state_age_ms")
            self.as_of_ms = time.time_ns() // 1_000_000 - self.latest.state_age_ms if knows else None
            if self.latest.HasField("masks_bought"):
                self.masks_bought = self.latest.masks_bought

    @property
    def version(self) -> str | None:
        """The version that is being served, if any."""
        return (self.latest.model_version or None) if self.latest else None
