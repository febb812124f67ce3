"""Numbers in the styles of the world; where they are read one way or another, both are named."""

import pytest

from services.producer.layouts.amounts import NumberStyle, possible_styles, taken_apart, undecided, units


@pytest.mark.parametrize(
    ("texts", "style", "amounts"),
    [
        (["12,50", "1.355,90"], NumberStyle(",", "."), ["12.50", "1355.90"]),
        (["1,355.90", "€12.50", "12.50 EUR"], NumberStyle(".", ","), ["1355.90", "12.50", "12.50"]),
        (["1 355,90", "1\u202f000,00 €"], NumberStyle(",", " "), ["1355.90", "1000.00"]),
        (["1'355.90", "1’000.00"], NumberStyle(".", "'"), ["1355.90", "1000.00"]),
        (
            ["($3.00)", "-$1.00", "$-1.00", "−5", "'-10.00", "2.00-"],
            NumberStyle(),
            [*["-3.00", "-1.00", "-1.00", "-5.00", "-10.00", "-2.00"]],
        ),
        (["12", "7"], NumberStyle(), ["12.00", "7.00"]),
        (["8.3333", "12.345"], NumberStyle(), [None, None]),
        (["kr 5", "12,50 zł"], NumberStyle(","), ["5.00", "12.50"]),
    ],
)
def test_the_texts_decide_the_style(texts: list[str], style: NumberStyle, amounts: list[str | None]) -> None:
    assert possible_styles(texts) == [style]
    assert [style.money(text) for text in texts] == amounts


@pytest.mark.parametrize(
    ("texts", "example"), [(["12,500", "7"], "12,500"), (["1.355"], "1.355"), (["1,355"], "1,355")]
)
def test_a_mark_before_three_digits_alone_decides_nothing(texts: list[str], example: str) -> None:
    styles = possible_styles(texts)
    assert len(styles) == 2
    assert undecided(texts, styles) == example


@pytest.mark.parametrize("text", ["", "1E+2", "--5", "(5", "abc", "1.2.3.4", "12 pieces", "5-6"])
def test_what_is_no_amount_is_none(text: str) -> None:
    assert all(style.number(text) is None for style in (NumberStyle(), NumberStyle(",", "."), NumberStyle(".", ",")))


def test_currencies_are_seen() -> None:
    assert units(["€1", "1 EUR", "2", "$3", "us$ 4"]) == {"€", "EUR", "$", "US$"}
    assert taken_apart("12 pieces") is None
