"""The tokens of a line: what makes two lines the same, and what does not."""

from itertools import combinations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from services.common.events import Purchase
from services.common.line_identity import TOKEN_BYTES, line_token, replay_token

LINE = Purchase("till-7:1", 1_587_729_039_000, "order", "product", "ann", None, None, None, None, 1250, 2, 2500)


def _with(**changes: object) -> Purchase:
    return msgspec.structs.replace(LINE, **changes)


def test_a_token_is_the_same_in_every_process() -> None:
    assert line_token(LINE) == bytes.fromhex("1ddae1833dbc4e41")
    assert replay_token(_with(replay_of="kz.csv:17")) == bytes.fromhex("dd556894b2fd5a57")


def test_each_part_of_the_identity_changes_the_token() -> None:
    lines = [LINE, _with(event_id="till-7:2"), _with(product_id="other"), _with(quantity=-2), _with(revenue=-2500)]
    tokens = [line_token(line) for line in lines]
    assert all(token is not None and len(token) == TOKEN_BYTES for token in tokens)
    assert all(one != other for one, other in combinations(tokens, 2))


def test_what_describes_a_line_does_not_change_its_token() -> None:
    described = _with(user_id=None, brand="acme", category_code="a.b", event_time=LINE.event_time + 1, price=1)
    assert line_token(described) == line_token(LINE), "first anonymous, then with its customer: the same line"


def test_a_line_without_an_event_id_has_no_token() -> None:
    assert line_token(_with(event_id=None)) is None
    assert replay_token(_with(event_id=None, replay_of="kz.csv:17")) is None
    assert replay_token(LINE) is None, "no replay"


def test_two_repairs_of_one_dead_letter_share_a_token() -> None:
    first, second = (_with(replay_of="kz.csv:17", revenue=revenue) for revenue in (1, 2))
    assert line_token(first) != line_token(second)
    assert replay_token(first) == replay_token(second) is not None
    assert replay_token(first) != line_token(first)


_ID = st.text("1:,-a", min_size=1, max_size=6)
_PART = st.tuples(_ID, _ID, st.integers(-20, 20), st.integers(-20, 20))


@given(_PART, _PART)
def test_parts_of_one_field_are_never_taken_for_another(
    one: tuple[str, str, int, int], other: tuple[str, str, int, int]
) -> None:
    tokens = [line_token(_with(event_id=e, product_id=p, quantity=q, revenue=r)) for e, p, q, r in (one, other)]
    assert (tokens[0] == tokens[1]) == (one == other)
