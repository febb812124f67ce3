"""Money: every amount survives the way to text and back, and nothing but a plain decimal is an amount."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.money import MAX_UNIT_PRICE_CENTS, format_cents, parse_cents, parse_whole, without_exponent

CENTS = st.integers(-(10**17) + 1, 10**17 - 1)


@given(CENTS)
def test_what_is_formatted_is_parsed_back(cents: int) -> None:
    assert parse_cents(format_cents(cents)) == cents


@given(CENTS)
def test_the_text_has_two_places_and_the_amounts_value(cents: int) -> None:
    text = format_cents(cents)
    assert text[-3] == "."
    assert Decimal(text) == Decimal(cents) / 100


@given(st.integers(0, 10**15 - 1), st.integers(0, 99), st.integers(0, 30), st.booleans())
def test_zeros_behind_the_cents_change_nothing(whole: int, fraction: int, zeros: int, negative: bool) -> None:
    sign = "-" if negative else ""
    cents = whole * 100 + fraction
    assert parse_cents(f"{sign}{whole}.{fraction:02d}{'0' * zeros}") == (-cents if negative else cents)


@pytest.mark.parametrize(
    ("text", "cents"),
    [
        ("0", 0),
        ("-0", 0),
        ("12", 1200),
        ("12.5", 1250),
        ("-0.10", -10),
        ("12.500", 1250),
        ("007.01", 701),
        ("9999999.99", MAX_UNIT_PRICE_CENTS),
        ("999999999999999.99", 99_999_999_999_999_999),
        ("'-10.00", -1000),
        ("'10.00", 1000),
        (".99", 99),
        ("-.5", -50),
        ("12.", 1200),
        ("+5", 500),
        ("-0.00", 0),
        (" 12.50", 1250),
        ("\u00a012.50\u202f", 1250),
        ("\ufeff12.50\u200b", 1250),
        ("\u221210.00", -1000),
    ],
)
def test_plain_decimals_are_amounts(text: str, cents: int) -> None:
    assert parse_cents(text) == cents


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "--1", "+-1", "''1", "-'1", "- 1", "' 1", ".", "-.", "'", "-", "1..2", "1.2.3", "1,000", "1_000"),
        *("1 000", "1\u00a0000.00", "12,50", "(10.00)", "10.00-", "$1", "€1", "1 EUR"),
        *("1e9", "1E2", "0x10", "NaN", "nan", "Infinity", "-inf", "true", "None", "1.234", "0.001", "٣", "１", "1\x00"),
        "1" * 16,
    ],
)
def test_anything_else_is_no_amount(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a"):
        parse_cents(text)


@given(st.text(max_size=30))
def test_any_text_is_an_exact_amount_or_refused(text: str) -> None:
    try:
        cents = parse_cents(text)
    except ValueError:
        return
    plain = text.strip().strip("\ufeff\u200b").strip().removeprefix("'").replace("\u2212", "-")
    assert plain.isascii()
    assert Decimal(plain) * 100 == cents


@pytest.mark.parametrize(("text", "number"), [("2", 2), ("-1", -1), ("2.0", 2), ("2.", 2), ("'-1", -1), ("+3", 3)])
def test_a_whole_number_may_have_zeros_behind_the_point(text: str, number: int) -> None:
    assert parse_whole(text) == number


@pytest.mark.parametrize("text", ["2.5", "0.01", "two", "1e3", "1,000", ""])
def test_anything_else_is_no_whole_number(text: str) -> None:
    with pytest.raises(ValueError, match="is not a"):
        parse_whole(text)


@pytest.mark.parametrize(
    ("literal", "plain"),
    [
        ("1E+2", "100"),
        ("1e-2", ".01"),
        ("-1.25e1", "-12.5"),
        ("1.50E-3", ".00150"),
        ("12.5e0", "12.5"),
        ("1e400", "1e400"),
        ("true", "true"),
    ],
)
def test_a_json_number_has_its_value_in_every_notation(literal: str, plain: str) -> None:
    assert without_exponent(literal) == plain


def test_a_refusal_quotes_at_most_forty_characters() -> None:
    with pytest.raises(ValueError, match=r"^'x{40}' is not a plain decimal number$"):
        parse_cents("x" * 1_000_000)


@pytest.mark.parametrize(("cents", "text"), [(123456, "1234.56"), (-5, "-0.05"), (0, "0.00"), (-100, "-1.00")])
def test_amounts_as_people_read_them(cents: int, text: str) -> None:
    assert format_cents(cents) == text
