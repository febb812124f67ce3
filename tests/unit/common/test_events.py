"""The purchase event: what is accepted, and every reason why something is not."""

import json
import time
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.canary import Canary
from services.common.event_rules import EventRules
from services.common.events import (
    EARLIEST_EVENT_MS,
    FUTURE_TOLERANCE_MS,
    MAX_RECORD_BYTES,
    Purchase,
    Reason,
    Rejected,
    parse,
)
from services.common.json_nesting import MAX_NESTING
from services.common.spellings import placeholders
from services.common.times import format_time, parse_time

NOW = 1_700_000_000_000
EVENT: dict[str, Any] = {
    "event_id": "kz.csv:1",
    "event_time": "2020-04-24 11:50:39 UTC",
    "order_id": "2294359932054536986",
    "product_id": "1515966223509089906",
    "category_id": "2268105426648170900",
    "category_code": "electronics.tablet",
    "brand": "samsung",
    "price": "162.01",
    "user_id": "1515915625441993984",
}
MINIMAL = {name: EVENT[name] for name in ("event_time", "order_id", "product_id", "price")}


def accepted(changes: dict[str, Any], base: dict[str, Any] = EVENT) -> Purchase:
    outcome = parse(json.dumps(base | changes).encode(), NOW)
    assert isinstance(outcome, Purchase), outcome
    return outcome


def rejected(value: bytes | None) -> Rejected:
    outcome = parse(value, NOW)
    assert isinstance(outcome, Rejected), outcome
    return outcome


def with_raw(field: str, literal: bytes) -> bytes:
    """The event with a field's value exactly so, as no JSON library would write it."""
    rest = json.dumps({name: value for name, value in EVENT.items() if name != field}).encode()
    return b'{"%s":%s,%s' % (field.encode(), literal, rest[1:])


def test_a_whole_event_is_a_purchase() -> None:
    assert accepted({"product_name": "Tab", "quantity": 2}) == Purchase(
        event_id="kz.csv:1",
        event_time=1_587_729_039_000,
        order_id="2294359932054536986",
        product_id="1515966223509089906",
        user_id="1515915625441993984",
        category_id="2268105426648170900",
        category_code="electronics.tablet",
        brand="samsung",
        product_name="Tab",
        price=16_201,
        quantity=2,
        revenue=32_402,
    )


def test_the_bare_eight_fields_are_a_purchase_of_one_piece() -> None:
    bare = {name: value for name, value in EVENT.items() if name != "event_id"}
    purchase = accepted({}, bare)
    assert (purchase.event_id, purchase.quantity, purchase.revenue) == (None, 1, 16_201)


def test_the_lines_of_a_buyer_share_a_key_and_without_a_buyer_those_of_an_order() -> None:
    assert accepted({}).partition_key == EVENT["user_id"]
    assert accepted({"user_id": ""}).partition_key == EVENT["order_id"]


MOVED = {
    "event_time": "2020-04-24 19:16:21 UTC",
    "order_id": "2294584263154074236",
    "product_id": "2273948316817424439",
    "category_id": "",
    "category_code": "217.57",
    "brand": "1515915625443148002",
    "price": None,
    "user_id": None,
}
"""A row of six fields that its sender mapped by position to eight."""


def moved(changes: dict[str, Any]) -> dict[str, Any]:
    """The moved row with some fields changed; those that are `...` left out."""
    return {name: value for name, value in (MOVED | changes).items() if value is not ...}


@pytest.mark.parametrize("price", ["", None, ...])
@pytest.mark.parametrize("user_id", ["", None, ...])
@pytest.mark.parametrize("category_id", ["", None])
def test_a_short_row_that_was_mapped_by_position_is_put_right(price: Any, user_id: Any, category_id: Any) -> None:
    event = moved({"price": price, "user_id": user_id, "category_id": category_id})
    assert accepted({}, event) == Purchase(
        event_id=None,
        event_time=1_587_755_781_000,
        order_id="2294584263154074236",
        product_id="2273948316817424439",
        user_id="1515915625443148002",
        category_id=None,
        category_code=None,
        brand=None,
        product_name=None,
        price=21_757,
        quantity=1,
        revenue=21_757,
    )


@pytest.mark.parametrize("brand", ["", None])
def test_so_is_one_of_an_anonymous_buyer(brand: str | None) -> None:
    purchase = accepted({}, moved({"brand": brand, "category_code": "0.00"}))
    assert (purchase.user_id, purchase.brand, purchase.price) == (None, None, 0)


def test_a_moved_row_may_have_an_event_id() -> None:
    assert accepted({}, moved({"event_id": "uuid-1"})).event_id == "uuid-1"


@pytest.mark.parametrize(
    "changes",
    [
        *({"category_code": code} for code in ("217", "217.571", "electronics.tablet", "1e9", "-3.00", "NaN", "", ...)),
        *({"category_code": code} for code in ("12345678.00", ".57", "217.", "٢١٧.57", "217.57 ", 217.57)),
        *({"brand": brand} for brand in ("samsung", "15 15", "-1", "1.5", "9" * 129, "٣", 1515915625443148002, ...)),
        *({"category_id": category_id} for category_id in ("2268105426648170900", "0", ...)),
        *({"price": price} for price in ("nan", "None", " ")),
        *({"user_id": user_id} for user_id in ("1515915625443148002", "None")),
        *({"quantity": "1"}, {"quantity": ""}, {"amount": "217.57"}, {"product_name": "Tab"}, {"store": 7}),
        {"event_id": "uuid-1", "replay_of": "kz.csv:17"},
        {"event_time": "1970-01-01 00:33:40 UTC"},
        {"event_time": ...},
        {"order_id": ""},
    ],
)
def test_what_is_not_exactly_a_moved_row_stays_refused(changes: dict[str, Any]) -> None:
    assert isinstance(parse(json.dumps(moved(changes)).encode(), NOW), Rejected)


def test_a_moved_row_with_a_bad_time_says_so() -> None:
    bad_time = json.dumps(moved({"event_time": "1970-01-01 00:33:40 UTC"})).encode()
    assert rejected(bad_time).reason is Reason.BAD_TIME


def test_an_event_with_a_price_is_never_read_differently() -> None:
    purchase = accepted({}, moved({"price": "1.00"}))
    assert (purchase.price, purchase.category_code) == (100, "217.57")
    assert (purchase.brand, purchase.user_id) == ("1515915625443148002", None)


@pytest.mark.parametrize("absent", ["", None])
@pytest.mark.parametrize(
    "field", ["event_id", "user_id", "category_id", "category_code", "brand", "product_name", "quantity", "amount"]
)
def test_an_optional_field_may_be_empty_null_or_missing(field: str, absent: str | None) -> None:
    assert accepted({field: absent}, MINIMAL) == accepted({}, MINIMAL)


def test_a_replay_names_the_dead_letter_that_it_replays() -> None:
    assert accepted({"replay_of": "kz.csv:17"}).replay_of == "kz.csv:17"
    assert accepted({"replay_of": ""}).replay_of is accepted({}).replay_of is None


@pytest.mark.parametrize("origin", [7, ["kz.csv:17"], "kz.csv\x00:17", "x" * 129])
def test_the_origin_of_a_replay_is_an_id(origin: Any) -> None:
    assert rejected(json.dumps(EVENT | {"replay_of": origin}).encode()).reason is Reason.BAD_ID


@pytest.mark.parametrize("absent", ["", None])
def test_a_replay_has_an_event_id(absent: str | None) -> None:
    outcome = rejected(json.dumps(EVENT | {"replay_of": "kz.csv:17", "event_id": absent}).encode())
    assert (outcome.reason, outcome.detail[:8]) == (Reason.MISSING_FIELD, "event_id")


@pytest.mark.parametrize("absent", ["", None, ...])
@pytest.mark.parametrize("field", MINIMAL)
def test_a_required_field_may_not(field: str, absent: Any) -> None:
    event = {name: value for name, value in (EVENT | {field: absent}).items() if value is not ...}
    outcome = rejected(json.dumps(event).encode())
    assert outcome.reason is Reason.MISSING_FIELD
    assert field in outcome.detail


@pytest.mark.parametrize(
    ("fields", "revenue"),
    [
        ({"price": "0"}, 0),
        ({"price": 12}, 1_200),
        ({"price": 12.5}, 1_250),
        ({"price": "12.500"}, 1_250),
        ({"price": "9999999.99"}, 999_999_999),
        ({"price": "1.10", "quantity": 3}, 330),
        ({"price": "1.10", "quantity": "3"}, 330),
        ({"price": "1.10", "quantity": 0}, 0),
        ({"price": "1.10", "quantity": -2}, -220),
        ({"price": "1.10", "quantity": 3, "amount": "2.99"}, 299),
        ({"price": "1.10", "quantity": 0, "amount": "0.01"}, 1),
        ({"price": "1.10", "quantity": 0, "amount": "-0.01"}, -1),
        ({"price": "1.10", "quantity": "'-1", "amount": "'-1.10"}, -110),
        ({"price": ".99", "quantity": "2.0"}, 198),
        ({"price": "12.", "quantity": "+1"}, 1_200),
        ({"price": "\u00a0162.01\u2009"}, 16_201),
        ({"price": "-0.00"}, 0),
        ({"price": "1.10", "amount": "-5.00"}, -500),
        ({"price": "1.10", "amount": 0}, 0),
        ({"price": "10.00", "quantity": 1_000_000}, 1_000_000_000),
        ({"price": "1.00", "amount": "-10000000.00"}, -1_000_000_000),
    ],
)
def test_a_lines_revenue_is_its_amount_else_price_times_quantity(fields: dict[str, Any], revenue: int) -> None:
    assert accepted(fields).revenue == revenue


@pytest.mark.parametrize(
    "refund",
    [
        {"price": "-10.00"},
        {"price": "10.00", "amount": "-10.00"},
        {"price": "-10.00", "amount": "-10.00"},
        {"price": "10.00", "quantity": -1},
        {"price": "10.00", "quantity": "-1.0", "amount": "'-10.00"},
    ],
)
def test_a_refund_lowers_revenue_and_pieces(refund: dict[str, Any]) -> None:
    purchase = accepted(refund)
    assert (purchase.price, purchase.quantity, purchase.revenue) == (1000, -1, -1000)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"price": "-10.00", "quantity": -1}, Reason.BAD_PRICE),
        ({"price": "-10.00", "quantity": 1}, Reason.BAD_PRICE),
        ({"price": "-10.00", "quantity": 0}, Reason.BAD_PRICE),
        ({"price": "-10.00", "amount": "10.00"}, Reason.BAD_PRICE),
        ({"price": "10.00", "quantity": 2, "amount": "-10.00"}, Reason.BAD_AMOUNT),
        ({"price": "10.00", "quantity": -1, "amount": "10.00"}, Reason.BAD_AMOUNT),
    ],
)
def test_numbers_that_contradict_each_other_are_refused(fields: dict[str, Any], reason: Reason) -> None:
    assert rejected(json.dumps(EVENT | fields).encode()).reason is reason


def test_a_json_number_may_have_an_exponent() -> None:
    outcome = parse(with_raw("price", b"1E+2"), NOW)
    assert isinstance(outcome, Purchase)
    assert outcome.price == 10_000


@pytest.mark.parametrize(
    "user_id",
    [
        *(
            "0",
            "-1",
            "NULL",
            "null",
            "None",
            "nan",
            "NaN",
            "undefined",
            r"\N",
            "(not set)",
            "guest",
            "Guest",
            " guest ",
        ),
        *("anonymous", "[object Object]", "N/A", "-", "0.0", '="guest"', "00000000-0000-0000-0000-000000000000"),
    ],
)
def test_a_placeholder_is_no_customer(user_id: str) -> None:
    purchase = accepted({"user_id": user_id})
    assert (purchase.user_id, purchase.partition_key) == (None, EVENT["order_id"])


def test_what_stands_for_no_customer_is_a_setting() -> None:
    event = json.dumps(EVENT | {"user_id": "Laufkunde"}).encode()
    other = json.dumps(EVENT | {"user_id": "guest"}).encode()
    rules = EventRules(no_customer=placeholders("laufkunde, kasse"))
    found = [parse(value, NOW, rules) for value in (event, other)]
    assert [outcome.user_id for outcome in found if isinstance(outcome, Purchase)] == [None, "guest"]


@pytest.mark.parametrize(
    "fields",
    [
        {"price": "50.01"},
        {"price": "10.00", "quantity": 6},
        {"price": "10.00", "quantity": -6},
        {"price": "1.00", "amount": "50.01"},
        {"price": "-50.01"},
    ],
)
def test_the_largest_total_of_a_line_is_a_setting(fields: dict[str, Any]) -> None:
    value = json.dumps(EVENT | fields).encode()
    outcomes = [parse(value, NOW, EventRules(max_line_cents=cents)) for cents in (6_001, 5_000)]
    assert isinstance(outcomes[0], Purchase)
    assert isinstance(outcomes[1], Rejected)
    assert (outcomes[1].reason, "±50.00" in outcomes[1].detail) == (Reason.BAD_AMOUNT, True)


@pytest.mark.parametrize("text", [r"\N", "NULL", "nan", "undefined", "N/A"])
def test_a_text_of_a_missing_value_is_unknown(text: str) -> None:
    purchase = accepted({"brand": text, "category_code": text, "category_id": text, "product_name": text})
    unknown = (purchase.brand, purchase.category_code, purchase.category_id, purchase.product_name)
    assert unknown == (None, None, None, None)


@pytest.mark.parametrize("field", ["order_id", "product_id"])
@pytest.mark.parametrize("text", [r"\N", "NULL", "undefined", '="null"'])
def test_lines_of_a_missing_id_do_not_become_one_order_or_product(field: str, text: str) -> None:
    assert rejected(json.dumps(EVENT | {field: text}).encode()).reason is Reason.MISSING_FIELD


@pytest.mark.parametrize("field", ["order_id", "product_id", "user_id", "category_id", "event_id"])
@pytest.mark.parametrize("damaged", ["1.51592E+18", "1.515915625441994e+18", "1E+18", "-2.5e3", '="1.5E+18"'])
def test_an_id_in_scientific_notation_is_damaged(field: str, damaged: str) -> None:
    outcome = rejected(json.dumps(EVENT | {field: damaged}).encode())
    assert outcome.reason is Reason.DAMAGED_ID
    assert field in outcome.detail


@pytest.mark.parametrize("field", ["user_id", "category_id"])
def test_an_optional_id_that_became_a_float_is_repaired_where_no_digit_is_lost(field: str) -> None:
    assert getattr(accepted({field: "42.0"}), field) == "42"
    assert getattr(accepted({field: "123456789012345.0"}), field) == "123456789012345"
    outcome = rejected(json.dumps(EVENT | {field: "1515915625441993984.0"}).encode())
    assert outcome.reason is Reason.DAMAGED_ID


@pytest.mark.parametrize("field", ["order_id", "product_id", "user_id", "category_id", "event_id"])
def test_a_spreadsheets_formula_around_an_id_is_removed(field: str) -> None:
    assert getattr(accepted({field: '="1515915625441993984"'}), field) == "1515915625441993984"


@pytest.mark.parametrize("identifier", ["12e4", "5E12", "1.5", "10.0", "A1.5E+3", "1.2.3", "=1", '=""1""', "1e+"])
def test_ids_that_only_resemble_a_damaged_one_are_kept(identifier: str) -> None:
    purchase = accepted({"order_id": identifier, "product_id": identifier})
    assert (purchase.order_id, purchase.product_id) == (identifier, identifier)


def test_a_price_keeps_every_digit_that_stood_in_the_message() -> None:
    outcome = parse(with_raw("price", b"1234567.10"), NOW)
    assert isinstance(outcome, Purchase)
    assert outcome.price == 123_456_710


@pytest.mark.parametrize(
    "literal",
    [
        *('"NaN"', '"1e2"', '"1.234"', '"10000000.00"', '"-10000000.00"', '"1,000"', '"1 000"', '"12,50"', '"."'),
        *("1e9", "1e-3", "1e400", "1.234", "10000000", "true", "[]", "[1]", "{}", '"\\u0661"', '"٣"'),
        "1" * 400,
    ],
)
def test_a_price_that_is_no_price(literal: str) -> None:
    assert rejected(with_raw("price", literal.encode())).reason is Reason.BAD_PRICE


@pytest.mark.parametrize("literal", ["1.5", "1e-1", '"1e3"', '"one"', "1000001", "-1000001", "true", "[]", "9" * 40])
def test_a_quantity_that_is_no_quantity(literal: str) -> None:
    assert rejected(with_raw("quantity", literal.encode())).reason is Reason.BAD_QUANTITY


@pytest.mark.parametrize("literal", ['"NaN"', '"1e2"', '"1.001"', "true", '"999999999999999.99"'])
def test_an_amount_that_is_no_amount(literal: str) -> None:
    assert rejected(with_raw("amount", literal.encode())).reason is Reason.BAD_AMOUNT


def test_a_total_beyond_the_exact_range_is_refused_also_where_it_is_computed() -> None:
    event = EVENT | {"price": "1000.01", "quantity": 1_000_000}
    assert rejected(json.dumps(event).encode()).reason is Reason.BAD_AMOUNT


@pytest.mark.parametrize("code", ["." * 256, "a..b", ".a", "a.", "a.b.c.d.e.f.g.h.i"])
def test_a_category_with_empty_or_too_many_levels(code: str) -> None:
    assert rejected(json.dumps(EVENT | {"category_code": code}).encode()).reason is Reason.BAD_TEXT


@pytest.mark.parametrize("field", ["order_id", "product_id", "user_id", "category_id", "event_id"])
@pytest.mark.parametrize(
    "value", [2294359932054536986, 1.5, True, ["a"], {}, "a\x00", "a\nb", "\x7f", "\x85", "x" * 129]
)
def test_an_id_that_is_no_id(field: str, value: Any) -> None:
    outcome = rejected(json.dumps(EVENT | {field: value}).encode())
    assert outcome.reason is Reason.BAD_ID
    assert field in outcome.detail


@pytest.mark.parametrize("identifier", ["1", "x" * 128, "9" * 19, " ", "a b", "ключ/№:1", "😀", '"', "Null", "0012"])
def test_ids_are_kept_byte_for_byte(identifier: str) -> None:
    purchase = accepted({"order_id": identifier, "product_id": identifier})
    assert (purchase.order_id, purchase.product_id) == (identifier, identifier)


@pytest.mark.parametrize("field", ["category_code", "brand", "product_name"])
@pytest.mark.parametrize("value", [7, ["a"], "a\tb", "x" * 257])
def test_a_text_that_is_no_text(field: str, value: Any) -> None:
    assert rejected(json.dumps(EVENT | {field: value}).encode()).reason is Reason.BAD_TEXT


@pytest.mark.parametrize(
    "text",
    [
        *("1970-01-01 00:33:40 UTC", "2099-01-01 00:00:00 UTC", "1999-12-31T23:59:59.999Z", "0001-01-01T00:00:00Z"),
        *("2020-02-30 00:00:00 UTC", "2020-01-01T24:00:00Z", "2020-01-01T00:00:60Z", "2020-01-01T00:00:00+00:60"),
        *("2020-01-01T00:00:00+24:00", "9999-12-31T23:59:59-23:59", "2020-01-01", "2020-01-01T00:00:00", "yesterday"),
        *("2020-01-01 00:00:00 utc", "2020-01-01 00:00:00", " 2020-01-01 00:00:00 UTC", "1587729039", "x" * 60_000),
        *("٢٠٢٠-01-01 00:00:00 UTC", "2020-01-01T00:00:00.Z", "2020-01-01T00:00:00.1234567890Z"),
    ],
)
def test_a_time_that_is_no_time_of_a_sale(text: str) -> None:
    outcome = rejected(json.dumps(EVENT | {"event_time": text}).encode())
    assert outcome.reason is Reason.BAD_TIME
    assert len(outcome.detail) < 200


def test_a_time_must_be_text() -> None:
    assert rejected(with_raw("event_time", b"1587729039")).reason is Reason.BAD_TIME


def test_times_are_bounded_by_2000_and_a_day_past_the_arrival() -> None:
    latest = NOW + FUTURE_TOLERANCE_MS
    for bound, beyond in ((EARLIEST_EVENT_MS, EARLIEST_EVENT_MS - 1), (latest, latest + 1)):
        assert accepted({"event_time": format_time(bound)}).event_time == bound
        outcome = rejected(json.dumps(EVENT | {"event_time": format_time(beyond)}).encode())
        assert outcome.reason is Reason.BAD_TIME


@given(
    st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)),
    st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes))),
)
def test_rfc_3339_times_are_instants(moment: datetime, zone: timezone) -> None:
    aware = moment.replace(tzinfo=zone)
    milliseconds = (aware - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    assert parse_time(aware.isoformat()) == milliseconds


@given(st.integers(-30_000_000_000_000, 253_402_300_799_999))
def test_times_survive_the_way_to_text_and_back(epoch_ms: int) -> None:
    assert parse_time(format_time(epoch_ms)) == epoch_ms


@pytest.mark.parametrize(
    ("text", "epoch_ms"),
    [
        ("2020-04-24 11:50:39 UTC", 1_587_729_039_000),
        ("2020-04-24T11:50:39Z", 1_587_729_039_000),
        ("2020-04-24t11:50:39z", 1_587_729_039_000),
        ("2020-04-24T13:50:39.5+02:00", 1_587_729_039_500),
        ("2020-04-24T11:50:39.123999999Z", 1_587_729_039_123),
        ("1969-12-31T23:59:59.500Z", -500),
    ],
)
def test_times_in_both_notations(text: str, epoch_ms: int) -> None:
    assert parse_time(text) == epoch_ms


@pytest.mark.parametrize(
    "value",
    [
        *(None, b"", b" ", b"{", b"{}}", b"nul", b"\x00", b"\xff\xfe", b"event_time,order_id", b"\xef\xbb\xbf{}"),
        *(b'{"a":1} {"b":2}', b"{'a':1}", b'{"a":1,}', b'{"x":NaN}', b'{"x":"\x01"}', b'{"x":"\\ud800"}'),
    ],
)
def test_what_is_not_json(value: bytes | None) -> None:
    assert rejected(value).reason is Reason.NOT_JSON


@pytest.mark.parametrize("value", [b"null", b"true", b"12", b'"text"', b"[]", b'[{"order_id":"1"}]'])
def test_what_is_json_but_no_object(value: bytes) -> None:
    assert rejected(value).reason is Reason.NOT_AN_OBJECT


@pytest.mark.parametrize("field", ["price", "quantity", "amount", "brand", "order_id", "event_time"])
@pytest.mark.parametrize(
    "literal", [b'"\xff"', b'"\\ud800"', b'"\\udc00\\ud800"', b'"\xed\xa0\x80"', b'"\\q"', b'["\xff"]']
)
def test_text_that_is_no_unicode_stops_nothing(field: str, literal: bytes) -> None:
    assert rejected(with_raw(field, literal)).reason in {
        Reason.NOT_JSON,
        Reason.BAD_ID,
        Reason.BAD_TEXT,
        Reason.BAD_TIME,
    }


def test_of_a_key_given_twice_the_last_counts() -> None:
    outcome = parse(with_raw("price", b'"1.00","price":"2.00"'), NOW)
    assert isinstance(outcome, Purchase)
    assert outcome.price == 200


def test_unknown_fields_are_ignored_whatever_they_hold() -> None:
    unknown = {"store": 7, "tags": ["[", {"a": None}] * 100, "note": '\\"[[[[{{{{' * 50, "price ": "x"}
    assert accepted(unknown) == accepted({})


def test_a_record_too_large_is_refused_unread() -> None:
    filler = MAX_RECORD_BYTES - len(with_raw("x", b'""'))
    assert isinstance(parse(with_raw("x", b'"%s"' % (b"a" * filler)), NOW), Purchase)
    assert rejected(with_raw("x", b'"%s"' % (b"a" * (filler + 1)))).reason is Reason.TOO_LARGE
    assert rejected(b"{" * 10_000_000).reason is Reason.TOO_LARGE


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_nesting_is_bounded_by_the_contract_and_not_by_the_callers_stack(opening: bytes, closing: bytes) -> None:
    def nested(levels: int) -> bytes:
        return with_raw("x", opening * levels + b"1" + closing * levels)

    def from_a_deep_stack(calls: int) -> Purchase | Rejected | Canary:
        return from_a_deep_stack(calls - 1) if calls else parse(nested(MAX_NESTING - 1), NOW)

    assert isinstance(parse(nested(MAX_NESTING - 1), NOW), Purchase)
    assert isinstance(from_a_deep_stack(600), Purchase)
    for levels in (MAX_NESTING, 900, 9_000):
        assert rejected(nested(levels)).reason is Reason.TOO_LARGE


@pytest.mark.parametrize("tail", [b"", b"\\"])
def test_a_hostile_record_takes_no_longer_than_an_honest_one(tail: bytes) -> None:
    hostile = b'{"x":["' + b'\\"' * 32_000 + tail
    started = time.thread_time()  # of this thread, whatever else the machine does
    assert rejected(hostile).reason is Reason.NOT_JSON
    assert time.thread_time() - started < 0.5


@given(st.binary(max_size=200))
def test_any_bytes_are_a_verdict(value: bytes) -> None:
    assert isinstance(parse(value, NOW), Rejected)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from([*EVENT, "quantity", "amount", "product_name", "other"]), JSON))
def test_any_json_in_any_field_is_a_verdict(changes: dict[str, Any]) -> None:
    outcome = parse(json.dumps(EVENT | changes).encode(), NOW)
    if isinstance(outcome, Purchase):
        assert all(isinstance(value, str) for value in (outcome.order_id, outcome.product_id))
        assert outcome.price >= 0
        assert EARLIEST_EVENT_MS <= outcome.event_time <= NOW + FUTURE_TOLERANCE_MS


@given(st.sampled_from(["price", "quantity", "amount", "brand", "user_id", "x"]), st.binary(max_size=20))
def test_any_bytes_in_any_field_are_a_verdict(field: str, literal: bytes) -> None:
    assert isinstance(parse(with_raw(field, literal), NOW), Purchase | Rejected)
    assert isinstance(parse(with_raw(field, b'"%s"' % literal), NOW), Purchase | Rejected)


def test_the_same_bytes_and_time_give_the_same_verdict() -> None:
    future = json.dumps(EVENT | {"event_time": format_time(NOW + FUTURE_TOLERANCE_MS + 1)}).encode()
    assert isinstance(parse(future, NOW), Rejected)
    assert isinstance(parse(future, NOW + 1), Purchase)


DIGEST = "00ff00ff00ff00ff"


def test_an_order_digest_is_sixteen_hexadecimal_digits() -> None:
    assert accepted({"order_digest": DIGEST}).order_digest == DIGEST
    assert accepted({"order_digest": ""}).order_digest is None
    for digest in (DIGEST[1:], DIGEST + "0", DIGEST.upper(), "0x" + DIGEST[2:], DIGEST + "\n", "٠" * 16):
        assert rejected(json.dumps(EVENT | {"order_digest": digest}).encode()).reason == Reason.BAD_ID
    assert rejected(with_raw("order_digest", b"7")).reason == Reason.BAD_ID


def test_a_replay_and_a_line_without_identity_have_no_order_digest() -> None:
    assert accepted({"order_digest": DIGEST, "replay_of": "kz.csv:17"}).order_digest is None
    assert accepted({"order_digest": DIGEST, "event_id": ""}).order_digest is None
