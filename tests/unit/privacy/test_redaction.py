"""Lines of the archive without their customer: the same figures, the same verdicts, and no id."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.common.archive.lines import archive_line, read_line
from services.common.event_rules import DEFAULT_RULES
from services.common.events import Purchase, Rejected, parse
from services.privacy.found import single
from services.privacy.redaction import Redactor
from tests.support.records import NOW

USER = "1515915625441993984"
EVENT: dict[str, Any] = {
    "event_id": "1",
    "event_time": "2020-04-24T11:50:39.125Z",
    "order_id": "2294359932054536986",
    "product_id": "p",
    "user_id": USER,
    "category_code": "electronics.tablet",
    "price": "12.10",
}
REDACTOR = Redactor(single(USER), DEFAULT_RULES)


def reads_as(value: bytes | None) -> Purchase:
    parsed = parse(value, NOW)
    assert isinstance(parsed, Purchase)
    return parsed


money = st.integers(0, 10_000_00).map(lambda cents: f"{cents // 100}.{cents % 100:02d}")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.fixed_dictionaries(
        {"price": money},
        optional={
            "quantity": st.integers(-9, 9),
            "brand": st.text('aé"\\ ', max_size=5),
            "product_name": st.just("Größe „42“"),
            "event_id": st.text("ab:1", max_size=5),
            "order_digest": st.just("0123456789abcdef"),
            "category_id": st.just("42.0"),
            "email": st.just("somebody@example.org"),
        },
    )
)
def test_a_purchase_counts_as_before_without_its_customer(changes: dict[str, Any]) -> None:
    value = json.dumps(EVENT | changes).encode()
    before = reads_as(value)
    redacted = REDACTOR.value(value, NOW)
    assert redacted is not None
    assert USER.encode() not in redacted
    assert b"example.org" not in redacted
    before.user_id = None
    assert reads_as(redacted) == before
    assert REDACTOR.value(redacted, NOW) == redacted


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": "7.00", "quantity": 3},
        {"amount": "-7.00", "quantity": -2},
        {"price": "0", "quantity": 0, "amount": "1.10"},
        {"price": "-5.00"},
        {"user_id": f'="{USER}"'},
        {"user_id": f"{USER}", "replay_of": "a.csv:7"},
    ],
    ids=["total", "returned", "no pieces", "negative price", "spreadsheet", "replay"],
)
def test_each_spelling_of_money_and_id(changes: dict[str, Any]) -> None:
    value = json.dumps(EVENT | changes).encode()
    before = reads_as(value)
    assert before.user_id == USER
    before.user_id = None
    assert reads_as(REDACTOR.value(value, NOW)) == before


def test_a_short_row_that_has_the_customer_in_the_brand() -> None:
    value = json.dumps(
        EVENT | {"category_id": "", "category_code": "217.57", "brand": USER, "price": "", "user_id": ""}
    )
    before = reads_as(value.encode())
    assert before.user_id == USER
    before.user_id = None
    redacted = REDACTOR.value(value.encode(), NOW)
    assert redacted is not None
    assert USER.encode() not in redacted
    assert reads_as(redacted) == before


@pytest.mark.parametrize("user_id", ["1515915625441993985", "", None])
def test_others_lines_stay_byte_for_byte(user_id: str | None) -> None:
    value = json.dumps(EVENT | {"user_id": user_id, "referred_by": "x"}).encode()
    line = archive_line(1, 7, NOW, value).removesuffix(b"\n")
    assert REDACTOR.line(line, NOW) is line


@pytest.mark.parametrize(
    "value",
    [
        b"{",
        f"2020-04-24;{USER};12.00".encode(),
        json.dumps(EVENT | {"price": "none"}).encode(),
        json.dumps(EVENT | {"user_id": int(USER)}).encode(),
        json.dumps(EVENT | {"price": "x", "note": f"of {USER} by phone"}).encode(),
        f'{{"user_id":"{USER}"'.encode(),
        b"\xff " + USER.encode(),
        None,
    ],
    ids=["broken", "csv", "price", "number", "text", "open", "bytes", "none"],
)
def test_a_rejected_record_is_rejected_for_the_same_reason_and_names_nobody(value: bytes | None) -> None:
    before, redacted = parse(value, NOW), REDACTOR.value(value, NOW)
    after = parse(redacted, NOW)
    assert isinstance(before, Rejected)
    assert isinstance(after, Rejected)
    assert after.reason is before.reason
    assert USER.encode() not in (redacted or b"")


def test_a_short_id_is_no_quantity() -> None:
    redactor = Redactor(single("7"), DEFAULT_RULES)
    value = json.dumps(EVENT | {"user_id": "8", "quantity": 7, "price": "x"}).encode()
    assert redactor.value(value, NOW) == value
    assert b'"user_id": "9"' in (redactor.value(value.replace(b'"8"', b'"7"'), NOW) or b"")


def test_the_place_in_the_topic_stays() -> None:
    line = archive_line(3, 12, NOW, json.dumps(EVENT).encode()).removesuffix(b"\n")
    record = read_line(REDACTOR.line(line, 0))
    assert record[:3] == (3, 12, NOW)
    assert reads_as(record.value).user_id is None


def test_records_that_a_writer_joined_on_one_line() -> None:
    event = json.dumps(EVENT).encode()
    other = json.dumps(EVENT | {"user_id": "u2"}).encode()
    first, second = REDACTOR.line(event + other, NOW).split(b"\n")
    assert reads_as(first).user_id is None
    assert second == other
