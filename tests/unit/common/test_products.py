"""The contract of topic `products`: one validation, and what its records do to a reader."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.product_follower import put_record
from services.common.products import (
    MAX_PRODUCT_BYTES,
    Availability,
    CatalogueProduct,
    InvalidProduct,
    encode_product,
    parse_product,
)

FULL = {
    "product_id": "1515966223509089906",
    "product_name": "Galaxy",
    "category_code": "electronics.smartphone",
    "brand": "samsung",
    "price": "162.01",
    "image_url": "https://images.example.com/1.jpg?w=1",
    "availability": "out_of_stock",
    "attributes": {"colour": "black"},
    "version_time": "2026-11-29T10:00:00Z",
}


def parsed(**fields: Any) -> CatalogueProduct:
    return parse_product(json.dumps({"product_id": "p", **fields}).encode())


def test_a_product_comes_back_as_it_was_written() -> None:
    product = parse_product(json.dumps(FULL).encode())
    assert (product.price, product.availability) == (16_201, Availability.OUT_OF_STOCK)
    assert json.loads(encode_product(product)) == FULL
    assert parse_product(encode_product(product)) == product


TEXTS = st.none() | st.text(st.characters(codec="utf-8", categories=["L", "N", "P"]), min_size=1, max_size=40)


@given(TEXTS, TEXTS, st.none() | st.integers(0, 999_999_999), st.sampled_from(Availability))
def test_every_valid_product_comes_back(
    name: str | None, brand: str | None, price: int | None, availability: Availability
) -> None:
    written = CatalogueProduct("p", product_name=name, brand=brand, price=price, availability=availability)
    read = parse_product(encode_product(written))
    assert parse_product(encode_product(read)) == read
    assert (read.price, read.availability) == (price, availability)


def test_what_is_left_out_or_empty_is_unknown_and_in_stock() -> None:
    empty = {name: "" for name in FULL if name not in ("product_id", "attributes")}
    for product in (parsed(), parsed(**empty), parsed(**dict.fromkeys(empty))):
        assert product == CatalogueProduct("p")
        assert product.recommendable


@pytest.mark.parametrize("price", ["9.90", 9.9, " 9.9 "])
def test_a_price_is_text_or_a_number(price: str | float) -> None:
    assert parsed(price=price).price == 990


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("product_id", ""),
        ("product_id", 1),
        ("product_id", "x" * 129),
        ("product_id", "a\nb"),
        ("product_name", "x" * 257),
        ("product_name", ["x"]),
        ("category_code", "a..b"),
        ("category_code", ".".join("abcdefghi")),
        ("brand", "\x00"),
        ("price", "-0.01"),
        ("price", "9.999"),
        ("price", "10000000.00"),
        ("price", "1e9"),
        ("price", True),
        ("image_url", "javascript:alert(1)"),
        ("image_url", "data:image/png;base64,AA"),
        ("image_url", "//images.example.com/1.jpg"),
        ("image_url", "https:///1.jpg"),
        ("image_url", "https://user:secret@images.example.com/1.jpg"),
        ("image_url", "https://images.example.com:99999/1.jpg"),
        ("image_url", "https://images.example.com/a b.jpg"),
        ("image_url", "https://images.example.com/" + "x" * 2_048),
        ("availability", "sold out"),
        ("attributes", {"a": 1}),
        ("attributes", {str(number): "" for number in range(33)}),
        ("attributes", {"": "x"}),
        ("version_time", "yesterday"),
        ("stock_level", "hidden"),
    ],
    ids=lambda given: given[:12] if isinstance(given, str) and given.isprintable() else None,
)
def test_what_breaks_the_contract_names_its_field(field: str, value: Any) -> None:
    with pytest.raises(InvalidProduct) as refused:
        parsed(**{field: value})
    assert refused.value.field == field


@pytest.mark.parametrize("value", [b"", b"[]", b"null", b"{", b"\xff{}", b"[" * 100_000], ids=range(6))
def test_what_is_no_object_is_refused(value: bytes) -> None:
    with pytest.raises(InvalidProduct, match="product "):
        parse_product(value)


def test_a_product_too_large_is_refused_before_it_is_read() -> None:
    with pytest.raises(InvalidProduct, match=f"more than {MAX_PRODUCT_BYTES:,}"):
        parse_product(b" " * (MAX_PRODUCT_BYTES + 1))


def test_the_id_is_that_of_the_route() -> None:
    assert parse_product(b"{}", product_id="p").product_id == "p"
    with pytest.raises(InvalidProduct, match="product_id must be 'p', or left out"):
        parse_product(b'{"product_id": "q"}', product_id="p")


class Shelf(dict[str, CatalogueProduct | None]):
    """What a reader has taken."""

    def put(self, product_id: str, product: CatalogueProduct | None) -> None:
        self[product_id] = product


def test_a_reader_takes_what_a_newer_writer_adds_and_skips_what_is_invalid() -> None:
    shelf = Shelf()
    assert put_record(shelf, b"p", b'{"product_id": "p", "brand": "acme", "rating": {"stars": 5}}') == "applied"
    assert shelf == {"p": CatalogueProduct("p", brand="acme")}
    invalid = [(None, b"{}"), (b"\xff", b"{}"), (b"p", b"{"), (b"p", b'{"product_id": "q"}'), (b"", b"{}")]
    assert {put_record(shelf, key, value) for key, value in invalid} == {"invalid"}
    assert shelf == {"p": CatalogueProduct("p", brand="acme")}
    assert put_record(shelf, b"p", None) == "applied"
    assert shelf == {"p": None}
