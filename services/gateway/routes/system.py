"""The state of the whole system."""

from fastapi import Request

from services.gateway.access.roles import Access
from services.gateway.access.route import gives, guarded_router
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
