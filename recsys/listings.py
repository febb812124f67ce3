"""The shop's own catalogue over those of the models that answer. Pure; one entry a product of the shop."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice

from recsys.catalogue import Catalogue, Listing
from recsys.category_affinity import Categories

_SLICE = 2_000  # products


@dataclass(slots=True)
class _Described:
    """A model that follows the catalogue, and how many products without a sale may still get a row in it."""

    catalogue: Catalogue
    categories: Categories
    unsold_left: int

    def describe(self, product_id: str, listing: Listing | None) -> None:
        """Describe a product, if the model has a row for it or may give it one."""
        row = self.catalogue.row(product_id)
        if row is None:
            self._place(product_id, listing)
            return
        before = self.catalogue.categories[row]
        self.catalogue.list(row, listing)
        if self.catalogue.categories[row] != before:
            self.categories.assign(row, self.catalogue.categories[row])

    def _place(self, product_id: str, listing: Listing | None) -> None:
        """Give a product that nobody has bought yet a row, where its category says what it is like."""
        if listing is None or not listing.available or not listing.category or not self.unsold_left:
            return
        row = self.catalogue.add(product_id)
        if row is not None:
            self.unsold_left -= 1
            self.catalogue.list(row, listing)
            self.categories.assign(row, listing.category)


class Listings:
    """What the shop's catalogue says of each product, and the models that follow it."""

    def __init__(self, unsold: int = 0) -> None:
        """`unsold`: so many products that a model does not know get a row in it before their first sale.

        At most half of the rows that the model has left.
        """
        self._unsold = unsold
        self._listings: dict[str, Listing] = {}
        self._models: dict[str, _Described] = {}
        self.withheld = 0
        """Products that may not be shown."""

    def __len__(self) -> int:
        return len(self._listings)

    def put(self, product_id: str, listing: Listing | None) -> None:
        """Take what the catalogue says of a product, in every model; None: nothing any more."""
        self.withheld += _is_withheld(listing) - _is_withheld(self._listings.get(product_id))
        if listing is None:
            self._listings.pop(product_id, None)
        else:
            self._listings[product_id] = listing
        for model in self._models.values():
            model.describe(product_id, listing)

    def attach(self, version: str, catalogue: Catalogue, categories: Categories) -> Iterator[None]:
        """Describe a model's products from now on. Each step does a part of them; what comes between is not missed."""
        # The other half is for products that the stream sells.
        unsold = min(self._unsold, (catalogue.capacity - len(catalogue)) // 2)
        model = self._models[version] = _Described(catalogue, categories, unsold)
        catalogue.listings = self._listings
        # Rows first: entries without one are only looked at where they may get one.
        others = list(self._listings) if self._unsold else []
        products = chain(list(catalogue.product_ids), others)
        while some := list(islice(products, _SLICE)):
            for product_id in some:
                if (listing := self._listings.get(product_id)) is not None:
                    model.describe(product_id, listing)
            yield

    def detach(self, version: str) -> None:
        """Leave a model that does not answer any more."""
        self._models.pop(version, None)


def _is_withheld(listing: Listing | None) -> bool:
    return listing is not None and not listing.available
