"""Filters over the catalogue."""

import numpy as np
import pytest

from recsys.catalogue import NO_PRICE, Catalogue, Filters, Labels, ProductColumns


def labels(*texts: str) -> Labels:
    values = sorted(set(texts))
    return Labels(np.array([values.index(text) for text in texts], dtype=np.int32), values)


CATALOGUE = Catalogue(
    product_ids=["a", "b", "c", "d", "e"],
    scored=4,
    columns=ProductColumns(
        names=labels("", "", "", "", ""),
        categories=labels("electronics", "electronics.audio", "electronics_old", "", "electronics.audio.mic"),
        brands=labels("acme", "zeta", "acme", "acme", ""),
        prices=np.array([100, 200, 300, NO_PRICE, 500]),
    ),
)


@pytest.mark.parametrize(
    ("filters", "passing"),
    [
        (Filters(), "abcde"),
        (Filters(category="electronics"), "abe"),
        (Filters(category="electronics.audio"), "be"),
        (Filters(category="electronics.au"), ""),
        (Filters(category="unknown"), "d"),
        (Filters(brand="acme"), "acd"),
        (Filters(brand="ACME"), ""),
        (Filters(brand="unknown"), "e"),
        (Filters(min_price=200), "bce"),
        (Filters(max_price=200), "ab"),
        (Filters(min_price=0), "abce"),
        (Filters(min_price=300, max_price=300), "c"),
        (Filters(exclude=("a", "nobody", "e")), "bcd"),
        (Filters(category="electronics", brand="acme", max_price=150), "a"),
    ],
)
def test_filters_let_through(filters: Filters, passing: str) -> None:
    mask = CATALOGUE.allowed(filters)
    assert "".join(id_ for id_, allowed in zip(CATALOGUE.product_ids, mask, strict=True) if allowed) == passing


def test_each_mask_is_the_caller_s_own() -> None:
    CATALOGUE.allowed(Filters())[:] = False
    assert CATALOGUE.allowed(Filters()).all()


def test_what_the_catalogue_knows_of_a_product() -> None:
    assert CATALOGUE.row("c") == 2
    assert CATALOGUE.row("nobody") is None
    assert CATALOGUE.price(0) == 100
    assert CATALOGUE.price(3) is None
    assert CATALOGUE.categories[1] == "electronics.audio"
