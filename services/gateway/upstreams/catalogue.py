"""The shop's catalogue as topic `products` says it, in memory: what is known of a product, and whether it is sold."""

from msgspec.structs import replace

from services.common.metrics import PRODUCTS_KNOWN, PRODUCTS_WITHHELD
from services.common.products import CatalogueProduct
from services.common.tables import ProductFacts
from services.gateway.queries.entities import Product


class ShopCatalogue:
    """The newest record of each product."""

    def __init__(self) -> None:
        self._products: dict[str, CatalogueProduct] = {}
        self._withheld = 0
        self.version = 0
        """Grows with each record."""

    def put(self, product_id: str, product: CatalogueProduct | None) -> None:
        """Take a product's newest record; None: the catalogue knows nothing of it any more."""
        self._withheld += _is_withheld(product) - _is_withheld(self._products.get(product_id))
        if product is None:
            self._products.pop(product_id, None)
        else:
            self._products[product_id] = product
        self.version += 1
        PRODUCTS_KNOWN.set(len(self._products))
        PRODUCTS_WITHHELD.set(self._withheld)

    def get(self, product_id: str) -> CatalogueProduct | None:
        """What the catalogue says of a product; None where it says nothing."""
        return self._products.get(product_id)

    def withholds(self, product_id: str) -> bool:
        """Whether a product may not be recommended."""
        return _is_withheld(self._products.get(product_id))

    def image_url(self, product_id: str) -> str | None:
        """Where a picture of the product is."""
        product = self._products.get(product_id)
        return product.image_url if product else None

    def described(self, product: Product) -> Product:
        """A product with the facts of the catalogue, where it has any; its totals stay."""
        listed = self._products.get(product.product_id)
        return product if listed is None else Product(product.product_id, product.total, _facts(listed, product.facts))


def _is_withheld(product: CatalogueProduct | None) -> bool:
    return product is not None and not product.recommendable


def _facts(listed: CatalogueProduct, sold: ProductFacts | None) -> ProductFacts | None:
    """The facts of the catalogue, and of the newest purchase where the catalogue has none; None without any price."""
    if sold is None:
        if listed.price is None:
            return None
        sold = ProductFacts(None, None, None, None, listed.price, 0)
    return replace(
        sold,
        product_name=listed.product_name or sold.product_name,
        category_code=listed.category_code or sold.category_code,
        brand=listed.brand or sold.brand,
        price=sold.price if listed.price is None else listed.price,
    )
