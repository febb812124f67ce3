"""Spans in OpenTelemetry's SDK. Imported only where traces are on."""

import logging

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import Span as OtelSpan
from opentelemetry.trace import (
    SpanKind,
    Status,
    StatusCode,
    Tracer,
    format_span_id,
    format_trace_id,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from services.common.tracing import HEADER, Kind, Span
from services.common.version import running_version

_TRACEPARENT_LENGTH = 55
# A service has ten seconds to stop. What waits is exported in one call, and one may be under way.
_EXPORT_TIMEOUT_S = 2.0
_SPANS_KEPT = 2048
_propagator = TraceContextTextMapPropagator()


def otlp(endpoint: str) -> SpanProcessor:
    """Exports to a collector in the background. While that is away, spans are dropped and nothing waits."""
    logging.getLogger("opentelemetry").setLevel(logging.ERROR)  # one line for a failed export, not one an attempt
    exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces", timeout=_EXPORT_TIMEOUT_S)
    return BatchSpanProcessor(exporter, max_queue_size=_SPANS_KEPT, max_export_batch_size=_SPANS_KEPT)


class SpanRecorder:
    """Gives spans to a processor. The provider is not OpenTelemetry's global one: no library adds spans of its own."""

    def __init__(self, service: str, processor: SpanProcessor) -> None:
        version = running_version().number
        resource = Resource.create({"service.name": f"tillstream-{service}", "service.version": version})
        self._provider = TracerProvider(ALWAYS_ON, resource, shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("tillstream", version)

    def root(self, name: str, kind: Kind) -> Span:
        """The first span of a new trace."""
        return _Recorded(self._tracer, name, kind, Context())

    def continued(self, name: str, traceparent: str, kind: Kind) -> Span | None:
        """A span under one of another process; None where `traceparent` is invalid or not sampled."""
        if len(traceparent) != _TRACEPARENT_LENGTH:
            return None
        parent = _propagator.extract({HEADER: traceparent}, Context())
        found = get_current_span(parent).get_span_context()
        return _Recorded(self._tracer, name, kind, parent) if found.is_valid and found.trace_flags.sampled else None

    def close(self) -> None:
        """Export what is left."""
        self._provider.shutdown()


class _Recorded(Span):
    __slots__ = ("_span", "_tracer")

    def __init__(self, tracer: Tracer, name: str, kind: Kind, parent: Context) -> None:
        self._tracer = tracer
        self._span: OtelSpan = tracer.start_span(name, parent, SpanKind[kind.upper()])

    @property
    def traceparent(self) -> str | None:
        carrier: dict[str, str] = {}
        _propagator.inject(carrier, set_span_in_context(self._span, Context()))
        return carrier.get(HEADER)

    @property
    def exemplar(self) -> dict[str, str] | None:
        context = self._span.get_span_context()
        return {"trace_id": format_trace_id(context.trace_id), "span_id": format_span_id(context.span_id)}

    def child(self, name: str, kind: Kind = "internal") -> Span:
        return _Recorded(self._tracer, name, kind, set_span_in_context(self._span, Context()))

    def rename(self, name: str) -> None:
        self._span.update_name(name)

    def set(self, attribute: str, value: str | int) -> None:
        self._span.set_attribute(attribute, value)

    def fail(self, reason: str) -> None:
        if self._span.is_recording():
            self._span.set_status(Status(StatusCode.ERROR, reason))

    def end(self) -> None:
        if self._span.is_recording():
            self._span.end()
