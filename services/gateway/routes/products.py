"""Products: catalogue entry with totals, similar products, sales over time."""

from http import HTTPStatus
from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Request, Response

from services.common.categories import UNKNOWN
from services.common.money import format_cents
from services.common.tables import Granularity
from services.gateway.api.params import From, K, ProductId, Search, To, time_range
from services.gateway.api.problems import Problem
from services.gateway.api.schemas import Bucket, ProductResponse, SimilarProducts
from services.gateway.dependencies import get_dependencies
from services.gateway.queries.entities import Product, read_product
from services.gateway.queries.sales import read_product_sales
from services.gateway.queries.search import find_products
from services.gateway.routes.stats import SERIES_HEADERS, answer_series, coarse

router = APIRouter(prefix="/v1/products", tags=["products"])


@router.get("", summary="Find products")
async def find(
    request: Request,
    search: Search = "",
    limit: Annotated[int, Query(ge=1, le=100)] = 10,
) -> list[ProductResponse]:
    """The product of this very id, then the best-selling ones that the words fit, among the 1,000 that lead by revenue.

    A word fits where a word of name, brand or category begins with it; an id, where it begins so.
    """
    dependencies = get_dependencies(request)
    leading = [product for product, _share in await dependencies.bestsellers.entries()]
    found = find_products(leading, search, limit)
    exact = await read_product(dependencies.shards, search.strip()) if search.strip() else None
    if exact is not None:
        found = [exact, *(product for product in found if product.product_id != exact.product_id)][:limit]
    return [_answer(product) for product in found]


@router.get("/{product_id}", summary="A product")
async def product(request: Request, product_id: ProductId) -> ProductResponse:
    """What the newest purchase said about the product, and its totals."""
    found = await read_product(get_dependencies(request).shards, product_id)
    if found is None:
        raise _unknown(product_id)
    return _answer(found)


def _unknown(product_id: str) -> Problem:
    return Problem(HTTPStatus.NOT_FOUND, f"no purchase of product {product_id!r} is known")


def _answer(product: Product) -> ProductResponse:
    facts = product.facts
    return ProductResponse(
        product_id=product.product_id,
        product_name=(facts and facts.product_name) or UNKNOWN,
        category_id=facts.category_id if facts else None,
        category_code=(facts and facts.category_code) or UNKNOWN,
        brand=(facts and facts.brand) or UNKNOWN,
        price=format_cents(facts.price) if facts else None,
        revenue=format_cents(product.total.revenue),
        quantity=product.total.quantity,
        orders=product.total.orders,
    )


@router.get("/{product_id}/similar", summary="Similar products", response_model=SimilarProducts)
async def similar(request: Request, product_id: ProductId, k: K = 10) -> Response:
    """The products most like this one; popular ones of its category while no model can be asked."""
    answer = await get_dependencies(request).recommendations.similar(product_id, k)
    if answer is None:
        raise _unknown(product_id)
    return Response(msgspec.json.encode(answer), media_type="application/json")


@router.get(
    "/{product_id}/sales",
    summary="A product's sales over time",
    response_model=list[Bucket],
    responses={200: {"headers": {name: SERIES_HEADERS[name] for name in ("Tillstream-Cut",)}}},
)
async def sales(
    request: Request,
    response: Response,
    product_id: ProductId,
    *,
    granularity: Granularity = "month",
    start: From = None,
    to: To = None,
) -> list[Bucket]:
    """Buckets by month or day, oldest first, as for the whole shop; empty for a product never sold."""
    shards = get_dependencies(request).shards
    wanted = time_range(start, to)
    series = await read_product_sales(shards, product_id, coarse(granularity), wanted)
    return answer_series(series, shards.generation.zone, response)
