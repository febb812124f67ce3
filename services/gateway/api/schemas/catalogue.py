"""Requests and responses of the catalogue."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from services.common.products import MAX_ATTRIBUTES, MAX_URL_LENGTH, Availability
from services.gateway.api.schemas.base import Id, ResponseModel

_PRICE = {"anyOf": [{"type": "string", "pattern": r"^[0-9]{1,7}(\.[0-9]{1,2}0*)?$"}, {"type": "number"}]}


class ProductBody(BaseModel):
    """The contract of topic `products`, as documentation. services/common/products.py validates."""

    model_config = ConfigDict(extra="forbid")

    product_id: str | None = Field(default=None, min_length=1, max_length=128)
    product_name: str | None = Field(default=None, max_length=256)
    category_code: str | None = Field(default=None, max_length=256, examples=["electronics.smartphone"])
    brand: str | None = Field(default=None, max_length=256)
    price: Annotated[str | None, WithJsonSchema(_PRICE)] = Field(default=None, description="In whole cents.")
    image_url: str | None = Field(default=None, max_length=MAX_URL_LENGTH, description="Of http or https.")
    availability: Availability = Availability.IN_STOCK
    attributes: dict[str, str] | None = Field(default=None, max_length=MAX_ATTRIBUTES)
    version_time: str | None = Field(default=None, description="RFC 3339: when the shop's system changed it.")


class ProductWritten(ResponseModel):
    """The broker has acknowledged the product's record."""

    product_id: Id
    availability: Availability
    offset: Annotated[int, Field(description="Of the record in topic `products`.")]


class ProductVerdict(ResponseModel):
    """The result of one line."""

    index: int
    status: Literal["accepted", "rejected", "unconfirmed"]
    product_id: str | None = None
    field: Annotated[str | None, Field(description="What is wrong with a rejected product.", examples=["price"])] = None
    detail: str | None = None


class ProductsWritten(ResponseModel):
    """A verdict per line, in their order."""

    accepted: int
    rejected: int
    verdicts: list[ProductVerdict]
