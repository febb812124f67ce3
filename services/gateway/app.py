"""The gateway as an ASGI app: its routes, its middleware, and its lifespan."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import APIRouter, FastAPI

from services.common.version import running_version
from services.gateway.api import docs, openapi, problems, static_page
from services.gateway.api.hosts import AllowedHosts
from services.gateway.api.middleware import GatewayMiddleware
from services.gateway.api.overload import Shedding, SheddingMiddleware
from services.gateway.composition import open_dependencies
from services.gateway.routes import (
    catalogue,
    customers,
    events,
    hooks,
    models,
    privacy,
    products,
    recommendations,
    session,
    stats,
)
from services.gateway.routes import health as health_routes
from services.gateway.routes import stream as stream_routes
from services.gateway.routes import system as system_routes
from services.gateway.routes.customer_route import CustomerRouteMiddleware
from services.gateway.settings import GatewaySettings

ROUTERS = (
    session,
    stats,
    stream_routes,
    customers,
    recommendations,
    products,
    catalogue,
    events,
    hooks,
    models,
    privacy,
    system_routes,
    health_routes,
)

# FastAPI makes the models of a router when it first matches a path. Apps of one process, as in tests, share them.
ROUTES = APIRouter()
for _module in ROUTERS:
    ROUTES.include_router(_module.router)


def create_app(settings: GatewaySettings) -> FastAPI:
    """The gateway as an ASGI app. Its dependencies open and close with the app's lifespan."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_dependencies(settings) as dependencies:
            app.state.dependencies = dependencies
            yield

    app = FastAPI(
        title="Tillstream",
        version=running_version().number,
        lifespan=lifespan,
        routes=[*ROUTES.routes],
        docs_url=None,
        redoc_url=None,
        # It would read settings that are not ours, and put paths with customers' ids into traces.
        telemetry={"auto_configure": False, "tracing": False, "metrics": False, "logs": False},
    )
    openapi.install(app)
    problems.install(app, [route for module in ROUTERS for route in module.router.routes])
    docs.install(app)
    static_page.install(app, settings.web_dist)
    app.add_middleware(CustomerRouteMiddleware, dependencies=lambda: app.state.dependencies)
    app.add_middleware(
        GatewayMiddleware,
        hosts=AllowedHosts(settings.gateway_hosts),
        image_hosts=settings.image_hosts,
        max_body_bytes=settings.max_body_bytes,
        draining=lambda: app.state.dependencies.health.draining,
    )
    app.state.shedding = Shedding(
        settings.recommendations_in_flight, lambda: app.state.dependencies.recommendations.answering
    )
    app.add_middleware(SheddingMiddleware, shedding=app.state.shedding)
    return app
