"""The live tables' names: tags spread over a cluster, figures unpacked and added, periods."""

import operator
from collections import Counter
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.tables import (
    Figures,
    Granularity,
    Keys,
    parse_figures,
    period_of,
    shard_keys,
    shard_tags,
    slot_of,
    sum_figures,
)

SLOTS = 16384
FIGURES = st.builds(Figures, st.integers(-(2**62), 2**62), st.integers(-(2**40), 2**40), st.integers(0, 2**40))


@pytest.mark.parametrize(
    ("tag", "slot"),
    # The check value of CRC16/XMODEM, and examples of the Redis Cluster specification and documentation.
    [("123456789", 12739), ("foo", 12182), ("somekey", 11058), ("", 0)],
)
def test_slots_are_those_of_redis_cluster(tag: str, slot: int) -> None:
    assert slot_of(tag) == slot


@pytest.mark.parametrize("shards", [1, 2, 3, 5, 12, 16, 100, 1024])
def test_tags_spread_evenly_over_the_slots(shards: int) -> None:
    tags = shard_tags(shards)
    assert len(set(tags)) == shards
    # One tag in each share of the slots, in their order: whatever contiguous shares the nodes of a cluster hold.
    assert [slot_of(tag) * shards // SLOTS for tag in tags] == list(range(shards))


@pytest.mark.parametrize("nodes", [2, 3, 6])
def test_nodes_with_equal_shares_of_the_slots_hold_equally_many_shards(nodes: int) -> None:
    held = Counter(slot_of(tag) * nodes // SLOTS for tag in shard_tags(nodes * 4))
    assert held == dict.fromkeys(range(nodes), 4)


@pytest.mark.parametrize("shards", [0, -1, 1025])
def test_a_number_of_shards_out_of_range_is_refused(shards: int) -> None:
    with pytest.raises(ValueError, match=str(shards)):
        shard_tags(shards)


def test_all_keys_of_a_shard_share_its_tag_and_no_other() -> None:
    first, second = shard_keys(2)
    assert first("totals") == f"tillstream:1:{{{first.tag}}}:totals"
    assert first.tag != second.tag
    # Only the first braces hash: those of an id do not move its key.
    assert first("user:{42}").index("{") == first("totals").index("{")


def test_a_generation_has_tables_of_its_own() -> None:
    assert Keys("0", "1")("totals") != Keys("0", "2")("totals")


@given(FIGURES)
def test_packed_figures_are_unpacked(figures: Figures) -> None:
    packed = f"{figures.revenue} {figures.quantity} {figures.orders}"
    assert parse_figures(packed) == parse_figures(packed.encode()) == figures


@pytest.mark.parametrize("absent", [None, "", b""])
def test_no_entry_is_zeros(absent: str | bytes | None) -> None:
    assert parse_figures(absent) == Figures(0, 0, 0)


@pytest.mark.parametrize("broken", ["1", "1 2", "1 2 3 4", "1.5 2 3", "a b c"])
def test_an_entry_of_another_shape_is_an_error(broken: str) -> None:
    with pytest.raises(ValueError, match=r"unpack|invalid literal"):
        parse_figures(broken)


@given(FIGURES, FIGURES, FIGURES)
def test_shards_add_up_in_any_order(one: Figures, two: Figures, three: Figures) -> None:
    assert (one + two) + three == one + (two + three) == three + two + one
    assert one + Figures() == one
    assert (one + two).revenue == one.revenue + two.revenue


def test_figures_add_up_with_figures_alone() -> None:
    with pytest.raises(TypeError):
        operator.add(Figures(), (1, 2, 3))


@pytest.mark.parametrize(
    ("granularity", "period"),
    [("month", "all"), ("day", "2020"), ("hour", "2020-04"), ("minute", "2020-04-24")],
)
def test_a_bucket_is_in_its_period(granularity: Granularity, period: str) -> None:
    assert period_of(granularity, datetime(2020, 4, 24, 11, 50)) == period


def test_hashes_are_summed_by_entry() -> None:
    assert sum_figures([{"a": "1 2 3"}, {"a": "10 20 30", "b": "-5 0 1"}]) == {
        "a": Figures(11, 22, 33),
        "b": Figures(-5, 0, 1),
    }
    assert sum_figures([{"a": "1 2 3"}]) == {"a": Figures(1, 2, 3)}
    assert sum_figures([]) == {}
