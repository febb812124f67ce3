"""A row that is not above its source's highest is a repeat."""

from services.common.row_watermarks import RecentRowWatermarks, RowWatermarks


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


def test_the_sources_that_moved_last_are_kept() -> None:
    rows = RecentRowWatermarks(2, {"oldest": 9, "old": 9, "new": 9})
    assert rows.advance("oldest", 9), "it was pushed out at the start"  # so `old` is pushed out now
    assert not rows.advance("new", 9)
    assert rows.advance("new", 10)
    assert rows.advance("another", 0)  # `oldest` moved before `new`
    assert not rows.advance("new", 10)
    assert rows.advance("oldest", 0)
