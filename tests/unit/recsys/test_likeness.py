"""How alike products are by what the catalogue says of them."""

import numpy as np
import pytest

from recsys.catalogue import NO_PRICE, Catalogue, Facts, Labels, ProductColumns
from recsys.likeness import CatalogueLikeness, path_likeness, words_of


def labels(*texts: str) -> Labels:
    values = sorted(set(texts))
    return Labels(np.array([values.index(text) for text in texts], np.int32), values)


def catalogue(*products: tuple[str, str, str, int], spare: int = 0) -> Catalogue:
    """Of (name, category, brand, price in cents)."""
    names, categories, brands, prices = zip(*products, strict=True)
    columns = ProductColumns(labels(*names), labels(*categories), labels(*brands), np.array(prices, np.int64))
    return Catalogue([f"p{number}" for number in range(len(products))], len(products), columns, spare)


SHOP = catalogue(
    ("Tuna in oil", "food.fish.tins", "sea", 200),
    ("TUNA IN WATER", "food.fish.tins", "sea", 100),
    ("Fish fingers", "food.fish.frozen", "", 400),
    ("Oil", "food.oils", "sea", NO_PRICE),
    ("", "", "", 0),
)
ALL = np.arange(5)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("a.b", "a.b", 1.0),
        ("a.b", "a.c", 0.5),
        ("a.b", "a", 0.5),
        ("a.b.c", "a.b.d", 2 / 3),
        ("ab", "a", 0.0),
        ("a", "", 0.0),
        ("", "", 0.0),
    ],
)
def test_category_paths_are_alike_by_their_common_part(one: str, other: str, expected: float) -> None:
    assert path_likeness(one, other) == path_likeness(other, one) == pytest.approx(expected)


def test_words_are_compared_without_case_and_punctuation() -> None:
    assert words_of("Ice-cream, 2 L (Große)") == {"ice", "cream", "grosse"}


def test_of_category_brand_and_price_each_says_what_it_knows() -> None:
    like = CatalogueLikeness(SHOP)
    assert like.category(0, ALL) == pytest.approx([1, 1, 2 / 3, 1 / 3, 0])
    assert like.brand(0, ALL).tolist() == [1, 1, 0, 1, 0]
    assert like.price(0, ALL).tolist() == [1, 0.5, 0.5, 0, 0]
    for part in (like.category, like.name, like.brand, like.price):
        assert part(4, ALL).tolist() == [0] * 5, "nothing is known of the last product"


def test_a_rare_word_in_common_says_more_than_a_frequent_one() -> None:
    like = CatalogueLikeness(catalogue(*((name, "", "", 1) for name in ("red tuna", "red oil", "red tea", "big tuna"))))
    own, oil, tea, tuna = like.name(0, np.arange(4))
    assert own == pytest.approx(1)
    assert 0 < oil == tea < tuna < 1


def test_the_same_need_is_the_category_or_the_name_without_one() -> None:
    like = CatalogueLikeness(SHOP)
    assert like.same_need(0, ALL).tolist() == [True, True, False, False, False]
    assert not like.same_need(4, ALL).any()
    named = CatalogueLikeness(catalogue(("tea", "", "", 1), ("tea", "", "", 2), ("oil", "", "", 3)))
    assert named.same_need(0, np.arange(3)).tolist() == [True, True, False]


def test_texts_that_come_with_the_stream_are_compared_as_well() -> None:
    shop = catalogue(("Tuna in oil", "food.fish", "sea", 200), spare=1)
    like, both = CatalogueLikeness(shop), np.arange(2)
    assert like.name(0, both)[1] == like.category(0, both)[1] == 0
    shop.add("new")
    shop.update(1, Facts("Tuna in brine", "food.meat", None, 100), 1)
    assert 0 < like.name(0, both)[1] < 1
    assert like.name(1, both)[1] == pytest.approx(1)
    assert like.category(0, both)[1] == 0.5
