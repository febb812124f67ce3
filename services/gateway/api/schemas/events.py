"""Responses of the event intake."""

from typing import Annotated, Literal

from pydantic import Field

from services.gateway.api.schemas.base import ResponseModel


class EventVerdict(ResponseModel):
    """The result of one submitted event."""

    index: int
    status: Literal["accepted", "rejected", "unconfirmed"]
    reason: Annotated[str | None, Field(description="The reason code of a rejected event.", examples=["bad_price"])] = (
        None
    )
    detail: str | None = None
    partition: int | None = None
    offset: int | None = None


class EventsResponse(ResponseModel):
    """A verdict per event, in request order."""

    accepted: int
    rejected: int
    verdicts: list[EventVerdict]


class HookResponse(ResponseModel):
    """What became of a delivery."""

    status: Literal["accepted", "ignored"]
    lines: Annotated[int, Field(description="Lines that went to Kafka, repeats and dead letters included.")]
    detail: Annotated[str | None, Field(description="Why nothing counts, where the delivery was ignored.")] = None
