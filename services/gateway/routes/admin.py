"""Authorization of the admin routes by a bearer token."""

import secrets
from http import HTTPStatus

from fastapi import Request

from services.gateway.api.problems import Problem
from services.gateway.dependencies import get_dependencies


def require_admin(request: Request) -> None:
    """Raises Problem 403 where no token is configured, Problem 401 where the request lacks it."""
    token = get_dependencies(request).settings.admin_token
    if token is None or not token.get_secret_value():
        raise Problem(HTTPStatus.FORBIDDEN, "admin routes are off: set TILLSTREAM_ADMIN_TOKEN to turn them on")
    scheme, _space, given = request.headers.get("authorization", "").partition(" ")
    expected = token.get_secret_value().encode()
    if scheme.lower() != "bearer" or not secrets.compare_digest(given.strip().encode(), expected):
        raise Problem(
            HTTPStatus.UNAUTHORIZED, "the admin's bearer token is missing or wrong", {"WWW-Authenticate": "Bearer"}
        )
