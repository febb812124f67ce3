"""Traces: which steps a request or a purchase went through, and how long each took.

Off unless TILLSTREAM_TRACES_ENDPOINT is set: then no span is made and nothing of OpenTelemetry is imported. A trace
begins at a request to the gateway, a row of the producer or a run of the batch job; everything else only continues one.
A span holds no id of a customer, an order or a product.
"""

import math
import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from itertools import islice
from typing import Literal, Protocol, Self

from services.common.settings import ServiceSettings

HEADER = "traceparent"  # of HTTP, gRPC and Kafka, as W3C Trace Context defines it
_HEADERS_READ = 8  # of a record; the rest of a record that has more is not looked at

Kind = Literal["internal", "server", "client", "producer", "consumer"]
Headers = list[tuple[str, bytes]]


class Span:
    """One step of a trace, which ends with the `with` block; this one is not recorded, and nor are its children."""

    __slots__ = ("_token",)

    @property
    def traceparent(self) -> str | None:
        """For the next process; None where nothing is recorded."""
        return None

    @property
    def exemplar(self) -> dict[str, str] | None:
        """For an observation of a histogram: which trace it is of; None where nothing is recorded."""
        return None

    def child(self, name: str, kind: Kind = "internal") -> "Span":
        """A step of this step."""
        return self

    def rename(self, name: str) -> None:
        """Set the name, where it is known only later."""

    def set(self, attribute: str, value: str | int) -> None:
        """Set an attribute, named as OpenTelemetry's semantic conventions do."""

    def fail(self, reason: str) -> None:
        """Mark the step as failed. `reason`: a class of error, without data."""

    def end(self) -> None:
        """End the step now. Does nothing where it has ended."""

    @property
    def headers(self) -> Headers:
        """The headers of a Kafka record that was written in this step."""
        traceparent = self.traceparent
        return [] if traceparent is None else [(HEADER, traceparent.encode())]

    def __enter__(self) -> Self:
        self._token: Token[Span] = _CURRENT.set(self)
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        _CURRENT.reset(self._token)
        if error is not None:
            self.fail(error.__name__)
        self.end()


class _NotRecorded(Span):
    """The only one: it has no state, so that tasks may share it."""

    __slots__ = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class Recorder(Protocol):
    """What records spans, and exports them."""

    def root(self, name: str, kind: Kind) -> Span:
        """The first span of a new trace."""

    def continued(self, name: str, traceparent: str, kind: Kind) -> Span | None:
        """A span under one of another process; None where `traceparent` is invalid or not sampled."""

    def close(self) -> None:
        """Export what is left, within two seconds."""


NOT_RECORDED: Span = _NotRecorded()
_CURRENT: ContextVar[Span] = ContextVar("span", default=NOT_RECORDED)

_recorder: Recorder | None = None
_ratio = 0.0


@contextmanager
def recording(recorder: Recorder, ratio: float) -> Iterator[None]:
    """Record spans in this process until the end of the block. `ratio`: the share of traces that is recorded."""
    global _recorder, _ratio
    before = _recorder, _ratio
    _recorder, _ratio = recorder, ratio
    try:
        yield
    finally:
        _recorder, _ratio = before
        recorder.close()


@contextmanager
def exported(service: str, settings: ServiceSettings) -> Iterator[None]:
    """Record and export spans as the settings say; without an endpoint, none."""
    if settings.traces_endpoint is None:
        yield
        return
    from services.common.span_recorder import SpanRecorder, otlp  # noqa: PLC0415 (only where it is used)

    with recording(SpanRecorder(service, otlp(settings.traces_endpoint)), settings.traces_ratio):
        yield


def enabled() -> bool:
    """Whether spans are recorded at all."""
    return _recorder is not None


def current() -> Span:
    """The step that the running task is in."""
    return _CURRENT.get()


def child(name: str, kind: Kind = "internal") -> Span:
    """A step of the current step."""
    return _CURRENT.get().child(name, kind)


def begin(name: str, kind: Kind = "internal", *, always: bool = False) -> Span:
    """Begin a trace; a share of them is recorded, or `always`."""
    if _recorder is None or not (always or random.random() < _ratio):
        return NOT_RECORDED
    return _recorder.root(name, kind)


def continued(name: str, traceparent: str | bytes | None, kind: Kind = "internal") -> Span:
    """A step under a step of another process. `traceparent` is input: what is not valid is ignored."""
    if _recorder is None or traceparent is None:
        return NOT_RECORDED
    text = traceparent.decode("ascii", "replace") if isinstance(traceparent, bytes) else traceparent
    return _recorder.continued(name, text, kind) or NOT_RECORDED


def traceparent_of(headers: Iterable[tuple[str, bytes | None]]) -> bytes | None:
    """The header of a Kafka record."""
    return next((value for name, value in islice(headers, _HEADERS_READ) if name == HEADER), None)


def sampled(count: int) -> Iterator[int]:
    """Those of the positions below `count` with which a trace begins. Takes time only for what is sampled."""
    if _recorder is None or not _ratio:
        return
    # The distance to the next of independent draws has a geometric distribution.
    log_missed = math.log1p(-_ratio) if _ratio < 1 else -math.inf
    position = int(math.log1p(-random.random()) / log_missed)
    while position < count:
        yield position
        position += 1 + int(math.log1p(-random.random()) / log_missed)
