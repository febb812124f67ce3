"""Substitutes and complements of a shop of six products."""

import numpy as np
import pytest

from recsys.catalogue import Catalogue, Labels, ProductColumns
from recsys.co_purchases import CoPurchases, Neighbours, no_co_purchases
from recsys.substitutes import LikenessWeights, OrderProfiles, ProductLikeness, centred
from recsys.topk import Allowed

COLA, OTHER_COLA, CHIPS, NUTS, BREAD, UNKNOWN = range(6)
CATEGORIES = ["drinks.cola", "drinks.cola", "snacks", "snacks", "bread", ""]
# Both colas are bought with chips and nuts, seldom with one another; bread is in half of all orders.
ORDERS = {(0, 2): 8, (0, 3): 4, (1, 2): 4, (1, 3): 2, (0, 1): 1, (0, 4): 10, (2, 4): 9, (3, 4): 5}
BUYERS = [20, 10, 25, 15, 500, 1]


def pairs() -> CoPurchases:
    counts = np.zeros((6, 6), np.int32)
    for (one, other), number in ORDERS.items():
        counts[one, other] = counts[other, one] = number
    owners, rows = np.nonzero(counts)
    starts = np.concatenate(([0], np.cumsum(np.bincount(owners, minlength=6)))).astype(np.int64)
    return CoPurchases(starts, rows.astype(np.int32), counts[owners, rows], np.array(BUYERS, np.int64))


def likeness(weights: LikenessWeights, categories: list[str] = CATEGORIES) -> ProductLikeness:
    none = Labels(np.zeros(6, np.int32), [""])
    values = sorted(set(categories))
    labels = Labels(np.array([values.index(code) for code in categories], np.int32), values)
    columns = ProductColumns(none, labels, Labels(none.codes, [""]), np.full(6, 100))
    catalogue = Catalogue([f"p{number}" for number in range(6)], 6, columns)
    return ProductLikeness(catalogue, np.zeros((6, 2), np.float32), pairs(), np.arange(6.0), weights)


def others(product: int) -> Allowed:
    mask: Allowed = np.arange(6) != product
    return mask


ONLY_ORDERS = LikenessWeights(category=0, name=0, brand=0, price=0, factors=0, orders=1, sold=0)


def test_what_is_bought_with_the_same_products_is_alike_without_a_category() -> None:
    found = likeness(ONLY_ORDERS).substitutes(COLA, 1, others(COLA))
    assert found.ranked.rows.tolist() == [OTHER_COLA]
    assert found.ranked.scores[0] == pytest.approx(found.parts[:, 0].sum())
    profiles = OrderProfiles(pairs())
    assert profiles.likeness(COLA, np.array([COLA]))[0] == pytest.approx(1)
    assert profiles.likeness(UNKNOWN, np.arange(6)).tolist() == [0] * 6


def test_the_category_comes_first_and_the_parts_sum_to_the_score() -> None:
    found = likeness(LikenessWeights()).substitutes(CHIPS, 3, others(CHIPS))
    assert found.ranked.rows[0] == NUTS
    assert found.parts.sum(axis=0) == pytest.approx(found.ranked.scores)
    assert (np.diff(found.ranked.scores) <= 0).all()


def test_a_like_price_and_many_sales_alone_make_no_substitute() -> None:
    assert not len(likeness(LikenessWeights()).substitutes(UNKNOWN, 5, others(UNKNOWN)).ranked.rows)


def test_only_allowed_products_and_no_more_than_there_are() -> None:
    allowed = others(COLA) & (np.arange(6) != OTHER_COLA)
    rows = likeness(LikenessWeights()).substitutes(COLA, 100, allowed).ranked.rows
    assert OTHER_COLA not in rows
    assert len(rows) < 5


def test_complements_meet_another_need_and_are_not_what_everybody_buys() -> None:
    orders = Neighbours(pairs(), 10, 100)
    found = likeness(LikenessWeights()).complements(COLA, 10, others(COLA), orders)
    assert found.rows.tolist() == [CHIPS, NUTS, BREAD], "the other cola meets the same need"
    assert found.scores[0] == pytest.approx(8 / (40 * 45) ** 0.5)
    unknown = likeness(LikenessWeights(), [""] * 6).complements(COLA, 10, others(COLA), orders)
    assert OTHER_COLA in unknown.rows, "without categories nothing says that it does"


def test_factors_are_compared_by_what_they_do_not_all_have_in_common() -> None:
    factors = np.array([[1, 0.1], [1, 0.12], [1, -0.1], [0, 0]], np.float32)
    vectors = centred(factors, 5)
    likes = vectors @ vectors[0]
    assert likes[1] > 0.9
    assert likes[2] < 0
    assert likes[3] == likes[4] == 0
    assert centred(np.zeros((0, 2), np.float32), 2).shape == (2, 2)


def test_popular_products_do_not_push_out_what_is_alike_in_part() -> None:
    """A product of the same parent category, bought with the same things, is behind 300 that sell better."""
    many, asked, alike, together = 400, 0, 399, 398
    codes = ["drinks.cola", "drinks.tea", "snacks"]
    category = np.full(many, 2, np.int32)
    category[[asked, alike]] = 0, 1
    none = Labels(np.zeros(many, np.int32), [""])
    columns = ProductColumns(none, Labels(category, codes), none, np.full(many, 100))
    catalogue = Catalogue([f"p{number:03d}" for number in range(many)], many, columns)
    vectors = np.zeros((many, 2), np.float32)
    vectors[1:300] = 0.02  # hardly alike, and best sellers
    vectors[asked] = 1.0
    counts = np.zeros((many, many), np.int32)
    counts[[asked, alike], together] = counts[together, [asked, alike]] = 10
    owners, rows = np.nonzero(counts)
    starts = np.concatenate(([0], np.cumsum(np.bincount(owners, minlength=many)))).astype(np.int64)
    orders = CoPurchases(starts, rows.astype(np.int32), counts[owners, rows], np.full(many, 20, np.int64))
    popularity = np.where(np.arange(many) < 300, 1000.0, 0.0)
    found = ProductLikeness(catalogue, vectors, orders, popularity).substitutes(asked, 1, np.arange(many) != asked)
    assert found.ranked.rows.tolist() == [alike]


def labels_of(texts: list[str]) -> Labels:
    values = sorted(set(texts))
    return Labels(np.array([values.index(text) for text in texts], np.int32), values)


def named(names: list[str], categories: list[str]) -> ProductLikeness:
    """Products of one brand; the more a price is like the first, the better."""
    many = len(names)
    labels, codes = labels_of(names), labels_of(categories)
    brand = Labels(np.zeros(many, np.int32), ["own"])
    columns = ProductColumns(labels, codes, brand, np.arange(1_000, 1_000 + many))
    catalogue = Catalogue([f"p{number:03d}" for number in range(many)], many, columns)
    pairs = no_co_purchases(many)
    weights = LikenessWeights(name=0)
    return ProductLikeness(catalogue, np.zeros((many, 2), np.float32), pairs, np.zeros(many), weights)


def substitutes_of_first(names: list[str], k: int, shown: list[int], categories: list[str] | None = None) -> list[int]:
    allowed = np.arange(len(names)) > 0
    shop = named(names, categories or ["drinks"] * len(names))
    found = shop.substitutes(0, k, allowed, np.array(shown, np.int64))
    rows: list[int] = found.ranked.rows.tolist()
    return rows


@pytest.mark.parametrize(
    ("k", "shown", "expected"),
    [(3, [], [1, 3, 4]), (9, [], [1, 3, 4, 5, 7]), (9, [6, 4], [3, 5, 7])],
    ids=["three", "as many as there are names", "without the names shown already"],
)
def test_no_two_substitutes_have_the_same_name(k: int, shown: list[int], expected: list[int]) -> None:
    names = ["Milk", "MILK", "milk ", "Cream", "", "", "  Milk", "Ice\N{NO-BREAK SPACE}cream"]
    assert substitutes_of_first(names, k, shown) == expected, "products without a name are not of the same name"


def test_hundreds_of_products_of_one_name_do_not_hide_the_others() -> None:
    assert substitutes_of_first(["card"] * 600 + ["bow", "ribbon"], 3, []) == [1, 600, 601]


@pytest.mark.parametrize("shown", [[], [1]], ids=["nothing shown", "one shown"])
def test_what_meets_another_need_does_not_take_the_place_of_a_repeated_name(shown: list[int]) -> None:
    names = ["petrol", "petrol", "petrol", "milk", "diesel", "petrol can"]
    categories = ["fuel", "fuel", "fuel", "dairy", "fuel", "car"]
    kept = [1, 4][len(shown) :]
    assert substitutes_of_first(names, 3, shown, categories) == kept, "milk and cans are no fuel"
    unlike = ["petrol", "petrol", "oil", "milk", "diesel", "petrol can"]
    assert set(substitutes_of_first(unlike, 5, [], categories)) == {1, 2, 3, 4, 5}, "no name is repeated"


def test_without_categories_a_word_of_the_name_says_what_meets_the_need() -> None:
    names = ["petrol", "petrol", "petrol", "milk", "petrol can"]
    assert substitutes_of_first(names, 3, [], [""] * len(names)) == [1, 4]
