"""What tracing costs where an event or a request goes through: `python -m bench.tracing [--rounds N]`.

Microseconds with traces off, and on with 1 % sampled, exported to nowhere: of one event in the producer's outbox and in
the aggregator's chunk, and of the steps of one request.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext

from aiokafka import TopicPartition
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter

from bench.hot_path import Record
from bench.machine import machine, table
from services.aggregator.chunk_trace import trace_chunk
from services.common import tracing
from services.common.span_recorder import SpanRecorder
from services.producer.outbox import Message, trace_some

EVENTS = 1000
RATIO = 0.01
_PARTITION = TopicPartition("purchases", 0)


def outbox() -> None:
    """As the producer hands over a thousand rows."""
    messages: list[Message] = [(b"key", b"value", [])] * EVENTS
    for span in trace_some("purchases", {0: messages}):
        span.end()


def chunk(records: Sequence[Record]) -> None:
    """As the aggregator applies a thousand records."""
    trace = trace_chunk(_PARTITION, records)
    with trace.script_call():
        pass
    trace.end()


def requests() -> None:
    """The steps of a thousand requests in gateway and recommender."""
    for _ in range(EVENTS):
        with tracing.begin("GET", "server") as request:
            with tracing.child("call", "client") as call:
                header = call.traceparent
            request.set("http.response.status_code", 200)
        with tracing.continued("answer", header, "server"):
            pass


def records_of(ratio: float) -> list[Record]:
    """A thousand records, a share of which has the header of a sampled trace."""
    header = [(tracing.HEADER, b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")]
    every = int(1 / ratio) if ratio else EVENTS + 1
    return [Record(offset, 0, b"", () if offset % every else header) for offset in range(1, EVENTS + 1)]


def microseconds(work: Callable[[], None], rounds: int) -> float:
    """CPU of one event or request: the median of the rounds."""
    taken = []
    for _ in range(rounds):
        begun = time.process_time()
        work()
        taken.append(time.process_time() - begun)
    return statistics.median(taken) / EVENTS * 1e6


def measured(rounds: int, ratio: float | None) -> list[float]:
    """Outbox, chunk and request, with traces off or on."""
    recorder = SpanRecorder("bench", SimpleSpanProcessor(SpanExporter()))
    records = records_of(ratio or 0)
    with nullcontext() if ratio is None else tracing.recording(recorder, ratio):
        return [microseconds(work, rounds) for work in (outbox, lambda: chunk(records), requests)]


def main(arguments: list[str] | None = None) -> int:
    """Measure as the command line says; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.tracing", description="The cost of tracing.")
    parser.add_argument("--rounds", type=int, default=300, metavar="N", help="rounds of 1,000 (300)")
    options = parser.parse_args(arguments)
    off, on = measured(options.rounds, None), measured(options.rounds, RATIO)
    names = ("an event in the producer", "an event in the aggregator", "a request's steps")
    print(f"\nTracing: µs of CPU, the median of {options.rounds} rounds of {EVENTS:,}, on {machine()}")
    print(
        table(
            [
                ("", "off", f"on, {RATIO:.0%} sampled"),
                *((name, f"{a:.3f}", f"{b:.3f}") for name, a, b in zip(names, off, on, strict=True)),
            ]
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
