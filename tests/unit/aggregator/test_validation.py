"""Which records are valid, and how an event id names a source and a row."""

import pytest

from services.aggregator.validation import validate
from services.common.events import Reason, source_row
from tests.support.records import FakeRecord, purchase_record


def test_validation_separates_lines_from_rejected_records_and_keeps_the_order() -> None:
    lines, rejected = validate([purchase_record(5), FakeRecord(6, b"{"), purchase_record(8)])
    assert [line.offset for line in lines] == [5, 8]
    assert [(each.record.offset, each.rejection.reason) for each in rejected] == [(6, Reason.NOT_JSON)]


@pytest.mark.parametrize(
    ("event_id", "expected"),
    [
        ("kz.csv:12", ("kz.csv", 12)),
        ("a:b:007", ("a:b", 7)),
        ("kz.csv", None),
        (":12", None),
        ("kz.csv:", None),
        ("kz.csv:-1", None),
        ("kz.csv:1.5", None),
        ("kz.csv:٣", None),
        ("kz.csv:" + "9" * 16, None),
    ],
)
def test_source_and_row(event_id: str, expected: tuple[str, int] | None) -> None:
    assert source_row(event_id) == expected
