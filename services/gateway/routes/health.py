"""Health for the platform, metrics for Prometheus, and what a page must know first."""

import time
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from services.common.times import format_time
from services.common.version import running_version
from services.gateway.api.schemas import ClockResponse, ConfigResponse
from services.gateway.dependencies import get_dependencies

router = APIRouter(tags=["health"])


@router.get("/healthz", summary="Alive")
async def healthz() -> dict[str, bool]:
    """Whether the process serves requests; depends on nothing else."""
    return {"alive": True}


_NOT_READY: dict[str, Any] = {"description": "Not ready; the same body", "content": {"application/json": {}}}


@router.get("/readyz", summary="Able to serve figures", responses={503: _NOT_READY})
async def readyz(request: Request) -> Response:
    """Ready while the live tables can be read; never depends on the recommender."""
    health = get_dependencies(request).health
    body = msgspec.json.encode(health.describe())
    return Response(body, 200 if health.ready else 503, media_type="application/json")


@router.get("/metrics", summary="Metrics in Prometheus' text format", response_class=PlainTextResponse)
async def metrics() -> Response:
    """All metrics of this process."""
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


@router.get("/v1/clock", summary="What time it is", tags=["system"])
async def clock(response: Response) -> ClockResponse:
    """The gateway's clock, to the millisecond.

    A page asks a few times and keeps the quickest answer to learn how far its own clock is off; only so can it tell how
    long after `arrived_at` (the broker's time; the servers' clocks are taken to agree) it has shown a purchase.
    """
    response.headers["Cache-Control"] = "no-store"
    return ClockResponse(now=format_time(time.time_ns() // 1_000_000))


@router.get("/v1/config", summary="What a page must know first", tags=["system"])
async def config(request: Request) -> ConfigResponse:
    """The shop's currency and time zone, and which Tillstream runs: its version and commit."""
    dependencies = get_dependencies(request)
    time_zone = dependencies.shards.generation.time_zone
    version = running_version()
    return ConfigResponse(
        currency=dependencies.settings.currency,
        time_zone=time_zone,
        version=version.number,
        commit=version.commit,
    )
