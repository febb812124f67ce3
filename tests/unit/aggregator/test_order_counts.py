"""Distinct orders over any number of batches: every counter counts each order once."""

import random

import pytest

from services.aggregator.fold import Fold, FoldContext
from services.aggregator.groups import GroupIndex
from services.aggregator.lines import AcceptedLine
from services.aggregator.order_counts import KnownOrder, known_names, member_of
from services.common import order_entry
from services.common.calendar import Calendar
from services.common.events import Purchase
from services.common.line_identity import line_tokens
from services.common.order_entry import decode_entry
from services.common.tables import Figures
from services.common.times import parse_time
from tests.support.live_tables import expected

CALENDAR = Calendar("UTC")
CONTEXT = FoldContext("purchases/0", home=0, shards=1, calendar=CALENDAR, minute_floor=2**40)
START_MS = parse_time("2026-03-30T22:00:00Z")


def random_line(dice: random.Random, number: int) -> Purchase:
    """Of few orders, products, customers and times, over the end of a month."""
    return Purchase(
        event_id=f"n{number}",
        event_time=START_MS + dice.choice((0, 1, 61, 3000, 4000, 90_000, 200_000)) * 1000,
        order_id=f"o{dice.randrange(6)}",
        product_id=f"p{dice.randrange(5)}",
        user_id=dice.choice((None, "u1", "u2")),
        category_id=None,
        category_code=dice.choice((None, "a", "a.b", "a.b.c", "a.d")),
        brand=dice.choice((None, "x", "y")),
        product_name=None,
        price=100,
        quantity=1,
        revenue=100,
    )


def apply_in_batches(lines: list[AcceptedLine], dice: random.Random) -> dict[str, dict[str, Figures]]:
    """What the tables hold after these lines in batches of a few; entries are kept as Redis keeps them."""
    entries: dict[str, bytes] = {}
    sets: dict[str, set[bytes]] = {}
    found: dict[str, dict[str, Figures]] = {}
    while lines:
        batch, lines = lines[: (size := dice.randrange(1, 12))], lines[size:]
        orders = {line.purchase.order_id: known(entries, sets, line.purchase.order_id) for line in batch}
        delta = Fold(batch, CONTEXT).whole(orders)
        for order, update in delta.orders.items():
            assert update.expected == entries.get(order)
            entries[order] = update.entry
            sets.setdefault(order, set()).update(update.members)
        groups = delta.groups
        for at, group in enumerate(groups.members):
            for position, (table, name) in enumerate(group.counters):
                counted = groups.orders[at] - groups.counted_before.get((at, position), 0)
                figures = Figures(groups.revenue[at], groups.quantity[at], counted)
                found.setdefault(table, {})[name] = found.get(table, {}).get(name, Figures()) + figures
    return found


def known(entries: dict[str, bytes], sets: dict[str, set[bytes]], order: str) -> KnownOrder:
    if order not in entries:
        return KnownOrder()
    entry = decode_entry(entries[order])
    return KnownOrder(
        entries[order], set(entry.lines), entry.digest, None if entry.members is None else frozenset(sets[order])
    )


@pytest.mark.parametrize("max_lines", [order_entry.MAX_LINES, 4])
@pytest.mark.parametrize("seed", range(40))
def test_every_counter_counts_each_order_once(seed: int, max_lines: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `max_lines` 4, entries become large on the way."""
    monkeypatch.setattr(order_entry, "MAX_LINES", max_lines)
    dice = random.Random(seed)
    purchases = [random_line(dice, number) for number in range(60)]
    lines = [AcceptedLine(n, each.event_time, each, line_tokens(each)) for n, each in enumerate(purchases)]
    assert apply_in_batches(lines, dice) == expected(purchases)


def test_an_entry_knows_the_counters_of_its_line() -> None:
    dice = random.Random(7)
    for number in range(50):
        line = random_line(dice, number)
        delta = Fold([AcceptedLine(0, 0, line, line_tokens(line))], CONTEXT).whole({line.order_id: KnownOrder()})
        index = GroupIndex(0, 1)
        touched = index.touch([line], CALENDAR, minute_floor=0)[0]
        entry = decode_entry(delta.orders[line.order_id].entry)
        assert entry.lines == list(line_tokens(line))
        assert {n for group in touched for n in index.groups.members[group].names} <= known_names(entry, CALENDAR)


def test_members_of_a_large_order_are_longer_than_line_tokens() -> None:
    assert len(member_of((b"123456", "total"))) > order_entry.TOKEN_BYTES
    assert len(member_of(("sales:day:2026", "0"))) > order_entry.TOKEN_BYTES


def test_one_line_of_a_usual_order_takes_few_bytes() -> None:
    line = random_line(random.Random(1), 1)
    line.category_code, line.user_id, line.brand = "a.b.c", "u", "x"
    line.order_digest = "0" * 16
    order = KnownOrder(digest=bytes(8))
    delta = Fold([AcceptedLine(0, 0, line, line_tokens(line))], CONTEXT).whole({line.order_id: order})
    assert len(delta.orders[line.order_id].entry) == 60
