"""A row that is not above its source's highest is a repeat."""

from services.common.row_watermarks import RowWatermarks


def test_rows_rise_within_a_source() -> None:
    rows = RowWatermarks()
    asked = [("a", 0), ("a", 0), ("a", 5), ("b", 2), ("a", 4), ("a", 6)]
    assert [rows.advance(*each) for each in asked] == [True, False, True, True, False, True]
    assert rows.moved == {"a": 6, "b": 2}


def test_stored_watermarks_count_and_stay_as_they_are() -> None:
    stored = {"a": 7, "b": 1}
    rows = RowWatermarks(stored)
    assert [rows.advance("a", row) for row in (6, 7, 8, 8)] == [False, False, True, False]
    assert rows.moved == {"a": 8}, "only what has moved"
    assert stored == {"a": 7, "b": 1}
