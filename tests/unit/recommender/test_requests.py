"""The limits of a request, each with the field in its message."""

import pytest

from proto.tillstream.recommender.v1 import recommender_pb2 as pb
from recsys.catalogue import Filters
from services.recommender.requests import InvalidArgument, read_filters, read_id, read_ids, read_k


@pytest.mark.parametrize(("asked", "meant"), [(0, 3), (1, 1), (100, 100)])
def test_k_within_its_limits(asked: int, meant: int) -> None:
    assert read_k(asked) == meant


@pytest.mark.parametrize("k", [-1, 101, 10_000, -(2**31)])
def test_k_outside_its_limits(k: int) -> None:
    with pytest.raises(InvalidArgument, match=f"^k must be 1 to 100 .* not {k}$"):
        read_k(k)


def test_ids_of_the_longest_length_pass() -> None:
    assert read_id("user_id", "x" * 128) == "x" * 128
    assert read_ids("user_ids", ["a"] * 1000) == ("a",) * 1000


@pytest.mark.parametrize("id_", ["", "x" * 129])
def test_an_id_of_the_wrong_length_names_its_field(id_: str) -> None:
    with pytest.raises(InvalidArgument, match=r"^user_id must be 1 to 128 characters"):
        read_id("user_id", id_)
    with pytest.raises(InvalidArgument, match=r"^user_ids\[1\] must be 1 to 128 characters"):
        read_ids("user_ids", ["fine", id_])


@pytest.mark.parametrize("count", [0, 1001])
def test_a_list_of_the_wrong_length_names_its_field(count: int) -> None:
    with pytest.raises(InvalidArgument, match=f"^product_ids must hold 1 to 1000 ids, not {count}$"):
        read_ids("product_ids", ["a"] * count)


def test_filters_that_are_not_set_let_everything_through() -> None:
    assert read_filters(pb.Filters()) == Filters()


def test_filters_that_are_set_are_read_even_where_they_are_zero_or_false() -> None:
    message = pb.Filters(
        category="electronics",
        brand="acme",
        min_price_cents=0,
        max_price_cents=0,
        exclude_purchased=False,
        exclude_product_ids=["a"],
    )
    assert read_filters(message) == Filters("electronics", "acme", 0, 0, False, ("a",))


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (pb.Filters(min_price_cents=-1), "filters.min_price_cents must be 0 or more"),
        (pb.Filters(max_price_cents=-1), "filters.max_price_cents must be 0 or more"),
        (pb.Filters(min_price_cents=5, max_price_cents=4), "filters.min_price_cents 5 is above filters.max_price_"),
        (pb.Filters(category="c" * 257), "filters.category must be at most 256"),
        (pb.Filters(brand="b" * 257), "filters.brand must be at most 256"),
        (pb.Filters(exclude_product_ids=[""]), r"filters.exclude_product_ids\[0\] must be 1 to 128"),
        (pb.Filters(exclude_product_ids=["a"] * 1001), "filters.exclude_product_ids must hold 0 to 1000"),
    ],
)
def test_a_filter_that_breaks_the_contract_names_its_field(message: pb.Filters, field: str) -> None:
    with pytest.raises(InvalidArgument, match=f"^{field}"):
        read_filters(message)
