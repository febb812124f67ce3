"""Products: catalogue entry with totals, similar products, sales over time."""

from http import HTTPStatus
from typing import Annotated

import msgspec
from fastapi import Query, Request, Response

from services.common.money import format_cents
from services.common.products import Availability, CatalogueProduct
from services.common.tables import Figures, Granularity
from services.gateway.access.roles import Access
from services.gateway.access.route import gives, guarded_router
from services.gateway.api.params import From, K, ProductId, Search, To, time_range
from services.gateway.api.problems import Problem
from services.gateway.api.schemas.entities import ProductResponse
from services.gateway.api.schemas.figures import Bucket
from services.gateway.api.schemas.recommendations import SimilarProducts
from services.gateway.dependencies import Dependencies, get_dependencies
from services.gateway.queries.entities import Product, described, read_product
from services.gateway.queries.sales import read_product_sales
from services.gateway.queries.search import find_products
from services.gateway.routes.stats import SERIES_HEADERS, coarse, series_response

router = guarded_router(prefix="/v1/products", tags=["products"])


@router.get("", summary="Find products")
@gives(Access.FIGURES)
async def find(
    request: Request,
    search: Search = "",
    limit: Annotated[int, Query(ge=1, le=100)] = 10,
) -> list[ProductResponse]:
    """The product with exactly this id, then matching products among the 1,000 bestsellers, highest revenue first.
    Products are found by what the catalogue says of them, whether they may be recommended or not.

    A search word matches the beginning of a word of name, brand or category. The whole text matches the beginning of
    an id.
    """
    dependencies = get_dependencies(request)
    catalogue = dependencies.catalogue
    bestsellers = [catalogue.described(product) for product, _share in await dependencies.bestsellers.entries()]
    found = find_products(bestsellers, search, limit)
    exact = await _find(dependencies, search.strip()) if search.strip() else None
    if exact is not None:
        found = [exact, *(product for product in found if product.product_id != exact.product_id)][:limit]
    return [_response(product, catalogue.get(product.product_id)) for product in found]


@router.get("/{product_id}", summary="A product")
@gives(Access.FIGURES)
async def product(request: Request, product_id: ProductId) -> ProductResponse:
    """The product as the catalogue describes it, else as the newest purchase did, and its totals.

    404 where it was never sold and the catalogue does not know it, or has deleted it.
    """
    dependencies = get_dependencies(request)
    found = await _find(dependencies, product_id)
    if found is None:
        raise _unknown(product_id)
    return _response(found, dependencies.catalogue.get(product_id))


async def _find(dependencies: Dependencies, product_id: str) -> Product | None:
    sold, listed = await read_product(dependencies.shards, product_id), dependencies.catalogue.get(product_id)
    if sold is None and (listed is None or listed.availability is Availability.DELETED):
        return None
    return dependencies.catalogue.described(sold or Product(product_id, Figures(), None))


def _unknown(product_id: str) -> Problem:
    return Problem(HTTPStatus.NOT_FOUND, f"no purchase or entry of the catalogue of product {product_id!r} is known")


def _response(product: Product, listed: CatalogueProduct | None) -> ProductResponse:
    facts = product.facts
    return ProductResponse(
        product_id=product.product_id,
        **described(facts or listed),
        category_id=facts.category_id if facts else None,
        price=format_cents(facts.price) if facts else None,
        image_url=listed.image_url if listed else None,
        availability=listed.availability if listed else None,
        attributes=dict(listed.attributes) if listed else {},
        revenue=format_cents(product.total.revenue),
        quantity=product.total.quantity,
        orders=product.total.orders,
    )


@router.get("/{product_id}/similar", summary="Substitutes and complements", response_model=SimilarProducts)
@gives(Access.SIMILAR_PRODUCTS)
async def similar(request: Request, product_id: ProductId, k: K = 10) -> Response:
    """`items`: k products that meet the same need. `complements`: k products that are bought with it.

    Where nothing is known that could be like the product, `items` are popular products; while the recommender is
    unavailable, bestsellers of its category.
    """
    body = await get_dependencies(request).recommendations.similar(product_id, k)
    if body is None:
        raise _unknown(product_id)
    return Response(msgspec.json.encode(body), media_type="application/json")


@router.get(
    "/{product_id}/sales",
    summary="A product's sales over time",
    response_model=list[Bucket],
    responses={200: {"headers": {name: SERIES_HEADERS[name] for name in ("Tillstream-Cut",)}}},
)
@gives(Access.FIGURES)
async def sales(
    request: Request,
    response: Response,
    product_id: ProductId,
    *,
    granularity: Granularity = "month",
    start: From = None,
    to: To = None,
) -> list[Bucket]:
    """Buckets by month or day, oldest first, as for the whole shop. Empty for a product that was never sold."""
    shards = get_dependencies(request).shards
    wanted = time_range(start, to)
    series = await read_product_sales(shards, product_id, coarse(granularity), wanted)
    return series_response(series, shards.generation.zone, response)
