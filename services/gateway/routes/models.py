"""The published models, and the pointer to the serving one."""

import asyncio
import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated, TypeVar

from botocore.exceptions import BotoCoreError, ClientError
from fastapi import APIRouter, Body, Request
from pydantic import BaseModel, ConfigDict, Field

from services.gateway.api.openapi import ADMIN
from services.gateway.api.params import Version
from services.gateway.api.problems import Problem
from services.gateway.api.schemas.models import ModelList, Pointer
from services.gateway.dependencies import Dependencies, get_dependencies
from services.gateway.routes.admin import require_admin
from services.gateway.upstreams.outages import short_reason

logger = logging.getLogger(__name__)

router = APIRouter(prefix="/v1/models", tags=["models"])

Result = TypeVar("Result")


class Activation(BaseModel):
    """Why an admin activates a model."""

    model_config = ConfigDict(extra="forbid")

    note: Annotated[str, Field(max_length=500, examples=["the new one recommends cables to everybody"])] = ""


@router.get("", summary="The published models")
async def models(request: Request) -> ModelList:
    """Every version with its metrics, newest first, and which one is served."""
    dependencies = get_dependencies(request)
    registry = dependencies.model_registry
    current, gate, entries = await _in_thread(
        dependencies, lambda: (registry.current(), registry.latest_gate(), registry.models())
    )
    serving = dependencies.serving_model.latest
    return ModelList(
        current=current,
        serving=dependencies.serving_model.version,
        refused_version=(serving and serving.refused_version) or None,
        refused_reason=(serving and serving.refused_reason) or None,
        composition=(serving and serving.composition) or None,
        state_age_ms=serving.state_age_ms if serving and serving.HasField("state_age_ms") else None,
        gate=gate,
        models=entries,
    )


@router.post(
    "/{version}/activate",
    summary="Roll back or forward (admin)",
    openapi_extra={"security": [{ADMIN: []}]},
)
async def activate(
    request: Request, version: Version, activation: Annotated[Activation | None, Body()] = None
) -> Pointer:
    """Make the recommender serve this version, within seconds. Needs the admin's bearer token."""
    require_admin(request)
    dependencies = get_dependencies(request)
    note = activation.note if activation else ""
    return await _in_thread(dependencies, lambda: dependencies.model_registry.activate(version, note))


async def _in_thread(dependencies: Dependencies, work: Callable[[], Result]) -> Result:
    try:
        return await asyncio.get_running_loop().run_in_executor(dependencies.s3_threads, work)
    except (BotoCoreError, ClientError) as error:
        logger.warning("the model store does not answer: %s", error)
        raise Problem(
            HTTPStatus.SERVICE_UNAVAILABLE,
            f"the model store does not answer: {short_reason(error)}",
            {"Retry-After": "5"},
        ) from None
