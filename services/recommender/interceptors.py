"""gRPC interceptor: errors become status codes, and each call is counted and timed."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from grpc import aio

from services.common import tracing
from services.common.metrics import RECOMMENDER_REQUEST_SECONDS
from services.common.request_id import HEADER, REQUEST_ID, valid_request_id
from services.recommender.requests import InvalidArgument

logger = logging.getLogger(__name__)

_POLL_S = 0.02
_QUIET_LOOKS = 10

Behaviour = Callable[[Any, Any], Awaitable[Any]]


class NoModel(Exception):
    """No model has been loaded yet."""


class UnknownProduct(Exception):
    """The model does not know the product."""


_STATUS: dict[type[Exception], grpc.StatusCode] = {
    InvalidArgument: grpc.StatusCode.INVALID_ARGUMENT,
    NoModel: grpc.StatusCode.UNAVAILABLE,
    UnknownProduct: grpc.StatusCode.NOT_FOUND,
}


class ErrorAndMetricsInterceptor(aio.ServerInterceptor):
    """Wraps the unary methods of one gRPC service. Calls beyond `max_in_flight` are refused at once."""

    def __init__(self, service: str, max_in_flight: int | None = None) -> None:
        self._prefix = f"/{service}/"
        self._max_in_flight = max_in_flight
        self._in_flight = 0
        self._begun = 0

    async def wait_idle(self, within_s: float) -> None:
        """Return once no call was in flight or began at several looks in a row, at the latest after `within_s`."""
        deadline = time.monotonic() + within_s
        seen, quiet = self._begun, 0
        # Looks, not seconds: on a busy machine a call may wait for longer than any pause until the loop gets to it.
        while quiet < _QUIET_LOOKS and time.monotonic() < deadline:
            await asyncio.sleep(_POLL_S)
            quiet = 0 if self._in_flight or self._begun != seen else quiet + 1
            seen = self._begun

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable["grpc.RpcMethodHandler[Any, Any] | None"]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "grpc.RpcMethodHandler[Any, Any] | None":
        """The handler, wrapped; handlers of other services pass through."""
        handler = await continuation(handler_call_details)
        method = str(handler_call_details.method)
        if handler is None or not method.startswith(self._prefix):
            return handler
        timed = _timed(method.removeprefix(self._prefix), _with_status(handler.unary_unary))
        return grpc.unary_unary_rpc_method_handler(
            self._counted(_traced(method.removeprefix("/"), timed)),
            handler.request_deserializer,
            handler.response_serializer,
        )

    def _counted(self, behaviour: Behaviour) -> Behaviour:
        async def call(request: Any, context: aio.ServicerContext[Any, Any]) -> Any:
            if self._max_in_flight is not None and self._in_flight >= self._max_in_flight:
                await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, f"{self._max_in_flight} calls are in flight")
            self._in_flight += 1
            self._begun += 1
            REQUEST_ID.set(valid_request_id(_sent(context, HEADER)))
            try:
                return await behaviour(request, context)
            finally:
                self._in_flight -= 1

        return call


def _sent(context: aio.ServicerContext[Any, Any], header: str) -> str | None:
    """What the caller passed on. Each call is answered in a task of its own, so no other call sees it."""
    sent = next((value for key, value in context.invocation_metadata() or () if key == header), None)
    return sent if isinstance(sent, str) else None


def _traced(method: str, behaviour: Behaviour) -> Behaviour:
    """A call continues its caller's trace, or none."""

    async def call(request: Any, context: aio.ServicerContext[Any, Any]) -> Any:
        if not tracing.enabled():
            return await behaviour(request, context)
        with tracing.continued(method, _sent(context, tracing.HEADER), "server"):
            return await behaviour(request, context)

    return call


def _with_status(behaviour: Any) -> Behaviour:
    async def call(request: Any, context: aio.ServicerContext[Any, Any]) -> Any:
        try:
            return await behaviour(request, context)
        except Exception as error:
            status = _STATUS.get(type(error))
            if status is None:
                logger.exception("a request failed")
                await context.abort(grpc.StatusCode.INTERNAL, "internal error")
            await context.abort(status, str(error))

    return call


def _timed(method: str, behaviour: Behaviour) -> Behaviour:
    async def call(request: Any, context: aio.ServicerContext[Any, Any]) -> Any:
        started = time.perf_counter()
        code = grpc.StatusCode.CANCELLED.name
        try:
            response = await behaviour(request, context)
            code = grpc.StatusCode.OK.name
            return response
        except aio.AbortError:
            code = _name(context.code())
            raise
        finally:
            seconds = time.perf_counter() - started
            RECOMMENDER_REQUEST_SECONDS.labels(method, code).observe(seconds, tracing.current().exemplar)

    return call


def _name(code: Any) -> str:
    """The status as a label; the aio context answers with a number."""
    return next((status.name for status in grpc.StatusCode if code in (status, status.value[0])), str(code))
