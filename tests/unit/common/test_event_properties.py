"""What must hold of the validation for every event, and for any bytes: exact money, and one verdict everywhere."""

import ast
import json
import random
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.canary import Canary
from services.common.event_rules import DEFAULT_RULES
from services.common.events import EARLIEST_EVENT_MS, Purchase, Rejected, parse
from services.common.line_totals import DEFAULT_MAX_LINE_CENTS, MAX_QUANTITY
from services.common.money import MAX_UNIT_PRICE_CENTS, format_cents
from services.common.spellings import NO_VALUE, is_no_customer, is_rounded, unquoted, without_float
from services.common.times import format_time
from tests.fuzz.invariants import judge
from tests.fuzz.mutator import message

ROOT = Path(__file__).parents[3]
NOW = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp() * 1000)


def is_as_it_stands(identifier: str) -> bool:
    """Whether an id has no spelling that is read as another id, or as none."""
    read = unquoted(identifier)
    odd = is_rounded(read) or read in NO_VALUE or without_float(read) != read
    return read == identifier and not odd and not is_no_customer(identifier, DEFAULT_RULES.no_customer)


CLEAN = st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"])
IDS = st.text(CLEAN, min_size=1, max_size=128).filter(is_as_it_stands)
TEXTS = st.text(CLEAN, min_size=1, max_size=256).filter(lambda text: text not in NO_VALUE)
UNKNOWN = st.dictionaries(st.text(CLEAN, min_size=1), st.integers() | TEXTS)
LEVEL = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="."), min_size=1)
LEVELS = st.lists(LEVEL, min_size=1, max_size=8).filter(lambda levels: len(".".join(levels)) <= 256)


@st.composite
def purchases(draw: st.DrawFn) -> Purchase:
    """Any purchase that the contract allows."""
    event_id = draw(st.none() | IDS)
    quantity = draw(st.integers(-MAX_QUANTITY, MAX_QUANTITY))
    revenue = draw(st.integers(-DEFAULT_MAX_LINE_CENTS, DEFAULT_MAX_LINE_CENTS))
    return Purchase(
        event_id=event_id,
        event_time=draw(st.integers(EARLIEST_EVENT_MS, NOW)),
        order_id=draw(IDS),
        product_id=draw(IDS),
        user_id=draw(st.none() | IDS),
        category_id=draw(st.none() | IDS),
        category_code=draw(st.none() | LEVELS.map(".".join).filter(lambda code: code not in NO_VALUE)),
        brand=draw(st.none() | TEXTS),
        product_name=draw(st.none() | TEXTS),
        price=draw(st.integers(0, MAX_UNIT_PRICE_CENTS)),
        quantity=quantity if quantity * revenue >= 0 else -quantity,
        revenue=revenue,
        replay_of=draw(st.none() | IDS) if event_id else None,
    )


def event_of(purchase: Purchase) -> dict[str, Any]:
    """The event that says just this."""
    return msgspec.structs.asdict(purchase) | {
        "event_time": format_time(purchase.event_time),
        "price": format_cents(purchase.price),
        "amount": format_cents(purchase.revenue),
    }


@given(purchases(), st.booleans())
def test_a_purchase_sent_as_an_event_is_the_same_purchase(purchase: Purchase, ascii_only: bool) -> None:
    assert parse(json.dumps(event_of(purchase), ensure_ascii=ascii_only).encode(), NOW) == purchase


@given(purchases())
def test_numbers_count_as_their_text_does(purchase: Purchase) -> None:
    """An amount of the event may be a JSON number, whose digits are read as they stand."""
    event = event_of(purchase)
    for name in ("price", "amount"):
        text = json.dumps(event | {name: "@"}).replace('"@"', event[name])
        assert parse(text.encode(), NOW) == purchase


@given(purchases(), st.randoms(use_true_random=False), UNKNOWN)
def test_order_white_space_and_unknown_fields_do_not_matter(
    purchase: Purchase, random_: random.Random, unknown: dict[str, Any]
) -> None:
    event = event_of(purchase)
    members = list((unknown | event).items())
    random_.shuffle(members)
    text = json.dumps(dict(members), indent=random_.choice([None, 0, 1, "\t"]), separators=(" ,\r\n", " :\t"))
    assert parse(text.encode(), NOW) == purchase


@given(purchases(), st.binary(max_size=3), st.integers(0, 10_000))
def test_a_damaged_event_has_the_same_verdict_everywhere(purchase: Purchase, damage: bytes, place: int) -> None:
    text = json.dumps(event_of(purchase), ensure_ascii=False).encode()
    place %= len(text)
    judge(text[:place] + damage + text[place + 1 :], NOW)


@given(st.none() | st.binary(max_size=300))
def test_any_bytes_have_the_same_verdict_everywhere(value: bytes | None) -> None:
    """In the stream, in the batch job after the archive, at the intake, from a deep stack, the second time."""
    judge(value, NOW)


@given(st.integers(0, 2**30))
def test_any_mutated_message_has_the_same_verdict_everywhere(number: int) -> None:
    judge(message(0, number), NOW)


@given(purchases(), st.integers(0, 85), st.integers(1, 70))
def test_the_verdict_does_not_depend_on_the_callers_stack(purchase: Purchase, tens: int, levels: int) -> None:
    text = json.dumps(event_of(purchase))[:-1] + ', "x": ' + "[" * levels + "]" * levels + "}"

    def called(calls: int) -> Purchase | Rejected | Canary:
        return called(calls - 1) if calls else parse(text.encode(), NOW)

    assert called(tens * 7) == called(0)


# Where amounts are read, added up and packed.
MONEY = {
    "services/common/events.py": 0,
    "services/common/money.py": 0,
    "services/common/tables.py": 0,
    "services/common/archive/lines.py": 0,
    "services/producer/rows.py": 0,
    "services/aggregator/validation.py": 0,
    "services/aggregator/payload.py": 0,
    "services/aggregator/fold.py": 0,
    "spark/records.py": 0,
}


@pytest.mark.parametrize(("file", "divisions"), MONEY.items())
def test_no_float_where_money_is(file: str, divisions: int) -> None:
    """No float literal, no float(), no round(), and no division but those counted here."""
    nodes = list(ast.walk(ast.parse((ROOT / file).read_text())))
    assert sum(isinstance(node, ast.Div) for node in nodes) == divisions
    assert not [node for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, float)]
    assert not [node for node in nodes if isinstance(node, ast.Name) and node.id in ("float", "round", "Decimal")]


def test_the_scripts_in_redis_pack_money_as_whole_numbers() -> None:
    """Lua has doubles only: whole to 2^53, and only where they are written with %d or %.0f, never by tostring."""
    for script in (ROOT / "services/aggregator").glob("*.lua"):
        assert not re.search(r"tostring\(|%g|%e|%\.[1-9]", script.read_text()), script.name
