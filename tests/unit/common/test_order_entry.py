"""The bytes of an order's entry."""

from hypothesis import given
from hypothesis import strategies as st

from services.common.order_entry import (
    MAX_LINES,
    EntryDay,
    OrderEntry,
    decode_entry,
    entity_token,
    leaf_token,
    level_token,
    one_minute_entry,
)

tokens = st.binary(min_size=8, max_size=8)
entities = st.binary(min_size=6, max_size=6)
minutes = st.integers(0, 2**32 - 1)
digests = st.none() | tokens


@given(digests, st.lists(tokens, max_size=MAX_LINES), st.sets(minutes, min_size=1, max_size=700), st.sets(entities))
def test_an_entry_comes_back(digest: bytes | None, lines: list[bytes], when: set[int], what: set[bytes]) -> None:
    decoded = decode_entry(OrderEntry(digest, lines, [EntryDay(dict.fromkeys(when), dict.fromkeys(what))]).encode())
    assert (decoded.digest, decoded.lines, decoded.members) == (digest, lines, None)
    assert {minute for day in decoded.days for minute in day.minutes} == when
    assert {entity for day in decoded.days for entity in day.entities} == what


def test_days_of_more_than_a_count_can_say_come_back() -> None:
    what = {number.to_bytes(6): None for number in range(600)}
    decoded = decode_entry(OrderEntry(None, [], [EntryDay({7: None}, what)]).encode())
    assert {entity for day in decoded.days for entity in day.entities} == set(what)
    assert [day.first_minute for day in decoded.days] == [7, 7, 7]


@given(digests, st.integers(0, 2**64 - 1))
def test_a_large_entry_comes_back(digest: bytes | None, members: int) -> None:
    assert decode_entry(OrderEntry(digest, members=members).encode()) == OrderEntry(digest, members=members)


@given(digests, st.lists(tokens, max_size=2), minutes, st.lists(entities, max_size=12, unique=True))
def test_the_entry_of_one_line_is_an_entry(
    digest: bytes | None, lines: list[bytes], minute: int, what: list[bytes]
) -> None:
    entry = OrderEntry(digest, lines, [EntryDay({minute: None}, dict.fromkeys(what))])
    assert one_minute_entry(digest, lines, minute, b"".join(what)) == entry.encode()


def test_a_leaf_stands_for_its_level_too() -> None:
    level = entity_token("category:a.b")
    leaf = leaf_token(level)
    assert leaf != level
    assert level_token(leaf) == level_token(level) == level
