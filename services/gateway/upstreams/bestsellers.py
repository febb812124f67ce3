"""Bestsellers from the live tables: the fallback while the recommender is unavailable."""

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Sequence
from itertools import islice

from services.common.categories import UNKNOWN, is_within
from services.common.redis_client import REDIS_ERRORS
from services.gateway.queries.entities import Product, read_totals
from services.gateway.queries.figures import share
from services.gateway.queries.rankings import read_ranked_products
from services.gateway.queries.shards import LiveTables
from services.gateway.upstreams.catalogue import ShopCatalogue
from services.gateway.upstreams.recommender_client import Filters

logger = logging.getLogger(__name__)

_DEPTH = 1_000
_MAX_AGE_SECONDS = 5.0
_OFFERED_SECONDS = 0.1  # while a catalogue is written, each record would describe all of them anew

# A product with its share of all revenue.
Bestseller = tuple[Product, float]


class BestsellerCache:
    """The best-selling products, read at most every few seconds. Keeps the last ones while Redis is unavailable."""

    def __init__(
        self, tables: LiveTables, catalogue: ShopCatalogue, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._tables = tables
        self._catalogue = catalogue
        self._clock = clock
        self._offered: list[Bestseller] = []
        self._offered_of: tuple[int, Sequence[Bestseller]] = -1, ()
        self._offered_at = float("-inf")
        self._lock = asyncio.Lock()
        self._read_at = float("-inf")
        self._entries: list[Bestseller] = []

    async def entries(self) -> Sequence[Bestseller]:
        """The best-selling products, best first; empty where nothing was sold or Redis was never reached."""
        async with self._lock:
            if time.monotonic() - self._read_at > _MAX_AGE_SECONDS:
                await self._refresh()
        return self._entries

    async def offered(self) -> Sequence[Bestseller]:
        """Those that may be recommended, as the catalogue describes them now or did a tenth of a second ago."""
        entries, now = await self.entries(), self._clock()
        version, of = self._offered_of
        waited = now - self._offered_at >= _OFFERED_SECONDS
        if of is not entries or (version != self._catalogue.version and waited):
            self._offered, self._offered_at = self._described(entries), now
            self._offered_of = self._catalogue.version, entries
        return self._offered

    def _described(self, entries: Sequence[Bestseller]) -> list[Bestseller]:
        catalogue = self._catalogue
        return [
            (catalogue.described(product), part)
            for product, part in entries
            if not catalogue.withholds(product.product_id)
        ]

    async def _refresh(self) -> None:
        try:
            shards = self._tables.reader
            revenue = (await read_totals(shards)).revenue
            products = await read_ranked_products(shards, _DEPTH)
        except REDIS_ERRORS as error:
            logger.warning("reading the bestsellers failed: %s", error)
            self._read_at = time.monotonic()
            return
        self._entries = [(product, share(product.total.revenue, revenue) or 0.0) for product in products]
        # Empty tables may fill at any time, so they are read again at once.
        self._read_at = time.monotonic() if products else float("-inf")


def top_k(entries: Sequence[Bestseller], k: int, filters: Filters, excluded: Collection[str]) -> list[Bestseller]:
    """The k best-selling products that pass the filters and are not excluded."""
    ignored = {*excluded, *filters.exclude_product_ids}
    return list(islice((e for e in entries if e[0].product_id not in ignored and _passes(e[0], filters)), k))


def _passes(product: Product, filters: Filters) -> bool:
    facts = product.facts
    if facts is None:
        return filters == Filters(exclude_purchased=filters.exclude_purchased)
    return (
        (filters.category is None or is_within(facts.category_code or UNKNOWN, filters.category))
        and (filters.brand is None or (facts.brand or UNKNOWN) == filters.brand)
        and (filters.min_price is None or facts.price >= filters.min_price)
        and (filters.max_price is None or facts.price <= filters.max_price)
    )
