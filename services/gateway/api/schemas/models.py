"""Responses about the published models."""

from typing import Annotated, Any

from pydantic import Field

from services.gateway.api.schemas.base import ModelVersion, ResponseModel, StateAge, Timestamp


class Variant(ResponseModel):
    """An A/B variant: a model that serves a fixed share of the customers."""

    name: Annotated[str, Field(examples=["trial"])]
    version: ModelVersion
    weight: Annotated[float, Field(description="Share of the customers.", examples=[0.1])]


class Pointer(ResponseModel):
    """The model to serve, since when and by whom. `main` serves the customers of no variant."""

    version: ModelVersion
    activated_at: Timestamp | None
    activated_by: str | None
    note: str = ""
    variants: list[Variant] = Field(default=[])
    previous: Annotated[str | None, Field(description="The previous version: activate it to roll back.")] = None


class ModelEntry(ResponseModel):
    """One published model, from its manifest."""

    version: ModelVersion
    format_version: int | None
    live: Annotated[bool, Field(description="Whether the pointer names it, so that it is served.")]
    created_at: Timestamp | None
    algorithm: str | None
    rank: int | None
    users: int | None
    items: int | None
    training: dict[str, Any]
    settings: dict[str, Any]
    metrics: dict[str, Any]
    counts: dict[str, Any]
    composition: Annotated[
        dict[str, Any] | None,
        Field(description="Weights of the terms of a score, as the validation chose them."),
    ]
    basket: Annotated[
        dict[str, Any] | None,
        Field(description="Weights of the score of a basket; null for models from before these were chosen apart."),
    ]
    gate: Annotated[
        dict[str, Any] | None, Field(description="The gate decision when it was published, with its figures.")
    ]


class ModelList(ResponseModel):
    """All published models, the newest first."""

    current: Pointer | None
    serving: Annotated[str | None, Field(description="The version that the recommender serves.")]
    refused_version: Annotated[str | None, Field(description="The version that the recommender refused to load.")]
    refused_reason: str | None
    composition: Annotated[str | None, Field(description="The weights of the served model, in words.")]
    state_age_ms: StateAge = None
    gate: Annotated[dict[str, Any] | None, Field(description="The gate decision of the newest training run.")]
    models: list[ModelEntry]
