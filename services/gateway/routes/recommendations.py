"""Recommendations for a batch of customers, or for an anonymous basket."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
from fastapi import Request, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from services.gateway.access.roles import Access
from services.gateway.access.route import gives, guarded_router
from services.gateway.api.params import ALIKE, MAX_K, Identifier, Price, Text, check_prices
from services.gateway.api.presence import while_present
from services.gateway.api.problems import bad_field, shortened
from services.gateway.api.schemas.recommendations import RecommendationList
from services.gateway.dependencies import get_dependencies
from services.gateway.upstreams.recommendations import Json
from services.gateway.upstreams.recommender_client import Filters

router = guarded_router(prefix="/v1/recommendations", tags=["recommendations"])

MAX_IDS = 1_000
# A thousand ids of full length in four bytes a character are half a megabyte.
_MAX_BODY_BYTES = 1024 * 1024
# Including the wait for other large batches.
_BATCH_SECONDS = 30.0


class RecommendationsRequest(BaseModel):
    """Either customers or the products of a basket, and filters of the recommended products."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"user_ids": ["1515915625441993984", "1515915625443148002"], "k": 3},
                {"product_ids": ["1515966223509088509"], "k": 5, "category": "electronics", "max_price": "99.90"},
            ]
        },
    )

    user_ids: list[Identifier] | None = Field(default=None, min_length=1, max_length=MAX_IDS, fail_fast=True)
    product_ids: list[Identifier] | None = Field(default=None, min_length=1, max_length=MAX_IDS, fail_fast=True)
    k: int = Field(default=3, ge=1, le=MAX_K, strict=True)
    category: Text | None = None
    brand: Text | None = None
    min_price: Price | None = None
    max_price: Price | None = None
    exclude_purchased: bool | None = Field(
        default=None,
        strict=True,
        description="Exclude products that the customer bought, or that are in the basket. Default for a customer: as "
        "the weights of the model say, which a validation chose (groceries are bought again). During an outage of the "
        "recommender, the last model's choice stays; before the first model, they are excluded. Default for a "
        "basket: its products are excluded.",
    )
    alike: bool = Field(default=False, strict=True, description=ALIKE)

    @model_validator(mode="before")
    @classmethod
    def _known_fields(cls, given: Any) -> Any:
        # `forbid` alone collects an error for each of a megabyte's fields.
        if isinstance(given, dict):
            for name in given:
                if name not in cls.model_fields:
                    raise bad_field(shortened(name), "Extra inputs are not permitted")
        return given

    @model_validator(mode="after")
    def _one_of_them(self) -> "RecommendationsRequest":
        if (self.user_ids is None) == (self.product_ids is None):
            raise ValueError("exactly one of user_ids and product_ids must be given")
        return self

    def filters(self) -> Filters:
        """The filters of the recommended products."""
        check_prices(self.min_price, self.max_price)
        return Filters(
            self.category, self.brand, self.min_price, self.max_price, self.exclude_purchased, alike=self.alike
        )


@router.post(
    "",
    summary="For many customers, or for a basket",
    response_model=RecommendationList,
    max_body_size=_MAX_BODY_BYTES,
)
@gives(Access.RECOMMENDATIONS)
async def recommend(request: Request, wanted: RecommendationsRequest) -> Response:
    """One result per customer, in the order of `user_ids`, or one result for the basket `product_ids`.

    503 where too many large batches wait, or where the answer takes longer than 30 s.
    """
    recommender, filters = get_dependencies(request).recommendations, wanted.filters()
    if wanted.user_ids is None:
        results = [msgspec.json.encode(await recommender.for_basket(wanted.product_ids or [], wanted.k, filters))]
    else:
        answers = recommender.for_customers(wanted.user_ids, wanted.k, filters)
        results = await while_present(request, _encoded(answers), _BATCH_SECONDS)
    return Response(b'{"results":[%s]}' % b",".join(results), media_type="application/json")


async def _encoded(answers: AsyncIterator[Json]) -> list[bytes]:
    # One by one: the largest batch is 24 MB, and its event loop is that of all clients.
    return [msgspec.json.encode(answer) async for answer in answers]
