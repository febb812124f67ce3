"""Routes that declare who may ask. The check comes before the body is read."""

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute

from services.gateway.access.roles import ALLOWED, Access
from services.gateway.api.openapi import KEY, SESSION
from services.gateway.dependencies import get_dependencies

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])

_ATTRIBUTE = "__access__"


def gives(access: Access) -> Callable[[Endpoint], Endpoint]:
    """Declare what the route gives. Written below the decorator of the router."""

    def declared(endpoint: Endpoint) -> Endpoint:
        setattr(endpoint, _ATTRIBUTE, access)
        return endpoint

    return declared


class _GuardedRoute(APIRoute):
    def __init__(self, path: str, endpoint: Callable[..., Any], **given: Any) -> None:
        access = getattr(endpoint, _ATTRIBUTE, None)
        if access is None:
            raise TypeError(f"{path} does not declare what it gives: decorate it with @gives(Access.…)")
        self._access: Access = access
        extra: dict[str, Any] = {"x-roles": sorted(ALLOWED[access]) if access is not Access.PUBLIC else []}
        if access is not Access.PUBLIC:
            # Without API keys and login, all but the admin's routes are open.
            named: list[dict[str, list[str]]] = [{KEY: []}, {SESSION: []}]
            extra["security"] = named if access is Access.ADMIN else [{}, *named]
        given["openapi_extra"] = {**(given.get("openapi_extra") or {}), **extra}
        super().__init__(path, endpoint, **given)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler, access = super().get_route_handler(), self._access

        async def guarded(request: Request) -> Response:
            dependencies = get_dependencies(request)
            request.state.principal = principal = await dependencies.doorkeeper.admit(request.scope, access)
            if access is not Access.PUBLIC:
                dependencies.rates.admit(request.scope, principal)
            return await handler(request)

        return guarded


def guarded_router(**given: Any) -> APIRouter:
    """A router whose routes declare what they give."""
    return APIRouter(route_class=_GuardedRoute, **given)


async def require(request: Request, access: Access) -> None:
    """For what a route gives beyond its declaration. Raises Problem 401, 403 or 429, RedisError."""
    await get_dependencies(request).doorkeeper.admit(request.scope, access)
