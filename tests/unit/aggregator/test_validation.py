"""Which records are valid."""

from services.aggregator.validation import validate
from services.common.canary import encode_canary
from services.common.events import Reason
from tests.support.records import FakeRecord, purchase_record


def test_validation_separates_lines_from_rejected_records_and_keeps_the_order() -> None:
    lines, rejected = validate([purchase_record(5), FakeRecord(6, b"{"), purchase_record(8)])
    assert [line.offset for line in lines] == [5, 8]
    assert [(each.record.offset, each.rejection.reason) for each in rejected] == [(6, Reason.NOT_JSON)]


def test_a_canary_is_neither_a_line_nor_a_dead_letter() -> None:
    canary = FakeRecord(6, encode_canary("c"))
    lines, rejected = validate([purchase_record(5), canary, purchase_record(8)])
    assert ([line.offset for line in lines], rejected) == ([5, 8], [])
