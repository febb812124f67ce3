"""Customers: search, totals with latest purchases, recommendations."""

from http import HTTPStatus
from typing import Annotated
from zoneinfo import ZoneInfo

from fastapi import Query, Request, Response

from services.common.money import format_cents
from services.common.tables import PurchaseLine
from services.common.times import format_time
from services.gateway.access.roles import Access
from services.gateway.access.route import gives, guarded_router
from services.gateway.api.params import Alike, Brand, Category, K, MaxPrice, MinPrice, Prefix, UserId, check_prices
from services.gateway.api.problems import Problem
from services.gateway.api.schemas.base import Id
from services.gateway.api.schemas.entities import CustomerResponse, PurchaseEntry
from services.gateway.api.schemas.recommendations import Recommendations
from services.gateway.dependencies import get_dependencies
from services.gateway.queries.entities import CustomerRecord, described, read_customer
from services.gateway.queries.rankings import find_customers
from services.gateway.stream.shop_state import bucket_of
from services.gateway.upstreams.recommender_client import Filters

router = guarded_router(prefix="/v1/users", tags=["customers"])


@router.get("", summary="Find customers")
@gives(Access.PERSONS)
async def find(
    request: Request,
    prefix: Prefix = "",
    limit: Annotated[int, Query(ge=1, le=100)] = 10,
) -> list[Id]:
    """Ids of known customers that begin with the prefix, highest revenue first."""
    return await find_customers(get_dependencies(request).shards, prefix, limit)


@router.get("/{user_id}", summary="A customer")
@gives(Access.PERSONS)
async def customer(request: Request, user_id: UserId) -> CustomerResponse:
    """All-time totals, totals by month, and the latest 50 purchase lines by event time."""
    shards = get_dependencies(request).shards
    found = await read_customer(shards, user_id)
    if found is None:
        raise Problem(HTTPStatus.NOT_FOUND, f"no purchase of customer {user_id!r} is known")
    return _response(found, shards.generation.zone)


def _response(customer: CustomerRecord, zone: ZoneInfo) -> CustomerResponse:
    return CustomerResponse(
        user_id=customer.user_id,
        revenue=format_cents(customer.total.revenue),
        quantity=customer.total.quantity,
        orders=customer.total.orders,
        first_seen=None if customer.first_seen is None else format_time(customer.first_seen),
        last_seen=None if customer.last_seen is None else format_time(customer.last_seen),
        months=[bucket_of(month, zone) for month in sorted(customer.months.items())],
        purchases=[_purchase(line) for line in customer.purchases],
    )


def _purchase(line: PurchaseLine) -> PurchaseEntry:
    return PurchaseEntry(
        event_time=format_time(line.event_time),
        order_id=line.order_id,
        product_id=line.product_id,
        **described(line),
        price=format_cents(line.price),
        quantity=line.quantity,
        revenue=format_cents(line.revenue),
    )


@router.get("/{user_id}/recommendations", summary="Recommendations for a customer", response_model=Recommendations)
@gives(Access.RECOMMENDATIONS)
async def recommendations(  # noqa: PLR0913  query parameters
    request: Request,
    user_id: UserId,
    *,
    k: K = 3,
    category: Category = None,
    brand: Brand = None,
    min_price: MinPrice = None,
    max_price: MaxPrice = None,
    exclude_purchased: Annotated[
        bool | None,
        Query(
            description="Exclude products that the customer bought. Default: as the weights of the model say, which a "
            "validation chose (groceries are bought again). During an outage of the recommender, the last model's "
            "choice stays; before the first model, they are excluded."
        ),
    ] = None,
    alike: Alike = False,
) -> Response:
    """The k products that the customer is most likely to buy next, best first, each with a reason.

    There is always a response. `strategy` is `popular` for an unknown customer, and `popular_fallback` (the shop's
    bestsellers) while the recommender is unavailable.
    """
    check_prices(min_price, max_price)
    filters = Filters(category, brand, min_price, max_price, exclude_purchased, alike=alike)
    body = await get_dependencies(request).recommendations.for_customer(user_id, k, filters)
    return Response(body, media_type="application/json")
