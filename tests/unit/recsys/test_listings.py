"""The shop's own catalogue over a model's: its facts win, and what it withholds is in no answer."""

from dataclasses import replace

import numpy as np
import pytest

from recsys.catalogue import Catalogue, Facts, Filters, Labels, Listing, ProductColumns
from recsys.category_affinity import Categories
from recsys.listings import Listings
from recsys.model import load_model
from recsys.recommender import Recommender
from recsys.score_weights import DecayTerm, ScoreWeights
from tests.support.models import CUT_OFF_MS, MODELS, ModelSpec, Objects, checkerboard, publish

SOLD = Facts("sold name", "sold.category", "sold brand", 500)
WITHHELD = Listing(available=False)
PERSONAL = ScoreWeights(
    factors=0.3, popularity=0.02, live=0.03, neighbours=0.5, trends=(DecayTerm(24.0, 1.0),), shrink=1.0
)


def column(text: str, rows: int) -> Labels:
    return Labels(np.zeros(rows, np.int32), [text])


def catalogue_of(*product_ids: str, spare: int = 2) -> Catalogue:
    rows = len(product_ids)
    columns = ProductColumns(
        column(SOLD.name or "", rows),
        column(SOLD.category or "", rows),
        column(SOLD.brand or "", rows),
        np.full(rows, SOLD.price),
        np.zeros(rows, np.int64),
    )
    return Catalogue(product_ids, rows, columns, spare)


def facts_of(catalogue: Catalogue, product_id: str) -> Facts:
    row = catalogue.row(product_id)
    assert row is not None
    return Facts(catalogue.names[row], catalogue.categories[row], catalogue.brands[row], int(catalogue.prices[row]))


def attached(listings: Listings, catalogue: Catalogue) -> Categories:
    categories = Categories(np.zeros(catalogue.capacity, np.int32), np.eye(2), {"sold.category": 0, "own": 1})
    for _ in listings.attach("v", catalogue, categories):
        pass
    return categories


def test_what_the_catalogue_says_wins_over_purchases_whenever_they_come() -> None:
    listings, catalogue = Listings(), catalogue_of("p")
    listings.put("p", Listing(name="own name", price=0))
    categories = attached(listings, catalogue)
    assert facts_of(catalogue, "p") == Facts("own name", "sold.category", "sold brand", 0)
    catalogue.update(0, Facts("later", "sold.category", "later brand", 700), event_time_ms=9)
    assert facts_of(catalogue, "p") == Facts("own name", "sold.category", "later brand", 0)
    listings.put("p", Listing(category="own"))
    assert facts_of(catalogue, "p") == Facts("later", "own", "later brand", 700)
    assert categories.of[0] == 1
    assert catalogue.allowed(Filters(category="own", min_price=700))[0]
    listings.put("p", None)
    assert facts_of(catalogue, "p") == Facts("later", "sold.category", "later brand", 700)
    assert categories.of[0] == 0


def test_a_product_that_is_sold_for_the_first_time_has_its_listing_at_once() -> None:
    listings, catalogue = Listings(), catalogue_of("p")
    attached(listings, catalogue)
    listings.put("new", Listing(brand="own", available=False))
    row = catalogue.add("new")
    assert row == 1
    catalogue.update(row, SOLD, event_time_ms=1)
    assert facts_of(catalogue, "new") == SOLD._replace(brand="own")
    assert catalogue.allowed(Filters()).tolist() == [True, False, False], "neither what is withheld nor a spare row"
    listings.put("new", None)
    assert catalogue.allowed(Filters()).tolist() == [True, True, False]


def test_what_comes_while_a_model_is_attached_is_not_missed() -> None:
    listings, names = Listings(), [f"p{number:04d}" for number in range(5_000)]
    for name in names:
        listings.put(name, WITHHELD)
    catalogue = catalogue_of(*names)
    categories = Categories(np.zeros(catalogue.capacity, np.int32), np.eye(1))
    steps = 0
    for _ in listings.attach("v", catalogue, categories):
        steps += 1
        listings.put(names[0], Listing())  # before the place that the attachment has reached
        listings.put(names[-1], Listing())  # and behind it
    assert steps == 3
    assert np.flatnonzero(catalogue.allowed(Filters())).tolist() == [0, len(names) - 1]
    listings.detach("v")
    listings.put(names[1], Listing())
    assert not catalogue.allowed(Filters())[1], "a model that was left is not touched"


def test_products_without_a_sale_get_a_row_by_their_category_as_far_as_there_are_any() -> None:
    listings, catalogue = Listings(unsold=2), catalogue_of("p", spare=4)
    listings.put("early", Listing(category="own", price=100))
    listings.put("no category", Listing())
    listings.put("hidden", Listing(category="own", available=False))
    categories = attached(listings, catalogue)
    listings.put("late", Listing(category="elsewhere"))
    listings.put("too late", Listing(category="own"))
    assert catalogue.product_ids == ["p", "early", "late"]
    assert categories.of.tolist() == [0, 1, -1, 0, 0]
    listings.put("late", WITHHELD)
    assert np.flatnonzero(catalogue.allowed(Filters())).tolist() == [0, 1]
    assert catalogue.add("sold now") == 3, "the other spare rows are those of the stream"


def test_products_without_a_sale_get_at_most_half_of_the_rows_that_are_left() -> None:
    listings, catalogue = Listings(unsold=1_000), catalogue_of("p", spare=6)
    catalogue.add("sold before the catalogue came")
    for number in range(9):
        listings.put(f"unsold {number}", Listing(category="own"))
    attached(listings, catalogue)
    listings.put("late", Listing(category="own"))
    assert len(catalogue) == 4
    assert [catalogue.add(f"sold {number}") for number in range(4)] == [4, 5, 6, None]


def test_a_new_product_has_substitutes_of_its_category_and_comes_behind_what_was_sold(spec: ModelSpec) -> None:
    listings = Listings(unsold=1)
    board = recommender_of(spec, listings, spare=2)
    like = board.model.catalogue.categories[0]
    listings.put("new", Listing(name="new", category=like))
    row = board.model.catalogue.row("new")
    assert row is not None
    related = board.related(row, 3, Filters(), CUT_OFF_MS)
    assert {board.model.catalogue.categories[pick.product] for pick in related.substitutes} == {like}
    everything = [pick.product for pick in board.for_user("nobody", 100, Filters(), CUT_OFF_MS).picks]
    assert everything[-1] == row


@pytest.fixture(scope="module")
def spec() -> ModelSpec:
    return replace(checkerboard(size=8), composition=PERSONAL)


def recommender_of(spec: ModelSpec, listings: Listings, spare: int = 0) -> Recommender:
    store = Objects()
    publish(store, spec)
    model = load_model(store, f"{MODELS}/{spec.version}", spec.version, spare=spare)
    for _ in listings.attach(spec.version, model.catalogue, model.scorer.categories):
        pass
    return Recommender(model, model.live_state())


@pytest.mark.parametrize("seed", range(6))
def test_answers_are_the_exact_best_of_what_is_left(spec: ModelSpec, seed: int) -> None:
    """The same as those of a request that excludes what is withheld: also by the next model."""
    listings = Listings()
    plain, serving = recommender_of(spec, Listings()), recommender_of(spec, listings)
    products = plain.model.catalogue.product_ids
    gone = tuple(np.random.default_rng(seed).choice(products, size=seed + 1, replace=False).tolist())
    for product_id in gone:
        listings.put(product_id, WITHHELD)
    excluding = Filters(exclude=gone)
    for other in (serving, recommender_of(spec, listings)):
        for user in ("u00", "u05", "nobody"):
            for k in (1, 3, 20):
                expected = plain.for_user(user, k, excluding, CUT_OFF_MS)
                assert other.for_user(user, k, Filters(), CUT_OFF_MS) == expected
        basket = [products[0], products[3]]
        assert other.for_basket(basket, 5, Filters(), CUT_OFF_MS) == plain.for_basket(basket, 5, excluding, CUT_OFF_MS)
        for row in range(len(products)):
            assert other.related(row, 5, Filters(), CUT_OFF_MS) == plain.related(row, 5, excluding, CUT_OFF_MS)
