"""Spans of this process, kept in memory by OpenTelemetry's own exporter."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import format_trace_id

from services.common import tracing
from services.common.span_recorder import SpanRecorder

Edge = tuple[str | None, str]


def in_order(edges: Iterable[Edge]) -> list[Edge]:
    """The edges in the order of `Spans.edges`."""
    return sorted(edges, key=lambda edge: (edge[0] or "", edge[1]))


class Spans:
    """What has ended so far."""

    def __init__(self, exporter: InMemorySpanExporter) -> None:
        self._exporter = exporter

    @property
    def ended(self) -> tuple[ReadableSpan, ...]:
        """In the order of their ends."""
        return self._exporter.get_finished_spans()

    def edges(self) -> list[Edge]:
        """Parent → child by name, in order; None for the parent of a trace's first span."""
        names = {span.context.span_id: span.name for span in self.ended}
        return in_order((names[span.parent.span_id] if span.parent else None, span.name) for span in self.ended)

    def traces(self) -> int:
        """How many traces the spans belong to."""
        return len(self.trace_ids())

    def trace_ids(self) -> set[str]:
        """As headers and exemplars write them."""
        return {format_trace_id(span.context.trace_id) for span in self.ended}

    def named(self, name: str) -> ReadableSpan:
        """The only span of this name."""
        (found,) = (span for span in self.ended if span.name == name)
        return found


@contextmanager
def recorded(ratio: float = 1.0) -> Iterator[Spans]:
    """Record traces within the block."""
    exporter = InMemorySpanExporter()
    with tracing.recording(SpanRecorder("test", SimpleSpanProcessor(exporter)), ratio):
        yield Spans(exporter)
