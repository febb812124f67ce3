"""The catalogue in the gateway's memory: which products are withheld, and whose words describe a product."""

import math
from typing import cast

from services.common.products import Availability, CatalogueProduct
from services.common.tables import Figures, ProductFacts
from services.gateway.queries.entities import Product
from services.gateway.queries.shards import LiveTables
from services.gateway.upstreams.bestsellers import BestsellerCache
from services.gateway.upstreams.catalogue import ShopCatalogue

HIDDEN = CatalogueProduct("p", availability=Availability.HIDDEN)
SOLD = Product("p", Figures(500, 1, 1), ProductFacts("Old name", "7", "old.category", "old", 500, 1))


def test_only_what_is_in_stock_is_not_withheld() -> None:
    catalogue = ShopCatalogue()
    assert not catalogue.withholds("p")
    for availability in Availability:
        catalogue.put("p", CatalogueProduct("p", availability=availability))
        assert catalogue.withholds("p") == (availability is not Availability.IN_STOCK)
    catalogue.put("p", None)
    assert not catalogue.withholds("p")


def test_the_catalogue_wins_and_purchases_fill_what_it_leaves_out() -> None:
    catalogue = ShopCatalogue()
    assert catalogue.described(SOLD) is SOLD
    catalogue.put("p", CatalogueProduct("p", product_name="New name", price=0))
    assert catalogue.described(SOLD).facts == ProductFacts("New name", "7", "old.category", "old", 0, 1)
    assert catalogue.described(SOLD).total == SOLD.total, "figures are what purchases say"


def test_a_product_that_was_never_sold_is_described_where_it_has_a_price() -> None:
    catalogue = ShopCatalogue()
    unsold = Product("q", Figures(), None)
    catalogue.put("q", CatalogueProduct("q", brand="acme"))
    assert catalogue.described(unsold).facts is None
    catalogue.put("q", CatalogueProduct("q", brand="acme", price=100))
    facts = catalogue.described(unsold).facts
    assert facts is not None
    assert (facts.brand, facts.price) == ("acme", 100)


async def test_while_a_catalogue_is_written_best_sellers_are_described_ten_times_a_second() -> None:
    catalogue, now = ShopCatalogue(), [7.0]
    bestsellers = BestsellerCache(cast(LiveTables, None), catalogue, clock=lambda: now[0])
    bestsellers._entries, bestsellers._read_at = [(SOLD, 1.0)], math.inf  # as read from Redis; not read again
    assert await bestsellers.offered() == [(SOLD, 1.0)]
    catalogue.put("q", CatalogueProduct("q"))
    now[0] += 0.2
    described = await bestsellers.offered()
    catalogue.put("p", HIDDEN)
    now[0] += 0.09
    assert await bestsellers.offered() is described
    now[0] += 0.02
    assert await bestsellers.offered() == []
    now[0] += 1.0
    assert await bestsellers.offered() is await bestsellers.offered(), "nothing was written"
    catalogue.put("p", None)
    bestsellers._entries = [(SOLD, 0.5)]
    assert await bestsellers.offered() == [(SOLD, 0.5)], "best sellers that were read anew are described at once"
