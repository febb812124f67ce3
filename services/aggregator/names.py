"""Names that are counted under another one."""

from collections.abc import Mapping
from typing import NamedTuple


class Renamed(NamedTuple):
    """Brands, categories and products of a batch that are counted under another name."""

    brands: Mapping[str, str]
    categories: Mapping[str, str]
    products: Mapping[str, str]

    def of(self, category: str, brand: str, product: str) -> tuple[str, str, str]:
        """The names under which these are counted."""
        return (
            self.categories.get(category, category),
            self.brands.get(brand, brand),
            self.products.get(product, product),
        )

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self.brands or self.categories or self.products)


AS_SENT = Renamed({}, {}, {})
