"""Which records of a chunk are traced, and what the ticker says of them."""

from dataclasses import replace

import msgspec
from aiokafka import TopicPartition

from services.aggregator.chunk_trace import TRACED_RECORDS_A_CHUNK, UNTRACED, trace_chunk
from services.aggregator.fold import Fold, FoldContext
from services.aggregator.validation import validate
from services.common import tracing
from services.common.calendar import Calendar
from services.common.tables import TickerLine
from tests.support.records import FakeRecord, purchase_record
from tests.support.spans import recorded

PARTITION = TopicPartition("purchases", 3)
CONTEXT = FoldContext("purchases/3", home=0, shards=1, calendar=Calendar("UTC"), minute_floor=2**40)


def marked(count: int) -> list[FakeRecord]:
    """Records with the header of a sender's step each."""
    return [
        replace(purchase_record(offset), headers=tracing.begin("send", "producer", always=True).headers)
        for offset in range(count)
    ]


def test_a_sender_that_marks_every_record_gets_only_some_traced() -> None:
    with recorded() as spans:
        trace = trace_chunk(PARTITION, marked(TRACED_RECORDS_A_CHUNK + 1))
        with trace.script_call():
            pass
        trace.end()
    assert sorted(trace.traceparents) == list(range(TRACED_RECORDS_A_CHUNK))
    assert len(spans.ended) == 2 * TRACED_RECORDS_A_CHUNK, "one for the record, one for the call"


def test_a_call_that_fails_is_a_failed_step_and_the_records_are_not_done() -> None:
    class Refused(Exception):
        pass

    with recorded() as spans:
        trace = trace_chunk(PARTITION, marked(1))
        try:
            with trace.script_call():
                raise Refused
        except Refused:
            pass
    assert [(span.name, span.status.description) for span in spans.ended] == [("apply.lua", "Refused")]


def test_records_without_a_valid_header_are_not_traced() -> None:
    records = [purchase_record(0), replace(purchase_record(1), headers=[("traceparent", b"00-x")])]
    with recorded():
        assert trace_chunk(PARTITION, records) is UNTRACED
        sent = marked(1)
    assert trace_chunk(PARTITION, sent) is UNTRACED, "traces are off"


def test_the_ticker_names_the_step_of_a_traced_line_alone() -> None:
    lines, _ = validate([purchase_record(0), purchase_record(1)])
    (delta,) = Fold(lines, replace(CONTEXT, traceparents={1: "00-trace"})).figures()
    untraced, traced = (msgspec.json.decode(line, type=TickerLine) for line in delta.ticker)
    assert (untraced.traceparent, traced.traceparent) == (None, "00-trace")
    assert "traceparent" not in delta.ticker[0]
    (plain,) = Fold(lines, CONTEXT).figures()
    assert replace(delta, ticker=[], groups=plain.groups) == replace(plain, ticker=[]), "no figure depends on it"
    assert (delta.groups.revenue, delta.groups.quantity) == (plain.groups.revenue, plain.groups.quantity)
