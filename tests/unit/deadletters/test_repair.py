"""Repairing dead letters: a person's function, the contract's verdict, and events under the identity of a replay."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from services.common.dead_letters import FileOrigin, RecordOrigin
from services.deadletters.dead_letter import Event, Letter
from services.deadletters.formatting import outcome_lines
from services.deadletters.repair import Accepted, BadRepairs, Outcome, Refused, as_is, judge, load_repairs, mend
from services.deadletters.replay import check_events

NOW = 1_700_000_000_000
ROW = b"1970-01-01 00:33:40 UTC,22,33,44,a.b,acme,1.50,66"
LETTER = Letter(FileOrigin("kz.csv", 17), "bad_time", "why", 0, "producer", ROW)


def at_noon(event: Event, letter: Letter) -> Event | None:
    return event | {"event_time": "2020-11-21 12:00:00 UTC"}


def test_a_repaired_row_is_an_event_under_the_identity_of_its_replay() -> None:
    mended = mend(LETTER, at_noon, NOW)
    assert isinstance(mended, Accepted)
    assert json.loads(mended.value) == {
        "event_time": "2020-11-21 12:00:00 UTC",
        "order_id": "22",
        "product_id": "33",
        "category_id": "44",
        "category_code": "a.b",
        "brand": "acme",
        "price": "1.50",
        "user_id": "66",
        "event_id": "kz.csv:17:replay",
        "replay_of": "kz.csv:17",
    }
    assert (mended.purchase.revenue, mended.purchase.replay_of) == (150, "kz.csv:17")


def test_what_is_still_wrong_says_why() -> None:
    refused = mend(LETTER, as_is, NOW)
    assert isinstance(refused, Refused)
    assert refused.reason == "bad_time"


def test_a_letter_may_be_left_out() -> None:
    assert mend(LETTER, lambda _event, _letter: None, NOW) is None


def raising(event: Event, letter: Letter) -> Event:
    raise KeyError("price_list")


@pytest.mark.parametrize(
    ("repair", "told"),
    [
        (raising, "repair() raised KeyError: 'price_list'"),
        (lambda event, _: "an event", "repair() returned str"),
        (lambda event, _: event | {"price": 1.5}, "price must be text, int or Decimal: a float is not exact"),
        (lambda event, _: event | {"price": {1}}, "set is no JSON"),
        (lambda event, _: event | {"brand": "\ud800"}, "no JSON"),
    ],
)
def test_a_repair_that_fails_is_told_and_ends_nothing(repair: Any, told: str) -> None:
    refused = mend(LETTER, repair, NOW)
    assert isinstance(refused, Refused)
    assert refused.reason == "repair_failed"
    assert told in refused.detail


def test_a_decimal_keeps_its_digits() -> None:
    mended = mend(LETTER, lambda event, _: at_noon(event, LETTER) | {"price": Decimal("0.10") * 3}, NOW)  # type: ignore[operator]
    assert isinstance(mended, Accepted)
    assert mended.purchase.price == 30


def test_an_id_that_came_as_a_number_can_be_made_text() -> None:
    value = b'{"event_time":"2020-11-21T12:00:00Z","order_id":1515915625441993984,"product_id":"33","price":1.10}'
    letter = Letter(RecordOrigin("purchases", 1, 9), "bad_id", "why", 0, "aggregator", value)
    mended = mend(letter, lambda event, _: event | {"order_id": str(event["order_id"])}, NOW)
    assert isinstance(mended, Accepted)
    assert (mended.purchase.order_id, mended.purchase.price) == ("1515915625441993984", 110)
    assert mended.purchase.event_id == "purchases/1/9:replay"


def test_an_event_without_origin_is_not_sent() -> None:
    mended = mend(LETTER, at_noon, NOW)
    assert isinstance(mended, Accepted)
    refused = judge(mended.value.replace(b"replay_of", b"other"), NOW)
    assert isinstance(refused, Refused)
    assert refused.reason == "no_origin"


def test_a_file_of_events_is_judged_line_by_line(tmp_path: Path) -> None:
    mended = mend(LETTER, at_noon, NOW)
    assert isinstance(mended, Accepted)
    file = tmp_path / "repaired.jsonl"
    file.write_bytes(b"\n".join([mended.value, b"", b"{", mended.value.replace(b"1.50", b"1.505")]) + b"\n")
    outcome = check_events(file, NOW)
    assert (outcome.accepted, outcome.worth, dict(outcome.refused)) == (1, 150, {"not_json": 1, "bad_price": 1})
    assert outcome.faults["bad_price"][0].startswith("repaired.jsonl line 4  price '1.505'")


def test_the_outcome_in_words() -> None:
    outcome = Outcome()
    for repair in (at_noon, at_noon, at_noon, at_noon, as_is, lambda _event, _letter: None):
        outcome.add(LETTER, mend(LETTER, repair, NOW))
    lines = list(outcome_lines(outcome))
    assert lines[0] == "6 in all: 4 valid worth 6.00, 1 still wrong, 1 left out"
    assert lines[1] == "  kz.csv:17  event_time '1970-01-01 00:33:40 UTC' → '2020-11-21 12:00:00 UTC'"
    assert lines[4:6] == ["  and 1 more", "still wrong, bad_time: 1"]


def test_a_file_of_repairs_is_loaded(tmp_path: Path) -> None:
    file = tmp_path / "repairs.py"
    file.write_text("def repair(event, letter):\n    return {**event, 'brand': letter.name}\n")
    assert load_repairs(file)({"a": "1"}, LETTER) == {"a": "1", "brand": "kz.csv:17"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is no Python file"),
        ("x = 1", "has no function"),
        ("def repair(", "SyntaxError"),
        ("1 / 0", "ZeroDivision"),
    ],
)
def test_a_file_without_repairs_is_refused(tmp_path: Path, content: str | None, message: str) -> None:
    file = tmp_path / "repairs.py"
    if content is not None:
        file.write_text(content)
    with pytest.raises(BadRepairs, match=message):
        load_repairs(file)
