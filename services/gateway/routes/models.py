"""The published models, and the pointer to the serving one."""

import asyncio
from functools import partial
from typing import Annotated

from fastapi import Body, Request
from pydantic import BaseModel, ConfigDict, Field

from services.gateway.access.roles import Access, Principal
from services.gateway.access.route import gives, guarded_router
from services.gateway.api.params import Version
from services.gateway.api.presence import while_present
from services.gateway.api.schemas.models import ModelList, Pointer
from services.gateway.dependencies import Dependencies, get_dependencies
from services.gateway.upstreams.store_answers import answered

router = guarded_router(prefix="/v1/models", tags=["models"])

_MAX_ACTIVATION_BYTES = 8 * 1024


class Activation(BaseModel):
    """Why an admin activates a model."""

    model_config = ConfigDict(extra="forbid")

    note: Annotated[str, Field(max_length=500, examples=["the new one recommends cables to everybody"])] = ""


@router.get("", summary="The published models")
@gives(Access.FIGURES)
async def models(request: Request) -> ModelList:
    """Every version with its metrics, newest first, and which one is served; a few seconds old at most."""
    dependencies = get_dependencies(request)
    listing = await while_present(request, answered(dependencies.model_listings.read()))
    serving = dependencies.serving_model.latest
    return ModelList(
        current=listing.current,
        serving=dependencies.serving_model.version,
        refused_version=(serving and serving.refused_version) or None,
        refused_reason=(serving and serving.refused_reason) or None,
        composition=(serving and serving.composition) or None,
        state_age_ms=serving.state_age_ms if serving and serving.HasField("state_age_ms") else None,
        gate=listing.gate,
        models=listing.models,
    )


@router.post(
    "/{version}/activate",
    summary="Roll back or forward (admin)",
    max_body_size=_MAX_ACTIVATION_BYTES,
)
@gives(Access.ADMIN)
async def activate(
    request: Request, version: Version, activation: Annotated[Activation | None, Body()] = None
) -> Pointer:
    """Make the recommender serve this version, within seconds. Needs the admin's token, or the role `admin`."""
    dependencies = get_dependencies(request)
    note = activation.note if activation else ""
    principal: Principal = request.state.principal
    pointer = await answered(_activated(dependencies, version, note, str(principal)))
    dependencies.model_listings.forget()
    return pointer


async def _activated(dependencies: Dependencies, version: str, note: str, by: str) -> Pointer:
    activate = partial(dependencies.model_registry.activate, version, note, by)
    return await asyncio.get_running_loop().run_in_executor(dependencies.admin_threads, activate)
