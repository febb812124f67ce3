"""The pure half of the gateway: sums over shards, rankings, lag, buckets, cursors, popular picks."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from services.common.calendar import bucket_time, periods
from services.common.tables import Figures, Granularity, ProductFacts
from services.gateway.queries.buckets import Range
from services.gateway.queries.entities import Product
from services.gateway.queries.figures import (
    applied_offsets,
    by_revenue,
    figures_sum,
    lag,
    merge_ranked,
    present_of,
    share,
    totals_of,
)
from services.gateway.stream.ticker import cursor_text, parse_cursor
from services.gateway.upstreams.bestsellers import top_k
from services.gateway.upstreams.recommender_client import Filters


def ms(*moment: int) -> int:
    return int(datetime(*moment, tzinfo=UTC).timestamp() * 1000)  # type: ignore[arg-type,misc]


def test_totals_add_up_and_ranges_widen() -> None:
    totals = totals_of(
        [
            {"revenue": "100", "quantity": "-1", "events": "2", "first_event": "5", "last_event": "9", "orders": "1"},
            {"revenue": "-250", "quantity": "3", "events": "1", "first_event": "3", "last_event": "4", "buyers": "2"},
            {},
        ]
    )
    assert (totals.revenue, totals.quantity, totals.orders, totals.buyers, totals.events) == (-150, 2, 1, 2, 3)
    assert (totals.first_event, totals.last_event) == (3, 9)
    assert (totals.freshness_ms, totals.minute_floor) == (None, None)


def test_freshness_is_that_of_the_shard_applied_last() -> None:
    shards = [{"applied_at": "200", "freshness_ms": "7"}, {"applied_at": "100", "freshness_ms": "900"}]
    assert totals_of(shards).freshness_ms == 7


@pytest.mark.parametrize(("measured", "shown"), [("7", 7), ("0", 0), ("-400", 0), ("-15000", None)])
def test_freshness_is_unknown_where_clocks_contradict_each_other(measured: str, shown: int | None) -> None:
    assert totals_of([{"applied_at": "200", "freshness_ms": measured}]).freshness_ms == shown


def test_the_highest_minute_floor_counts() -> None:
    assert totals_of([{"minute_floor": "60"}, {"minute_floor": "120"}]).minute_floor == 120


def test_money_beyond_two_to_the_53_stays_exact() -> None:
    huge = 2**53
    assert figures_sum([f"{huge} 1 1", "1 0 0", None]) == Figures(huge + 1, 1, 1)


def test_rankings_go_by_revenue_then_by_the_ids_bytes() -> None:
    entries = {"é": Figures(5), "z": Figures(5), "a": Figures(-1), "b": Figures(9)}
    assert [entry for entry, _figures in by_revenue(entries)] == ["b", "z", "é", "a"]
    shards = [[("b", -9.0), ("é", -5.0)], [("z", -5.0), ("a", 1.0)]]
    assert merge_ranked(shards, 3) == ["b", "z", "é"]


def test_share_of_nothing_is_none() -> None:
    assert share(5, 0) is None
    assert share(-5, -10) == 0.5
    assert share(0, 7) == 0.0


@pytest.mark.parametrize(
    ("marks", "expected"),
    [
        ([{}], 100 + 20),  # nothing applied: all that the log still holds
        ([{"t/0": "150", "t/1": "20"}], 50),
        ([{"t/0": "200", "t/1": "20"}, {"t/0": "190", "t/1": "20"}], 10),  # the lowest shard counts
        ([{"t/0": "200", "t/1": "20"}, {}], 120),
        ([{"t/0": "201", "t/1": "20"}], 0),  # applied since the ends were asked for
        ([{"u/0": "200"}], 120),
    ],
)
def test_lag(marks: list[dict[str, str]], expected: int) -> None:
    offsets = {0: (100, 200), 1: (0, 20)}
    assert lag(applied_offsets(marks, "t", offsets), offsets) == expected


@pytest.mark.parametrize(
    ("granularity", "expected"),
    [
        ("month", ["all"]),
        ("day", ["2020", "2019"]),
        ("hour", ["2020-02", "2020-01", "2019-12"]),
        ("minute", ["2020-02-01", "2020-01-31"]),
    ],
)
def test_periods_newest_first(granularity: Granularity, expected: list[str]) -> None:
    first = ms(2020, 1, 31) if granularity == "minute" else ms(2019, 12, 31, 23)
    assert list(periods(granularity, ZoneInfo("UTC"), first, ms(2020, 2, 1, 10))) == expected


def test_periods_follow_the_zone() -> None:
    assert list(periods("day", ZoneInfo("Europe/Berlin"), ms(2019, 12, 31, 23), ms(2020, 1, 1))) == ["2020"]


@pytest.mark.parametrize("granularity", ["month", "hour", "minute"])
def test_an_empty_range_has_no_periods(granularity: Granularity) -> None:
    assert list(periods(granularity, ZoneInfo("UTC"), ms(2020, 3, 2), ms(2020, 1, 1))) == []


def test_a_range_holds_its_start_and_not_its_end() -> None:
    wanted = Range(60_000, 120_000)
    assert [wanted.holds(second) for second in (59, 60, 119, 120)] == [False, True, True, False]
    assert wanted.within(0, 200_000) == (60_000, 119_999)
    assert Range().within(5, 7) == (5, 7)


def test_bucket_times_carry_the_zones_offset() -> None:
    summer = int(datetime(2020, 6, 30, 22, tzinfo=UTC).timestamp())
    assert bucket_time(summer, ZoneInfo("Europe/Berlin")) == "2020-07-01T00:00:00+02:00"
    assert bucket_time(summer, ZoneInfo("UTC")) == "2020-06-30T22:00:00Z"


@pytest.mark.parametrize("text", ["", "x", "1", "1-", "-1", "1-0_2-0", "1-0_", "1-0\n", "²-0", "9" * 50 + "-0", None])
def test_cursors_that_are_none_of_ours(text: str | None) -> None:
    assert parse_cursor(text, shards=1) is None


def test_cursors_round_trip() -> None:
    cursor = ((1587729039000, 0), (7, 12))
    assert parse_cursor(cursor_text(cursor), shards=2) == cursor


def product(product_id: str, category: str | None = None, brand: str | None = None, price: int = 100) -> Product:
    return Product(product_id, Figures(1, 1, 1), ProductFacts(None, None, category, brand, price, 0))


SHELF = [
    (product("a", "electronics.audio", "sony", 500), 0.5),
    (product("b", "electronics", "lg", 100), 0.3),
    (product("c", "electronicsx", None, 100), 0.1),
    (product("d", None, "sony", 99), 0.05),
    (Product("e", Figures(), None), 0.0),
]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (Filters(), "abcde"),
        (Filters(category="electronics"), "ab"),
        (Filters(category="unknown"), "d"),
        (Filters(brand="sony"), "ad"),
        (Filters(brand="unknown"), "c"),
        (Filters(min_price=100), "abc"),
        (Filters(min_price=100, max_price=100), "bc"),
        (Filters(category="electronics.audio", brand="lg"), ""),
        (Filters(exclude_product_ids=["a", "e"]), "bcd"),
    ],
)
def test_picks_pass_every_filter(filters: Filters, expected: str) -> None:
    assert "".join(entry[0].product_id for entry in top_k(SHELF, 9, filters, ())) == expected


def test_picks_leave_out_and_stop_at_k() -> None:
    assert [entry[0].product_id for entry in top_k(SHELF, 2, Filters(), {"a", "c"})] == ["b", "d"]


def test_one_event_of_another_year_moves_no_today() -> None:
    shop = [(f"purchases/0/{number}", 1_600_000_000_000.0 + number) for number in range(20)]
    odd = [("purchases/1/7", 1_700_000_000_000.0)]
    assert present_of([shop, odd], last_event=1_700_000_000_000) == 1_600_000_000_019
    assert present_of([[], []], last_event=5) == 5
    assert present_of([[]], last_event=None) is None
