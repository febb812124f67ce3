"""Follows the shop's catalogue for every model that answers: its facts win, and what is not in stock is not shown."""

import asyncio
import logging

from recsys.catalogue import Listing
from recsys.listings import Listings
from recsys.model import Model
from services.common.metrics import PRODUCTS_KNOWN, PRODUCTS_WITHHELD
from services.common.product_follower import ProductFollower
from services.common.products import CatalogueProduct
from services.common.settings import KafkaSettings

logger = logging.getLogger(__name__)


class ListingSink:
    """Puts what topic `products` says into the listings."""

    def __init__(self, listings: Listings) -> None:
        self._listings = listings

    def put(self, product_id: str, product: CatalogueProduct | None) -> None:
        """Take a product's newest record."""
        self._listings.put(product_id, None if product is None else listing_of(product))
        PRODUCTS_KNOWN.set(len(self._listings))
        PRODUCTS_WITHHELD.set(self._listings.withheld)


def listing_of(product: CatalogueProduct) -> Listing:
    """What the recommender needs of a product."""
    return Listing(product.product_name, product.category_code, product.brand, product.price, product.recommendable)


class ShopProducts:
    """Applies topic `products` to every model, on the running event loop."""

    def __init__(self, settings: KafkaSettings, patience_s: float, unsold: int = 0) -> None:
        """`patience_s`: a model answers without the catalogue where nothing of it was read for so long.

        `unsold`: so many products that a model does not know get a row in it before their first sale.
        """
        self.listings = Listings(unsold)
        self._follower = ProductFollower(settings, ListingSink(self.listings))
        self._patience_s = patience_s

    async def start(self) -> None:
        """Begin to follow; returns at once."""
        await self._follower.start()

    async def close(self) -> None:
        """Stop following."""
        await self._follower.close()

    async def attach(self, model: Model) -> None:
        """Return once a model has all that the catalogue says, as far as Kafka answers."""
        if not await self._follower.wait_caught_up(self._patience_s):
            logger.warning(
                "model %s is serving without all of the catalogue: Kafka is unavailable or slow",
                model.version,
                extra={"model": model.version},
            )
        for _ in self.listings.attach(model.version, model.catalogue, model.scorer.categories):
            await asyncio.sleep(0)

    def detach(self, version: str) -> None:
        """Leave a model that does not answer any more."""
        self.listings.detach(version)
