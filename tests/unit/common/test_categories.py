"""Category codes have levels."""

import pytest

from services.common.categories import is_within, levels


@pytest.mark.parametrize(("code", "expected"), [("a", ("a",)), ("a.b.c", ("a", "a.b", "a.b.c"))])
def test_levels(code: str, expected: tuple[str, ...]) -> None:
    assert levels(code) == expected


@pytest.mark.parametrize(
    ("code", "category", "expected"),
    [
        ("electronics", "electronics", True),
        ("electronics.audio.headphone", "electronics.audio", True),
        ("electronics", "electronics.audio", False),
        ("electronics2.audio", "electronics", False),
        ("audio.electronics", "electronics", False),
    ],
)
def test_a_category_takes_in_those_below_it(code: str, category: str, expected: bool) -> None:
    assert is_within(code, category) is expected
    assert (category in levels(code)) is expected
