"""Comparing live and batch figures: which snapshot, which figures, and the text of a difference."""

from typing import Any

import msgspec
import pytest

from services.common.live_snapshot import BadSnapshot, LiveSnapshot, SnapshotTotals, decode, encode
from services.common.reconciliation import Reconciliation
from services.common.tables import Figures, LedgerEntry
from spark.figure_diff import (
    HOUR_MS,
    LISTED_PER_TABLE,
    Scope,
    ShopFigures,
    comparable_by_hours,
    comparable_by_offsets,
    compare,
    drift,
    in_words,
    join_partitions,
    list_differences,
    live_figures,
    reconciliation,
)

HOUR_S = 1_712_275_200  # 2024-04-05T00:00:00Z, 02:00 in Berlin
SNAPSHOT = LiveSnapshot(
    taken_at=(HOUR_S + 3 * 3600) * 1000 + 1,
    generation="1",
    topic="purchases",
    time_zone="Europe/Berlin",
    marks={0: 10, 1: 20},
    newest=HOUR_S * 1000 + 500,
    consistent=True,
    totals=SnapshotTotals(revenue=3000, quantity=3, events=3, orders=2, buyers=1),
    ledger={0: LedgerEntry(1000, 1, 1), 1: LedgerEntry(2000, 2, 2)},
    months={str(HOUR_S - 4 * 86_400): Figures(3000, 3, 2)},
    days={str(HOUR_S - 7200): Figures(3000, 3, 2)},
    hours={str(HOUR_S): Figures(1000, 1, 1), str(HOUR_S + 2 * 3600): Figures(2000, 2, 1)},
    categories={"a.b": Figures(3000, 3, 2)},
    brands={"unknown": Figures(3000, 3, 2)},
    dead_letters={"not_json": 4},
)


def changed(**fields: Any) -> LiveSnapshot:
    return msgspec.structs.replace(SNAPSHOT, **fields)


def compared(live: LiveSnapshot, batch: ShopFigures, basis: Any = "offsets") -> Reconciliation:
    return reconciliation(
        live_figures(live), batch, Scope(basis, live), version="v", checked_ms=HOUR_S * 1000, snapshot_key="key"
    )


def test_a_snapshot_comes_back_as_it_was() -> None:
    assert decode(encode(SNAPSHOT)) == SNAPSHOT


@pytest.mark.parametrize("body", [b"", b"{}", encode(SNAPSHOT)[:-9], encode(SNAPSHOT)[:40]])
def test_a_damaged_snapshot_is_refused(body: bytes) -> None:
    with pytest.raises(BadSnapshot):
        decode(body)


@pytest.mark.parametrize(
    ("offsets", "fits"),
    [({0: 10, 1: 20}, True), ({0: 11, 1: 99, 2: 5}, True), ({0: 10, 1: 19}, False), ({0: 10}, False), ({}, False)],
)
def test_the_archive_must_have_reached_every_mark(offsets: dict[int, int], fits: bool) -> None:
    assert (comparable_by_offsets([("key", SNAPSHOT)], offsets, "Europe/Berlin") is not None) == fits


def test_the_first_snapshot_that_fits_is_taken() -> None:
    too_new, other_zone, older = changed(marks={0: 11}), changed(time_zone="UTC"), changed(marks={0: 1})
    candidates = [("c", too_new), ("b", other_zone), ("a", SNAPSHOT), ("0", older)]
    assert comparable_by_offsets(candidates, {0: 10, 1: 20}, "Europe/Berlin") == ("a", SNAPSHOT)


def test_by_hours_something_must_have_arrived_since() -> None:
    assert comparable_by_hours([("key", SNAPSHOT)], SNAPSHOT.taken_at, "Europe/Berlin") is None
    assert comparable_by_hours([("key", SNAPSHOT)], SNAPSHOT.taken_at + 1, "Europe/Berlin") == ("key", SNAPSHOT)


def test_equal_figures_agree_on_every_figure() -> None:
    found = compared(SNAPSHOT, live_figures(SNAPSHOT))
    # 5 totals, 2 partitions of 3, and 6 buckets of 3.
    assert (found.status, found.compared, found.differing, found.differences) == ("agree", 5 + 6 + 18, 0, ())
    assert found.as_of == "2024-04-05T00:00:00.500Z"
    assert (found.drift.revenue, found.drift.orders) == ("0.00", 0)


def test_a_difference_names_its_place_in_the_shops_zone() -> None:
    batch = dict(live_figures(SNAPSHOT))
    batch["hour", str(HOUR_S)] = {"revenue": 999, "quantity": 1, "orders": 1}
    batch["partition", "1"] = {"revenue": 2000, "quantity": 2, "events": 3}
    batch["category", "new"] = {"revenue": 5, "quantity": 0, "orders": 0}
    del batch["brand", "unknown"]
    found = compared(SNAPSHOT, batch)
    assert [in_words(difference) for difference in found.differences] == [
        "partition purchases/1: events 2 live, 3 in the batch",
        "hour 2024-04-05T02:00:00+02:00: revenue 10.00 live, 9.99 in the batch",
        "category new: revenue 0.00 live, 0.05 in the batch",
        "brand unknown: revenue 30.00 live, 0.00 in the batch",
        "brand unknown: quantity 3 live, 0 in the batch",
        "brand unknown: orders 2 live, 0 in the batch",
    ]
    assert (found.status, found.differing) == ("differ", 6)
    assert found.drift.revenue == "0.00"


def test_drift_is_live_less_batch() -> None:
    batch = dict(live_figures(SNAPSHOT))
    batch["totals", ""] = {"revenue": 4250, "quantity": 1, "events": 4, "orders": 2, "buyers": 0}
    drift = compared(SNAPSHOT, batch).drift
    assert (drift.revenue, drift.quantity, drift.events, drift.orders, drift.buyers) == ("-12.50", 2, -1, 0, 1)


def test_where_shards_stood_apart_orders_and_buyers_are_left_out() -> None:
    apart = changed(consistent=False, totals=SnapshotTotals(3000, 3, 3, 99, 99))
    batch = {place: {**amounts, "orders": 7} for place, amounts in live_figures(SNAPSHOT).items()}
    found = compared(apart, batch)
    assert (found.status, found.drift.orders, found.drift.buyers) == ("agree", None, None)
    assert found.compared == 3 + 6 + 12


def test_by_hours_only_hours_that_were_over_are_compared() -> None:
    """Taken at 03:00:00.001: what ended by 02:00 is compared, although all else differs."""
    batch: ShopFigures = {
        ("hour", str(HOUR_S)): {"revenue": 1000, "quantity": 1, "orders": 1},
        ("month", "0"): {"revenue": 1},
    }
    found = compared(SNAPSHOT, batch, "hours")
    assert (found.status, found.compared, found.as_of) == ("agree", 3, "2024-04-05T02:00:00Z")
    assert (found.drift.revenue, found.drift.events, found.drift.orders) == ("0.00", None, None)
    later = compared(changed(taken_at=SNAPSHOT.taken_at + HOUR_MS), batch, "hours")
    assert (later.status, later.drift.revenue, later.drift.quantity) == ("differ", "20.00", 2)


def test_a_table_with_many_differences_hides_no_other() -> None:
    batch = dict(live_figures(SNAPSHOT))
    batch |= {("day", str(day * 86_400)): {"revenue": 1, "quantity": 0, "orders": 0} for day in range(500)}
    batch["brand", "x"] = {"revenue": 1, "quantity": 0, "orders": 0}
    found = compared(SNAPSHOT, batch)
    assert found.differing == 501
    assert [difference.table for difference in found.differences] == ["day"] * LISTED_PER_TABLE + ["brand"]
    assert len({difference.bucket for difference in found.differences[:LISTED_PER_TABLE]}) == LISTED_PER_TABLE


def test_nothing_and_zero_are_the_same() -> None:
    batch = dict(live_figures(SNAPSHOT))
    batch["hour", "0"] = {"revenue": 0, "quantity": 0, "orders": 0}
    assert compare(live_figures(SNAPSHOT), batch, Scope("offsets", SNAPSHOT))[1] == []


def test_partitions_that_share_a_line_are_compared_by_their_sum() -> None:
    figures: ShopFigures = {
        ("totals", ""): {"revenue": 60, "quantity": 3, "events": 3},
        **{
            ("partition", str(number)): {"revenue": 10 * number, "quantity": 1, "events": number}
            for number in (1, 2, 3, 10)
        },
    }
    joined = join_partitions(figures, [(10, 2), (3, 10)])
    assert joined == {
        ("totals", ""): figures["totals", ""],
        ("partition", "1"): figures["partition", "1"],
        ("partition", "2+3+10"): {"revenue": 150, "quantity": 3, "events": 15},
    }
    assert join_partitions(figures, []) == figures


def test_a_share_that_moved_between_linked_partitions_is_no_difference() -> None:
    moved = changed(ledger={0: LedgerEntry(2000, 2, 2), 1: LedgerEntry(1000, 1, 1)})
    scope = Scope("offsets", SNAPSHOT)
    live, batch = (join_partitions(live_figures(snapshot), [(0, 1)]) for snapshot in (moved, SNAPSHOT))
    assert compare(live, batch, scope)[1] == []
    lost = dict(batch)
    lost["partition", "0+1"] = {"revenue": 2999, "quantity": 3, "events": 3}
    (difference,) = list_differences(compare(live, lost, scope)[1], SNAPSHOT)
    assert in_words(difference) == "partition purchases/0+1: revenue 30.00 live, 29.99 in the batch"


def test_buyers_are_compared_where_both_lack_the_same_number_of_erased_customers() -> None:
    batch = dict(live_figures(SNAPSHOT))
    batch["totals", ""] = {**batch["totals", ""], "buyers": batch["totals", ""]["buyers"] - 1}
    compared, found = compare(live_figures(SNAPSHOT), batch, Scope("offsets", SNAPSHOT))
    assert [each.figure for each in found] == ["buyers"]
    scope = Scope("offsets", SNAPSHOT, erased=1)
    assert compare(live_figures(SNAPSHOT), batch, scope) == (compared - 1, [])
    assert drift(live_figures(SNAPSHOT), batch, scope).buyers is None
    both = msgspec.structs.replace(SNAPSHOT, erased=1)
    assert len(compare(live_figures(both), batch, Scope("offsets", both, erased=1))[1]) == 1
