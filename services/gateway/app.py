"""The composition root: opens the parts, wires the routes, closes the parts."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from zoneinfo import ZoneInfo

from fastapi import FastAPI

from services.common.telemetry import Health, service_version
from services.gateway import page, problems
from services.gateway.background import repeat
from services.gateway.offsets import OffsetWatch
from services.gateway.parts import Parts
from services.gateway.popular import PopularShelf
from services.gateway.recommendations import Recommender
from services.gateway.recommender import ModelWatch, RecommenderClient
from services.gateway.routes import customers, health, products, recommendations, stats
from services.gateway.settings import GatewaySettings
from services.gateway.shards import open_shards
from services.gateway.shell import Shell
from services.gateway.snapshot import SnapshotWatch

ROUTERS = (stats, customers, recommendations, products, health)


def create_app(settings: GatewaySettings) -> FastAPI:
    """The gateway as an ASGI app; its parts open with the app's lifespan."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_parts(settings) as parts:
            app.state.parts = parts
            yield

    app = FastAPI(
        title="Tillstream",
        version=service_version(),
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        responses={
            "default": {
                "model": problems.ProblemDocument,
                "description": "A problem (RFC 9457)",
                "content": {problems.CONTENT_TYPE: {}},
            }
        },
    )
    problems.install(app)
    for module in ROUTERS:
        app.include_router(module.router)
    page.install(app, settings.web_dist)
    app.add_middleware(Shell, max_body_bytes=settings.max_body_bytes)
    return app


@asynccontextmanager
async def open_parts(settings: GatewaySettings) -> AsyncIterator[Parts]:
    """Every client and background task, closed in reverse order."""
    async with AsyncExitStack() as stack:
        shards = open_shards(settings)
        stack.push_async_callback(shards.close)
        client = RecommenderClient(
            settings.recommender_address,
            settings.recommender_deadline_ms,
            settings.recommender_batch_deadline_ms,
        )
        stack.push_async_callback(client.close)
        offsets = OffsetWatch(settings)
        stack.push_async_callback(offsets.close)
        model = ModelWatch(client)
        gateway_health = Health("gateway", checks=("redis",))
        snapshots = SnapshotWatch(shards, settings.purchases_topic, offsets, model, gateway_health)
        tasks = [
            repeat(offsets.refresh, settings.refresh_seconds),
            repeat(model.refresh, settings.refresh_seconds),
            repeat(snapshots.refresh, settings.refresh_seconds),
        ]
        await stack.enter_async_context(_running(tasks))
        yield Parts(
            settings=settings,
            zone=ZoneInfo(settings.time_zone),
            health=gateway_health,
            shards=shards,
            snapshots=snapshots,
            recommender=Recommender(client, PopularShelf(shards), shards),
        )


@asynccontextmanager
async def _running(work: Iterable[Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(coroutine) for coroutine in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
