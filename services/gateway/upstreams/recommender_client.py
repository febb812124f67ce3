"""gRPC client of the recommender. Each call has a deadline."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache, partial
from http import HTTPStatus
from typing import TypeVar

import grpc
from prometheus_client import Histogram

from proto.tillstream.recommender.v1 import recommender_pb2 as pb
from proto.tillstream.recommender.v1 import recommender_pb2_grpc
from services.common import tracing
from services.common.metrics import GATEWAY_RECOMMENDER_CALL_SECONDS
from services.common.request_id import HEADER, REQUEST_ID
from services.common.tracing import Span
from services.gateway.api.problems import Problem
from services.gateway.upstreams.direct_client import DirectClient, NotConnected
from services.gateway.upstreams.recommender_channel import (
    ALL_REPLICAS,
    SERVICE,
    SERVING_REPLICAS,
    RecommenderAccess,
    open_channel,
)

logger = logging.getLogger(__name__)

Message = TypeVar("Message")
Request = TypeVar("Request")
_POLL_DEADLINE_SECONDS = 1.0
_OPEN = RecommenderAccess()
# Products in the responses of one call. The largest one (ids and texts of full length in four bytes a character) is
# 3.6 kB, and a message of more than the limit would be thrown away.
PRODUCTS_PER_CALL = 2_000
# grpc.health.v1.HealthCheckRequest{service: our service} and HealthCheckResponse{status: SERVING}
_IS_SERVING = b"\x0a%c%s" % (len(SERVICE), SERVICE.encode())
_SERVING = b"\x08\x01"


_CODES = {code.value[0]: code for code in grpc.StatusCode}

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

    def __init__(
        self,
        address: str,
        deadline_ms: int,
        batch_deadline_ms: int,
        access: RecommenderAccess = _OPEN,
        direct: DirectClient | None = None,
    ) -> None:
        """`direct`: asked first for a customer, if it is connected. Raises OSError where a TLS file cannot be read."""
        self._direct = direct
        self._address = address
        self._access = access
        self.answering = True
        """Whether the last call for one customer or product was answered."""
        self._in_flight = 0
        self._deadline = deadline_ms / 1000
        self._batch_deadline = batch_deadline_ms / 1000
        self._tls_versions = access.tls.versions()
        self._open()

    def _open(self) -> None:
        address, tls = self._address, self._access.tls
        self._channel = open_channel(address, SERVING_REPLICAS, tls)
        self._stub = recommender_pb2_grpc.RecommenderStub(self._channel)
        # A recommender without a model still says which one it refused.
        self._status_channel = open_channel(address, ALL_REPLICAS, tls)
        self._status = recommender_pb2_grpc.RecommenderStub(self._status_channel)
        # Called without generated stubs: one field is not worth a dependency on the health package.
        self._health: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]
        self._health = self._status_channel.unary_unary("/grpc.health.v1.Health/Check")

    async def renew(self) -> None:
        """Use TLS files that have changed, by new channels: gRPC for Python has no channel that reads them again.

        Calls in flight end on the old ones. Files that cannot be read leave the channels as they are.
        """
        before = self._channel, self._status_channel
        try:
            now = self._access.tls.versions()
            if now == self._tls_versions:
                return
            self._open()
        except OSError as error:
            logger.error("the recommender's TLS files stay as they were: %s", error)
            return
        self._tls_versions = now
        await asyncio.gather(*(channel.close(self._batch_deadline) for channel in before))

    async def recommend(self, user_id: str, k: int, filters: Filters) -> pb.RecommendResponse:
        """The k best products for one customer."""
        request = pb.RecommendRequest(user_id=user_id, k=k, filters=filters.to_message())
        if self._direct is not None and self._direct.connected:
            with suppress(NotConnected):
                return await self._watched(partial(_ask_directly, self._direct, request, self._deadline))
        return await self._watched(partial(self._call, "Recommend", self._stub.Recommend, request, self._deadline))

    async def recommend_batch(
        self, user_ids: Sequence[str], k: int, filters: Filters
    ) -> Sequence[pb.RecommendResponse]:
        """The same for many customers, in their order: at most PRODUCTS_PER_CALL / k."""
        request = pb.RecommendBatchRequest(user_ids=user_ids, k=k, filters=filters.to_message())
        response = await self._call("RecommendBatch", self._stub.RecommendBatch, request, self._batch_deadline)
        return response.results

    async def recommend_for_items(self, product_ids: Sequence[str], k: int, filters: Filters) -> pb.RecommendResponse:
        """The k best products for an anonymous basket."""
        request = pb.RecommendForItemsRequest(product_ids=product_ids, k=k, filters=filters.to_message())
        return await self._call("RecommendForItems", self._stub.RecommendForItems, request, self._batch_deadline)

    async def similar_items(self, product_id: str, k: int) -> pb.SimilarItemsResponse:
        """The k products most like one. Raises UnknownProduct."""
        request = pb.SimilarItemsRequest(product_id=product_id, k=k)
        call = partial(self._call, "SimilarItems", self._stub.SimilarItems, request, self._deadline)
        return await self._watched(call)

    async def _watched(self, call: Callable[[], Awaitable[Message]]) -> Message:
        """A call whose outcome says whether the recommender answers."""
        if not self.answering and self._in_flight >= _TRIALS:
            raise RecommenderUnavailable("it did not answer the last call, and enough calls wait for it")
        self._in_flight += 1
        try:
            answer = await call()
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

    async def _call(
        self,
        method: str,
        rpc: "grpc.aio.UnaryUnaryMultiCallable[Request, Message]",
        request: Request,
        deadline_s: float,
    ) -> Message:
        with tracing.child(f"{SERVICE}/{method}", "client") as span, _observed(method, span):
            metadata = (*self._access.metadata, *_metadata(span))
            return await rpc(request, timeout=deadline_s, metadata=metadata)

    async def model(self) -> pb.GetModelResponse:
        """The model that is being served."""
        return await self._call("GetModel", self._status.GetModel, pb.GetModelRequest(), _POLL_DEADLINE_SECONDS)

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


def _metadata(span: Span) -> tuple[tuple[str, str], ...]:
    """What the call is made for: the id of a request, and the step of a trace."""
    given = ((HEADER, REQUEST_ID.get()), (tracing.HEADER, span.traceparent))
    return tuple((name, value) for name, value in given if value is not None)


@contextmanager
def _observed(method: str, span: Span) -> Iterator[None]:
    """Times a call, and makes our errors of gRPC's."""
    started, code = time.perf_counter(), grpc.StatusCode.OK
    try:
        yield
    except grpc.aio.AioRpcError as error:
        code = error.code()
        raise _error(code, error.details()) from None
    except BaseException as error:  # the client has left, or the channel was closed
        code = grpc.StatusCode.CANCELLED
        if isinstance(error, asyncio.InvalidStateError):
            raise RecommenderUnavailable(str(error)) from None
        raise
    finally:
        span.set("rpc.response.status_code", code.name)
        _call_seconds(method, code).observe(time.perf_counter() - started, span.exemplar)


@cache
def _call_seconds(method: str, code: grpc.StatusCode) -> Histogram:
    """Looked up once: that takes longer than observing."""
    return GATEWAY_RECOMMENDER_CALL_SECONDS.labels(method, code.name)


async def _ask_directly(direct: DirectClient, request: pb.RecommendRequest, deadline_s: float) -> pb.RecommendResponse:
    """As a call of gRPC. Raises NotConnected where it is to be asked that way."""
    started, code = time.perf_counter(), grpc.StatusCode.OK
    with tracing.child(f"{SERVICE}/Recommend", "client") as span:
        question = pb.DirectQuestion(
            request=request,
            timeout_ms=int(deadline_s * 1000),
            request_id=REQUEST_ID.get() or "",
            traceparent=span.traceparent or "",
        )
        try:
            answer = await direct.ask(question, deadline_s)
            code = _CODES[answer.code]
        except TimeoutError:
            code = grpc.StatusCode.DEADLINE_EXCEEDED
            raise RecommenderUnavailable(f"{code.name}: no answer over the socket") from None
        except BaseException:  # the client has left, or the connection was lost
            code = grpc.StatusCode.CANCELLED
            raise
        finally:
            span.set("rpc.response.status_code", code.name)
            _call_seconds("Recommend", code).observe(time.perf_counter() - started, span.exemplar)
    if code is not grpc.StatusCode.OK:
        raise _error(code, answer.detail)
    return answer.response


def _error(code: grpc.StatusCode, detail: str | None) -> Exception:
    """What an answer that is none means to a route."""
    match code:
        case grpc.StatusCode.INVALID_ARGUMENT:
            return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail or "invalid")
        case grpc.StatusCode.NOT_FOUND:
            return UnknownProduct(detail)
        case _:
            return RecommenderUnavailable(f"{code.name}: {detail}")


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
