"""Responses about customers and products."""

from typing import Annotated

from pydantic import Field

from services.common.products import Availability
from services.gateway.api.schemas.base import (
    Brand,
    CategoryCode,
    Id,
    ImageUrl,
    Money,
    ProductName,
    ResponseModel,
    Timestamp,
)
from services.gateway.api.schemas.figures import Bucket


class PurchaseEntry(ResponseModel):
    """One line of a customer's history."""

    event_time: Timestamp
    order_id: Id
    product_id: Id
    product_name: ProductName
    category_code: CategoryCode
    brand: Brand
    price: Money
    quantity: int
    revenue: Money


class CustomerResponse(ResponseModel):
    """A customer's totals and latest purchases, the newest first."""

    user_id: Id
    revenue: Money
    quantity: int
    orders: int
    first_seen: Timestamp | None
    last_seen: Timestamp | None
    months: Annotated[
        list[Bucket],
        Field(
            description="Spend by month, oldest first, without empty months. The sum is below the totals where the live"
            " tables were filled before they held months."
        ),
    ]
    purchases: list[PurchaseEntry]


class ProductResponse(ResponseModel):
    """A product as the catalogue describes it, else as the newest purchase did, with its totals."""

    product_id: Id
    product_name: ProductName
    category_id: str | None
    category_code: CategoryCode
    brand: Brand
    price: Money | None
    image_url: ImageUrl
    availability: Annotated[
        Availability | None, Field(description="Null where the catalogue says nothing of the product.")
    ]
    attributes: dict[str, str]
    revenue: Money
    quantity: int
    orders: int
