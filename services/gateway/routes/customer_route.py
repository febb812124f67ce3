"""The short way to a customer's recommendations: the route of FastAPI without its layers, for the usual request.

It answers only requests that FastAPI's route would answer alike. Everything else (filters, an invalid parameter,
another method) goes on to that route, which also describes both in the OpenAPI document.
"""

import re
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import unquote

from starlette.types import ASGIApp, Receive, Scope, Send

from services.common.events import MAX_ID_LENGTH
from services.common.redis_client import REDIS_ERRORS
from services.gateway.access.roles import Access
from services.gateway.api.params import is_clean
from services.gateway.api.problems import Problem, problem_response
from services.gateway.dependencies import Dependencies
from services.gateway.upstreams.recommender_client import Filters

DEFAULT_K = 3
_PATH = re.compile(r"/v1/users/([^/]+)/recommendations")
_QUERY = re.compile(rb"(?:k=([1-9][0-9]?|100))?")
_EVERYTHING = Filters()


class Route(NamedTuple):
    """What metrics name the request by."""

    path: str


ROUTE = Route("/v1/users/{user_id}/recommendations")


class CustomerRouteMiddleware:
    """ASGI middleware around the app, within those that check hosts and shed load."""

    def __init__(self, app: ASGIApp, dependencies: Callable[[], Dependencies]) -> None:
        self._app = app
        self._dependencies = dependencies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = usual_request(scope)
        if asked is None:
            await self._app(scope, receive, send)
            return
        scope["route"] = ROUTE
        dependencies = self._dependencies()
        try:
            principal = await dependencies.doorkeeper.admit(scope, Access.RECOMMENDATIONS)
            dependencies.rates.admit(scope, principal)
            body = await dependencies.recommendations.for_customer(*asked, _EVERYTHING)
        except Problem as problem:
            refusal = problem_response(problem.status_code, problem.detail, problem.more, problem.headers)
            await refusal(scope, receive, send)
            return
        except REDIS_ERRORS:  # whether the session is valid is not known: the route says so
            await self._app(scope, receive, send)
            return
        headers = [(b"content-length", b"%d" % len(body)), (b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def usual_request(scope: Scope) -> tuple[str, int] | None:
    """The customer and k of a request without filters; None for any other one. The path is not decoded yet."""
    if scope["type"] != "http" or scope["method"] != "GET":
        return None
    path, query = _PATH.fullmatch(scope["path"]), _QUERY.fullmatch(scope["query_string"])
    if path is None or query is None:
        return None
    try:
        user_id = unquote(path[1], errors="strict")
    except UnicodeDecodeError:
        return None
    if not (0 < len(user_id) <= MAX_ID_LENGTH and is_clean(user_id)):
        return None
    return user_id, int(query[1] or DEFAULT_K)
