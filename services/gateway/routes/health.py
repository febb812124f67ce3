"""Liveness, readiness, metrics, and the page's clock and configuration."""

import time
from typing import Any

import msgspec
from fastapi import Request, Response
from fastapi.responses import PlainTextResponse

from services.common.exposition import exposition
from services.common.times import format_time
from services.common.version import running_version
from services.gateway.access.roles import Access
from services.gateway.access.route import gives, guarded_router
from services.gateway.api.schemas.system import ClockResponse, ConfigResponse
from services.gateway.dependencies import get_dependencies

router = guarded_router(tags=["health"])


@router.get("/healthz", summary="Liveness")
@gives(Access.PUBLIC)
async def healthz() -> dict[str, bool]:
    """Whether the process serves requests. Depends on no upstream."""
    return {"alive": True}


_NOT_READY: dict[str, Any] = {"description": "Not ready, with the same body", "content": {"application/json": {}}}


@router.get("/readyz", summary="Readiness", responses={503: _NOT_READY})
@gives(Access.PUBLIC)
async def readyz(request: Request) -> Response:
    """Ready once the live tables could be read, until the gateway stops. Does not depend on the recommender.

    Where Redis is away later, the check `redis` says so, and the gateway stays ready: it still answers recommendations
    and takes events, and no other replica could read the figures either.
    """
    health = get_dependencies(request).health
    body = msgspec.json.encode(health.describe())
    return Response(body, 200 if health.ready else 503, media_type="application/json")


@router.get("/metrics", summary="Metrics in the Prometheus text format", response_class=PlainTextResponse)
@gives(Access.PUBLIC)
async def metrics(request: Request) -> Response:
    """All metrics of this process. With traces on, OpenMetrics with exemplars where `Accept` asks for it."""
    content_type, body = exposition(request.headers.get("accept", ""))
    return Response(body, media_type=content_type)


@router.get("/v1/clock", summary="The gateway's clock", tags=["system"])
@gives(Access.SIGNED_IN)
async def clock(response: Response) -> ClockResponse:
    """The gateway's clock, to the millisecond.

    A page asks a few times and takes the fastest response to measure the offset of its own clock. So it can show how
    long after `arrived_at` a purchase appeared (the broker's time; the servers' clocks are assumed to be synchronised).
    """
    response.headers["Cache-Control"] = "no-store"
    return ClockResponse(now=format_time(time.time_ns() // 1_000_000))


@router.get("/v1/config", summary="The shop's configuration", tags=["system"])
@gives(Access.SIGNED_IN)
async def config(request: Request) -> ConfigResponse:
    """The shop's currency and time zone, and which Tillstream runs: its version and commit."""
    dependencies = get_dependencies(request)
    time_zone = dependencies.shards.generation.time_zone
    version = running_version()
    return ConfigResponse(
        currency=dependencies.settings.currency,
        time_zone=time_zone,
        image_hosts=list(dependencies.settings.image_hosts),
        version=version.number,
        commit=version.commit,
    )
