"""The state of the whole system."""

from http import HTTPStatus
from typing import Annotated

from fastapi import Path, Request
from fastapi.responses import PlainTextResponse

from services.gateway.access.roles import Access
from services.gateway.access.route import gives, guarded_router
from services.gateway.api.problems import Problem
from services.gateway.api.schemas.system import SystemResponse
from services.gateway.dependencies import get_dependencies

router = guarded_router(prefix="/v1/system", tags=["system"])


@router.get("", summary="State of all services and engines")
@gives(Access.FIGURES)
async def system(request: Request) -> SystemResponse:
    """Health, rate, lag and version of each service and engine, as last polled.

    The producer runs only while there is a file to send, so `healthy` ignores it.
    """
    return get_dependencies(request).system_status.response()


@router.get("/runbook/{alert}", summary="What an alert means, and what to do", response_class=PlainTextResponse)
@gives(Access.FIGURES)
async def runbook(request: Request, alert: Annotated[str, Path(pattern="^[A-Za-z]{1,80}$")]) -> PlainTextResponse:
    """The alert's section of the runbook, in Markdown."""
    section = get_dependencies(request).runbook.section(alert)
    if section is None:
        raise Problem(HTTPStatus.NOT_FOUND, f"the runbook has no section {alert}")
    return PlainTextResponse(section)
