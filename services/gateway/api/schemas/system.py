"""Responses about services and engines, clock and configuration."""

from typing import Annotated, Any, Literal

from pydantic import Field

from services.gateway.api.schemas.base import ResponseModel, Timestamp


class Component(ResponseModel):
    """The state of one service or engine."""

    name: Annotated[str, Field(examples=["aggregator"])]
    kind: Literal["service", "engine"]
    status: Annotated[Literal["ok", "not_ready", "unreachable", "unknown"], Field(examples=["ok"])]
    detail: str
    version: str | None = None
    rate: Annotated[float | None, Field(description="Events a second.")] = None
    lag: Annotated[int | None, Field(description="Records behind.")] = None
    figures: dict[str, Any] = Field(default={})


class SystemResponse(ResponseModel):
    """Every service and engine, as last polled."""

    healthy: Annotated[bool, Field(description="Whether all but the producer are `ok`.")]
    as_of: Timestamp | None
    parts: list[Component]


class ClockResponse(ResponseModel):
    """The gateway's time."""

    now: Timestamp


class ConfigResponse(ResponseModel):
    """Currency, time zone and version: what a page needs before the first figure."""

    currency: Annotated[str, Field(examples=["USD"])]
    time_zone: Annotated[str, Field(examples=["UTC"])]
    image_hosts: Annotated[
        list[str],
        Field(description="Origins whose images of products the page may show."),
    ]
    version: Annotated[str, Field(examples=["1.2.3"])]
    commit: Annotated[str | None, Field(examples=["0123456789ab"], description="null where it is not known")]
