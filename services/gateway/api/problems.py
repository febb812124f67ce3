"""Errors as RFC 9457 problem documents: one exception, and the handlers that render every error."""

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict
from redis.exceptions import RedisClusterException, RedisError
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match, Route

logger = logging.getLogger(__name__)

CONTENT_TYPE = "application/problem+json"
# Of a request with many errors, a response names the first ones. It repeats so much of what the client sent.
_MAX_ERRORS = 10
_MAX_ECHO = 200


class FieldError(BaseModel):
    """An error in one field of the request."""

    field: str
    detail: str


class ProblemDocument(BaseModel):
    """An RFC 9457 problem; `errors` names the offending fields where there are any."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "type": "about:blank",
                    "title": "Unprocessable Content",
                    "status": 422,
                    "detail": "k: Input should be greater than or equal to 1",
                    "errors": [{"field": "k", "detail": "Input should be greater than or equal to 1"}],
                }
            ]
        },
    )

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[FieldError] | None = None


class Problem(HTTPException):
    """Ends a request with a problem document. `more` are its extension members."""

    def __init__(self, status: HTTPStatus, detail: str, headers: Mapping[str, str] | None = None, **more: Any) -> None:
        super().__init__(status, detail, headers)
        self.more = more


def bad_field(field: str, detail: str) -> Problem:
    """A 422 problem of one field of the request."""
    errors = [{"field": field, "detail": detail}]
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"{field}: {detail}", errors=errors)


def problem_body(status: int, detail: str, more: Mapping[str, Any] | None = None) -> bytes:
    """The document's bytes."""
    title = HTTPStatus(status).phrase
    return msgspec.json.encode(
        {"type": "about:blank", "title": title, "status": status, "detail": detail, **(more or {})}
    )


def problem_response(
    status: int, detail: str, more: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    """The document as a response."""
    return Response(problem_body(status, detail, more), status, dict(headers or {}), CONTENT_TYPE)


def install(app: FastAPI, routes: Sequence[BaseRoute]) -> None:
    """Render every error of the app as a problem document. `routes`: all of the API."""
    app.state.api_routes = routes
    app.add_exception_handler(HTTPException, _render_http)
    app.add_exception_handler(RequestValidationError, _render_validation)
    for kind in (RedisError, RedisClusterException):
        app.add_exception_handler(kind, _render_redis)


async def _render_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = error.detail
    if error.status_code == HTTPStatus.NOT_FOUND and not isinstance(error, Problem):
        detail = f"nothing is served at {shortened(request.url.path)}"
    more = error.more if isinstance(error, Problem) else {}
    headers = error.headers
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED and (methods := _methods_of(request)):
        headers = {**(headers or {}), "Allow": ", ".join(methods)}
    return problem_response(error.status_code, detail, more, headers)


def _methods_of(request: Request) -> list[str]:
    """All methods of a path of the API: each has a route of its own, and a route names only its own."""
    routes: Sequence[BaseRoute] = request.app.state.api_routes
    fitting = (
        route.methods or ()
        for route in routes
        if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE
    )
    return sorted({method for methods in fitting for method in methods})


async def _render_validation(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    errors = [{"field": shortened(_field(entry["loc"])), "detail": _detail(entry)} for entry in found[:_MAX_ERRORS]]
    detail = "; ".join(f"{entry['field']}: {entry['detail']}" for entry in errors)
    return problem_response(HTTPStatus.UNPROCESSABLE_ENTITY, detail, {"errors": errors})


def shortened(text: str) -> str:
    """The text, or its beginning where it is long."""
    return text if len(text) <= _MAX_ECHO else f"{text[:_MAX_ECHO]}…"


def _field(location: Sequence[str | int]) -> str:
    """`("query", "k")` → `k`, `("body", "user_ids", 0)` → `user_ids.0`, `("body",)` → `body`."""
    return ".".join(map(str, location[1:] or location))


def _detail(entry: Mapping[str, Any]) -> str:
    return shortened(str(entry["msg"]).removeprefix("Value error, "))


async def _render_redis(_request: Request, error: Exception) -> Response:
    logger.debug("reading the live tables failed: %s", error)
    return problem_response(
        HTTPStatus.SERVICE_UNAVAILABLE, "the live tables cannot be read at the moment", headers={"Retry-After": "1"}
    )
