"""Responses with recommended products."""

from typing import Annotated

from pydantic import Field

from services.gateway.api.schemas.base import (
    Brand,
    CategoryCode,
    Id,
    ImageUrl,
    ModelVersion,
    Money,
    ProductName,
    ResponseModel,
    StateAge,
    Strategy,
    VariantName,
)


class ReasonEntry(ResponseModel):
    """Why a product is recommended; `weight` is the part of the score that this reason contributes."""

    code: Annotated[
        str,
        Field(
            description="The largest term of the score: bought_together, customers_like_you, category, bought_before, "
            "popular, or new (nobody has bought it yet); of a substitute: same_category, like_name, same_brand, "
            "similar (bought by the same customers), like_orders (bought with the same products), like_price or "
            "popular. Later versions may add codes.",
            examples=["bought_together"],
        ),
    ]
    product_id: Annotated[
        str | None,
        Field(
            description="The product of the purchases or the basket that contributes most to that term; of a "
            "substitute or a complement, the product asked about."
        ),
    ]
    weight: float
    orders: Annotated[
        int | None,
        Field(
            description="For a basket or a complement: how many orders hold this product and `product_id`. Null where "
            "the reason does not come from orders."
        ),
    ] = None
    also: Annotated[
        list[str] | None,
        Field(description="Of a substitute: the codes of its other reasons, the largest first. Null of other answers."),
    ] = None


class RecommendedItem(ResponseModel):
    """One recommended product."""

    product_id: Id
    product_name: ProductName
    category_code: CategoryCode
    brand: Brand
    price: Money | None
    image_url: ImageUrl = None
    score: float
    reason: ReasonEntry


class Recommendations(ResponseModel):
    """Products for a customer or a basket, the best first, and which strategy found them."""

    user_id: Annotated[str | None, Field(description="Null for a basket.")]
    strategy: Strategy
    model_version: ModelVersion | None
    variant: VariantName | None
    state_age_ms: StateAge
    items: list[RecommendedItem]
    message: Annotated[str | None, Field(description="Says why `items` is empty.")] = None
    unknown_product_ids: Annotated[
        list[str] | None, Field(description="Products of the basket that the model does not know. They are ignored.")
    ] = None


class RecommendationList(ResponseModel):
    """One result per requested customer, in request order, or one for a basket."""

    results: list[Recommendations]


class SimilarProducts(ResponseModel):
    """What meets the same need as one product, and what is bought with it.

    `strategy`: `popular` where nothing is known that could be like the product, so that `items` are popular products.
    """

    product_id: Id
    strategy: Strategy
    model_version: ModelVersion | None
    variant: VariantName | None
    state_age_ms: StateAge
    items: Annotated[list[RecommendedItem], Field(description="Substitutes, the most similar first.")]
    complements: Annotated[
        list[RecommendedItem],
        Field(description="Products of other categories in the same orders, no two of them alike. May be empty."),
    ]
    message: str | None = None
