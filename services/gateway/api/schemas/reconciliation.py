"""Responses about the reconciliation with the batch job."""

from typing import Annotated, Literal

from pydantic import Field

from services.common.reconciliation import Figure, Table
from services.gateway.api.schemas.base import Money, ResponseModel, Timestamp


class ReconciliationDrift(ResponseModel):
    """Live figures minus those of the batch job; null for a figure that could not be compared."""

    revenue: Money
    quantity: int
    events: int | None
    orders: int | None
    buyers: int | None


class ReconciliationDifference(ResponseModel):
    """One figure that differs, and its place in the tables."""

    table: Annotated[Table, Field(description="The live table that differs; `totals` is the whole shop.")]
    figure: Figure
    bucket: Annotated[str | None, Field(description="Its start, for month, day and hour.")]
    partition: Annotated[str | None, Field(description="`<topic>/<partition>`, for a partition.")]
    entry: Annotated[str | None, Field(description="The code or name, for a category or brand.")]
    live: str
    batch: str


class ReconciliationResponse(ResponseModel):
    """Whether the batch job's figures, computed from the archive, equal the live figures."""

    status: Annotated[
        Literal["agree", "differ", "none"], Field(description="`none`: nothing was compared; `message` says why.")
    ]
    message: Annotated[str, Field(examples=["the books agree to the cent up to 2026-11-22T14:32:10Z"])]
    as_of: Annotated[Timestamp | None, Field(description="All records up to this broker time were compared.")] = None
    checked_at: Annotated[Timestamp | None, Field(description="When the batch job compared.")] = None
    basis: Annotated[
        Literal["offsets", "hours"] | None,
        Field(description="`hours`: the archive has no offsets, so only completed hours were compared."),
    ] = None
    compared: Annotated[int, Field(description="Figures compared.")] = 0
    differing: Annotated[int, Field(description="Figures that differ.")] = 0
    drift: ReconciliationDrift | None = None
    differences: list[ReconciliationDifference] = Field(
        default=[], description="The first differences, broadest table first."
    )
    version: Annotated[str | None, Field(description="The run of the batch job.")] = None
