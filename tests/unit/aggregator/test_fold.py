"""Folding: counter groups, distinct orders, shards, and everything else in a delta."""

from collections import defaultdict
from dataclasses import replace

import pytest

from services.aggregator.fold import TICKER_LINES_A_BATCH, Fold, FoldContext, ShardDelta
from services.aggregator.groups import shard_of
from services.aggregator.lines import AcceptedLine
from services.aggregator.order_counts import KnownOrder
from services.common.calendar import Calendar
from services.common.events import Purchase
from services.common.line_identity import line_tokens
from services.common.tables import Figures
from services.common.times import parse_time
from tests.support.live_tables import expected

CONTEXT = FoldContext("purchases/0", home=0, shards=1, calendar=Calendar("UTC"), minute_floor=2**40)


def purchase(order: str, product: str = "p", at: str = "2020-04-24T11:50:39Z", **changes: object) -> Purchase:
    line = {
        "event_id": None,
        "event_time": parse_time(at),
        "order_id": order,
        "product_id": product,
        "user_id": None,
        "category_id": None,
        "category_code": None,
        "brand": None,
        "product_name": None,
        "price": 100,
        "quantity": 1,
        "revenue": 100,
    }
    return Purchase(**(line | changes))  # type: ignore[arg-type]


def lines(*purchases: Purchase) -> list[AcceptedLine]:
    return [
        AcceptedLine(offset, purchase.event_time + 5_000, purchase, line_tokens(purchase))
        for offset, purchase in enumerate(purchases)
    ]


def fold(folded: list[AcceptedLine], context: FoldContext) -> list[ShardDelta]:
    """All deltas of lines whose orders are new."""
    orders = {line.purchase.order_id: KnownOrder() for line in folded}
    whole = Fold(folded, context)
    if context.shards == 1:
        return [whole.whole(orders)]
    return [*whole.figures(), *(whole.orders_of(shard, orders) for shard in range(context.shards))]


def spread(deltas: list[ShardDelta]) -> dict[str, dict[str, Figures]]:
    """What the script makes of the deltas where nothing was there before."""
    found: defaultdict[str, defaultdict[str, Figures]] = defaultdict(lambda: defaultdict(Figures))
    for delta in deltas:
        groups = delta.groups
        for at, group in enumerate(groups.members):
            for position, (table, name) in enumerate(group.counters):
                orders = groups.orders[at] - groups.counted_before.get((at, position), 0)
                found[table][name] += Figures(groups.revenue[at], groups.quantity[at], orders)
    return {table: dict(fields) for table, fields in found.items()}


MIXED = [
    purchase("o1", category_code="a.b", brand="x", user_id="u1"),
    purchase("o1", "q", category_code="a.c", brand="x", user_id="u1", quantity=2, revenue=250),
    purchase("o2", at="2020-05-01T00:00:00Z", user_id="u2", revenue=-100, quantity=-1),
    purchase("o3", at="2020-04-24T11:59:59Z", category_code="a.b", brand="y"),
]


@pytest.mark.parametrize("shards", [1, 2, 5])
def test_counter_groups_expand_to_the_truth(shards: int) -> None:
    deltas = fold(lines(*MIXED), replace(CONTEXT, shards=shards, home=shards - 1))
    assert spread(deltas) == expected(MIXED)


def test_figures_and_orders_lie_in_the_shards_of_their_entities() -> None:
    deltas = fold(lines(*MIXED), replace(CONTEXT, shards=4, home=2))
    for shard, (delta, of_orders) in enumerate(zip(deltas[:4], deltas[4:], strict=True)):
        assert all(shard_of(order, 4) == shard for order in of_orders.orders)
        assert all(shard_of(product, 4) == shard for product in delta.products)
        assert all(shard_of(user, 4) == shard for user in delta.users)
    assert [delta.events for delta in deltas[:4]] == [0, 0, 4, 0]


def test_a_minute_counts_from_the_floor_on() -> None:
    minute = parse_time("2020-04-24T11:50:00Z") // 1000
    for floor, there in ((minute, True), (minute + 60, False)):
        tables = spread(fold(lines(MIXED[0]), replace(CONTEXT, minute_floor=floor)))
        assert ("sales:minute:2020-04-24" in tables) is there
        assert not there or tables["sales:minute:2020-04-24"] == {str(minute): Figures(100, 1, 1)}


def test_totals_lateness_and_arrivals() -> None:
    late = purchase("o", at="2020-04-24T11:50:39Z")
    (delta,) = fold(
        [AcceptedLine(0, late.event_time + late_ms, late, ()) for late_ms in (-3_600_000, 0, 1_000, 1_001, 10**10)],
        CONTEXT,
    )
    assert dict(delta.lateness) == {"1": 3, "10": 1, "inf": 1}
    assert sum(delta.arrivals.values()) == delta.events == delta.quantity == 5
    assert delta.first_event == delta.last_event == late.event_time


def test_the_newest_facts_of_a_product_win_whatever_the_order() -> None:
    old = purchase("o1", at="2020-01-01T00:00:00Z", price=100)
    new = purchase("o2", at="2020-06-01T00:00:00Z", price=200)
    for order in ((old, new), (new, old)):
        (delta,) = fold(lines(*order), CONTEXT)
        assert delta.products["p"].price == 200


def test_the_ticker_takes_the_newest_lines_only() -> None:
    (delta,) = fold(lines(*[purchase(f"o{n}") for n in range(TICKER_LINES_A_BATCH + 5)]), CONTEXT)
    assert len(delta.ticker) == TICKER_LINES_A_BATCH
    assert f'"o{TICKER_LINES_A_BATCH + 4}"' in delta.ticker[-1]


def test_nothing_folds_to_nothing() -> None:
    assert fold([], CONTEXT) == [ShardDelta()]
