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


AlertsStatus = Literal["ok", "not_evaluated", "unreachable", "unknown", "off"]


class Alert(ResponseModel):
    """An alert that fires."""

    name: Annotated[str, Field(examples=["FiguresLag"])]
    severity: Annotated[str, Field(description="`page`: somebody is needed now; `ticket`: within days.")]
    summary: Annotated[str, Field(examples=["Partition 3: figures are 6m 10s behind."])]
    since: Timestamp
    runbook: Annotated[str | None, Field(description="Where this gateway says what to do.")]


class AlertsResponse(ResponseModel):
    """What Prometheus says, as last polled, and where its pages are."""

    status: Annotated[
        AlertsStatus,
        Field(
            description="`ok`: `firing` is all that fires. `not_evaluated`: Prometheus answers, but its watchdog does "
            "not fire, so nothing is evaluated. `off`: the gateway has no address of a Prometheus."
        ),
    ]
    as_of: Timestamp | None
    firing: Annotated[list[Alert], Field(description="The most urgent first; at most 50.")]
    more: Annotated[int, Field(description="Alerts that fire and are not listed.")]
    prometheus: str | None
    alertmanager: str | None
    grafana: str | None


class SystemResponse(ResponseModel):
    """Every service and engine, as last polled."""

    healthy: Annotated[bool, Field(description="Whether all but the producer are `ok`.")]
    as_of: Timestamp | None
    parts: list[Component]
    alerts: AlertsResponse


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
