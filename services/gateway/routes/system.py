"""The state of the whole system."""

from fastapi import APIRouter, Request

from services.gateway.api.schemas import SystemResponse
from services.gateway.dependencies import get_dependencies

router = APIRouter(prefix="/v1/system", tags=["system"])


@router.get("", summary="Every part's state")
async def system(request: Request) -> SystemResponse:
    """Health, rate, lag and version of each service and engine, as of the last round of questions.

    The producer runs only while there is something to send, so `healthy` does not ask for it.
    """
    return get_dependencies(request).system_status.answer()
