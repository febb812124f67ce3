"""Repairing dead letters: a person's function, the contract's verdict, and events under the identity of a replay."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from services.common.dead_letters import FileOrigin, RecordOrigin
from services.common.event_rules import DEFAULT_RULES
from services.deadletters.dead_letter import DeadLetter, Event
from services.deadletters.formatting import summary_lines
from services.deadletters.repair import (
    BadRepairs,
    RepairSummary,
    StillInvalid,
    ValidEvent,
    apply_repair,
    as_is,
    load_repairs,
    validate,
)
from services.deadletters.replay import check_events

NOW = 1_700_000_000_000
ROW = b"1970-01-01 00:33:40 UTC,22,33,44,a.b,acme,1.50,66"
LETTER = DeadLetter(FileOrigin("kz.csv", 17), "bad_time", "why", 0, "producer", ROW)


def at_noon(event: Event, dead_letter: DeadLetter) -> Event | None:
    return event | {"event_time": "2020-11-21 12:00:00 UTC"}


def test_a_repaired_row_is_an_event_under_the_identity_of_its_replay() -> None:
    repaired = apply_repair(LETTER, at_noon, NOW)
    assert isinstance(repaired, ValidEvent)
    assert json.loads(repaired.value) == {
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
    assert (repaired.purchase.revenue, repaired.purchase.replay_of) == (150, "kz.csv:17")


def test_what_is_still_wrong_says_why() -> None:
    refused = apply_repair(LETTER, as_is, NOW)
    assert isinstance(refused, StillInvalid)
    assert refused.reason == "bad_time"


def test_a_dead_letter_may_be_left_out() -> None:
    assert apply_repair(LETTER, lambda _event, _dead_letter: None, NOW) is None


def raising(event: Event, dead_letter: DeadLetter) -> Event:
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
    refused = apply_repair(LETTER, repair, NOW)
    assert isinstance(refused, StillInvalid)
    assert refused.reason == "repair_failed"
    assert told in refused.detail


def test_a_decimal_keeps_its_digits() -> None:
    repaired = apply_repair(LETTER, lambda event, _: at_noon(event, LETTER) | {"price": Decimal("0.10") * 3}, NOW)  # type: ignore[operator]
    assert isinstance(repaired, ValidEvent)
    assert repaired.purchase.price == 30


def test_an_id_that_came_as_a_number_can_be_made_text() -> None:
    value = b'{"event_time":"2020-11-21T12:00:00Z","order_id":1515915625441993984,"product_id":"33","price":1.10}'
    dead_letter = DeadLetter(RecordOrigin("purchases", 1, 9), "bad_id", "why", 0, "aggregator", value)
    repaired = apply_repair(dead_letter, lambda event, _: event | {"order_id": str(event["order_id"])}, NOW)
    assert isinstance(repaired, ValidEvent)
    assert (repaired.purchase.order_id, repaired.purchase.price) == ("1515915625441993984", 110)
    assert repaired.purchase.event_id == "purchases/1/9:replay"


def test_an_event_without_origin_is_not_sent() -> None:
    repaired = apply_repair(LETTER, at_noon, NOW)
    assert isinstance(repaired, ValidEvent)
    refused = validate(repaired.value.replace(b"replay_of", b"other"), NOW)
    assert isinstance(refused, StillInvalid)
    assert refused.reason == "no_origin"


def test_a_file_of_events_is_judged_line_by_line(tmp_path: Path) -> None:
    repaired = apply_repair(LETTER, at_noon, NOW)
    assert isinstance(repaired, ValidEvent)
    file = tmp_path / "repaired.jsonl"
    file.write_bytes(b"\n".join([repaired.value, b"", b"{", repaired.value.replace(b"1.50", b"1.505")]) + b"\n")
    outcome = check_events(file, NOW, DEFAULT_RULES)
    assert (outcome.accepted, outcome.worth, dict(outcome.refused)) == (1, 150, {"not_json": 1, "bad_price": 1})
    assert outcome.faults["bad_price"][0].startswith("repaired.jsonl line 4  price '1.505'")


def test_the_outcome_in_words() -> None:
    outcome = RepairSummary()
    for repair in (at_noon, at_noon, at_noon, at_noon, as_is, lambda _event, _dead_letter: None):
        outcome.add(LETTER, apply_repair(LETTER, repair, NOW))
    lines = list(summary_lines(outcome))
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
