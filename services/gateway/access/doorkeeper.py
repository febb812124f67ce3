"""Finds out who asks, and refuses what the role does not include."""

import secrets
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.types import Scope

from services.gateway.access.failures import Failures
from services.gateway.access.keys import KeyRing
from services.gateway.access.roles import Access, Principal, Role
from services.gateway.api.fair_share import owner_of
from services.gateway.api.problems import Problem

_CHALLENGE = {"WWW-Authenticate": "Bearer"}
ADMIN = Principal("admin", Role.ADMIN)


class Doorkeeper:
    """Knows the admin's token and the API keys.

    Without a file of keys all routes but those of the admin are open to whoever reaches the port.
    """

    def __init__(self, admin_token: str | None, keys: KeyRing | None) -> None:
        self._admin_token = admin_token or None
        self._keys = keys
        self._failures = Failures()

    def admit(self, scope: Scope, access: Access) -> Principal | None:
        """Who asks, None where nobody needs to say. Raises Problem 401, 403 or 429."""
        if access is Access.PUBLIC or (self._keys is None and access is not Access.ADMIN):
            return None
        if self._keys is None and self._admin_token is None:
            raise Problem(HTTPStatus.FORBIDDEN, "admin routes are off: set TILLSTREAM_ADMIN_TOKEN to turn them on")
        principal = self._find(scope)
        if principal.may(access):
            return principal
        raise Problem(
            HTTPStatus.FORBIDDEN, f"the role {principal.role} of key {principal.name!r} does not include this"
        )

    def _find(self, scope: Scope) -> Principal:
        given = Headers(scope=scope).get("authorization")
        if given is None:
            raise Problem(HTTPStatus.UNAUTHORIZED, "a key is missing: send `Authorization: Bearer <key>`", _CHALLENGE)
        scheme, _space, key = given.partition(" ")
        principal = self._holder(key.strip()) if scheme.lower() == "bearer" else None
        if principal is None:
            raise self._wrong(scope)
        return principal

    def _holder(self, key: str) -> Principal | None:
        token = self._admin_token
        if token is not None and secrets.compare_digest(key.encode(), token.encode()):
            return ADMIN
        return self._keys.find(key) if self._keys is not None else None

    def _wrong(self, scope: Scope) -> Problem:
        wait_s = self._failures.count(owner_of(scope))
        if wait_s is None:
            return Problem(HTTPStatus.UNAUTHORIZED, "the bearer token or key is wrong or has expired", _CHALLENGE)
        return Problem(
            HTTPStatus.TOO_MANY_REQUESTS, "too many wrong keys from this address", {"Retry-After": str(wait_s)}
        )
