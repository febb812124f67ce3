"""The traced records of a chunk: what their sender began ends here, in Redis."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

from aiokafka import TopicPartition

from services.aggregator.validation import Record
from services.common import tracing
from services.common.tracing import NOT_RECORDED, Span

# Headers are input: a sender that marks every record must not make the aggregator busy with spans.
TRACED_RECORDS_A_CHUNK = 16


class ChunkTrace:
    """The open spans of a chunk's records, by offset. A chunk that is not applied leaves none."""

    def __init__(self, spans: Mapping[int, Span]) -> None:
        self._spans = spans
        self.traceparents = {offset: span.traceparent for offset, span in spans.items() if span.traceparent}

    @contextmanager
    def script_call(self) -> Iterator[None]:
        """One call of the script, as a step of each record."""
        with ExitStack() as stack:
            for span in self._spans.values():
                stack.enter_context(span.child("apply.lua", "client")).set("db.system.name", "redis")
            yield

    def end(self) -> None:
        """The chunk is applied."""
        for span in self._spans.values():
            span.end()


UNTRACED = ChunkTrace({})


def trace_chunk(partition: TopicPartition, records: Sequence[Record]) -> ChunkTrace:
    """Continue the traces that the first traced records name."""
    if not tracing.enabled():
        return UNTRACED
    spans: dict[int, Span] = {}
    for record in records:
        if record.headers and (span := _continued(partition, record)) is not NOT_RECORDED:
            spans[record.offset] = span
            if len(spans) == TRACED_RECORDS_A_CHUNK:
                break
    return ChunkTrace(spans) if spans else UNTRACED


def _continued(partition: TopicPartition, record: Record) -> Span:
    traceparent = tracing.traceparent_of(record.headers)
    span = tracing.continued(f"process {partition.topic}", traceparent, "consumer")
    span.set("messaging.system", "kafka")
    span.set("messaging.destination.partition.id", str(partition.partition))
    span.set("messaging.kafka.offset", record.offset)
    return span
