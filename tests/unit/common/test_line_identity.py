"""The tokens of a line: what makes two lines the same, and what does not."""

from itertools import combinations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from services.common.events import Purchase, Reason
from services.common.line_identity import TOKEN_BYTES, LineVerdict, OrderLines, line_token, line_tokens, replay_token

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


def test_a_line_is_known_by_any_of_its_tokens() -> None:
    assert line_tokens(_with(event_id=None)) == ()
    assert line_tokens(LINE) == (line_token(LINE),)
    replay = _with(replay_of="kz.csv:17")
    assert line_tokens(replay) == (line_token(LINE), replay_token(replay))


def verdicts(*lines: tuple[str, str | None]) -> str:
    """Lines as (tokens, digest) → c(ounts), r(epeat) or o(rder changed), each."""
    order = OrderLines()
    return "".join(order.add(tuple(tokens), digest).value[0] for tokens, digest in lines)


def test_a_line_counts_once_and_one_without_tokens_each_time() -> None:
    assert verdicts(("a", None), ("b", None), ("a", None), ("", None), ("", None)) == "ccrcc"
    assert verdicts(("ax", None), ("bx", None), ("a", None), ("b", None)) == "crrc", "a repeat leaves nothing"


def test_another_digest_refuses_lines_that_the_order_does_not_have() -> None:
    assert verdicts(("a", "1"), ("b", "1"), ("a", "2"), ("b", "2"), ("c", "2")) == "ccrro"
    assert verdicts(("a", "1"), ("c", "2"), ("c", None), ("c", "2")) == "cocr", "a person accepts it by a replay"
    assert verdicts(("a", None), ("b", "1"), ("c", "2"), ("d", "1")) == "ccoc"
    assert verdicts(("a", None), ("a", "1"), ("b", "2")) == "crc", "only a line that counts leaves a digest"


def test_verdicts_are_named_as_dead_letters_are() -> None:
    assert LineVerdict.ORDER_CHANGED.value == Reason.ORDER_CHANGED.value
