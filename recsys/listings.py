"""The shop's own catalogue over those of the models that answer. Pure; one entry a product of the shop."""

from collections.abc import Iterator

from recsys.catalogue import Catalogue, Listing
from recsys.category_affinity import Categories

_SLICE = 2_000  # products


class Listings:
    """What the shop's catalogue says of each product, and the models that follow it."""

    def __init__(self) -> None:
        self._listings: dict[str, Listing] = {}
        self._models: dict[str, tuple[Catalogue, Categories]] = {}
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
        for catalogue, categories in self._models.values():
            if (row := catalogue.row(product_id)) is not None:
                _list(catalogue, categories, row, listing)

    def attach(self, version: str, catalogue: Catalogue, categories: Categories) -> Iterator[None]:
        """Describe a model's products from now on. Each step does a part of them; what comes between is not missed."""
        self._models[version] = catalogue, categories
        catalogue.listings = self._listings
        for row, product_id in enumerate(catalogue.product_ids):
            if (listing := self._listings.get(product_id)) is not None:
                _list(catalogue, categories, row, listing)
            if row % _SLICE == _SLICE - 1:
                yield

    def detach(self, version: str) -> None:
        """Leave a model that does not answer any more."""
        self._models.pop(version, None)


def _is_withheld(listing: Listing | None) -> bool:
    return listing is not None and not listing.available


def _list(catalogue: Catalogue, categories: Categories, row: int, listing: Listing | None) -> None:
    before = catalogue.categories[row]
    catalogue.list(row, listing)
    if catalogue.categories[row] != before:
        categories.assign(row, catalogue.categories[row])
