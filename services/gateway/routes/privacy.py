"""Erasing a customer, and the audit log."""

import asyncio
from functools import partial
from http import HTTPStatus
from typing import Annotated

import msgspec
from fastapi import Query, Request

from services.gateway.access.roles import Access, Principal
from services.gateway.access.route import gives, guarded_router
from services.gateway.api.params import UserId
from services.gateway.api.presence import while_present
from services.gateway.api.schemas.privacy import AuditEntry, ErasureResponse
from services.gateway.dependencies import get_dependencies
from services.gateway.upstreams.store_answers import answered

router = guarded_router(prefix="/v1/privacy", tags=["privacy"])


@router.delete("/customers/{user_id}", status_code=HTTPStatus.ACCEPTED, summary="Erase a customer (admin)")
@gives(Access.ADMIN)
async def erase(request: Request, user_id: UserId) -> ErasureResponse:
    """Remove a customer for good, whether known or not; it cannot be undone. Their purchases count without a customer.

    Live tables and recommender follow within a minute, the bucket with the next daily sweep. Noted in the audit log.
    """
    dependencies = get_dependencies(request)
    principal: Principal = request.state.principal
    work = partial(dependencies.privacy_desk.erase, user_id, str(principal))
    loop = asyncio.get_running_loop()
    digest = await answered(loop.run_in_executor(dependencies.admin_threads, work))
    return ErasureResponse(
        digest=digest, detail="live tables and recommender follow within a minute, the bucket with the daily sweep"
    )


@router.get("/audit", summary="The audit log (admin)")
@gives(Access.ADMIN)
async def audit_log(
    request: Request, limit: Annotated[int, Query(ge=1, le=200, description="How many entries.")] = 50
) -> list[AuditEntry]:
    """Who changed, exported or erased what, the newest first."""
    desk = get_dependencies(request).privacy_desk
    loop = asyncio.get_running_loop()
    found = await while_present(request, answered(loop.run_in_executor(desk.threads, desk.entries, limit)))
    return [AuditEntry.model_validate(msgspec.to_builtins(entry)) for entry in found]
