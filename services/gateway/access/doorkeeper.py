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
from services.gateway.login.cookies import Cookies
from services.gateway.login.sessions import Sessions

_CHALLENGE = {"WWW-Authenticate": "Bearer"}
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
ADMIN = Principal("admin", Role.ADMIN)


class PageSessions:
    """The sessions of the page: a cookie, which counts in requests of the page alone."""

    def __init__(self, sessions: Sessions, cookies: Cookies, origin: str) -> None:
        """`origin`: the page's, as browsers write it."""
        self._sessions = sessions
        self._cookies = cookies
        self._origin = origin

    async def holder(self, scope: Scope) -> Principal | None:
        """Whose session the request carries. Raises RedisError."""
        token = self._cookies.token_of(scope)
        session = None if token is None else await self._sessions.find(token)
        return None if session is None else session.principal

    def check_origin(self, scope: Scope) -> None:
        """Raises Problem 403 for a change that another site's page asks for with the browser's cookie."""
        if scope["method"] not in _SAFE_METHODS and Headers(scope=scope).get("origin") != self._origin:
            raise Problem(HTTPStatus.FORBIDDEN, f"changes with a session come from {self._origin} only (Origin)")


class Doorkeeper:
    """Knows the admin's token, the API keys and the sessions of the page.

    Without keys and login all routes but those of the admin are open to whoever reaches the port.
    """

    def __init__(self, admin_token: str | None, keys: KeyRing | None, pages: PageSessions | None = None) -> None:
        self._admin_token = admin_token or None
        self._keys = keys
        self._pages = pages
        self._failures = Failures()

    @property
    def closed(self) -> bool:
        """Whether figures and persons are for those who say who they are."""
        return self._keys is not None or self._pages is not None

    async def admit(self, scope: Scope, access: Access) -> Principal | None:
        """Who asks, None where nobody needs to say. Raises Problem 401, 403 or 429, RedisError."""
        if access is Access.PUBLIC or (not self.closed and access is not Access.ADMIN):
            return None
        if not self.closed and self._admin_token is None:
            raise Problem(HTTPStatus.FORBIDDEN, "admin routes are off: set TILLSTREAM_ADMIN_TOKEN to turn them on")
        principal = await self.caller(scope)
        if principal is None:
            raise Problem(HTTPStatus.UNAUTHORIZED, self._missing, _CHALLENGE)
        if principal.may(access):
            return principal
        raise Problem(HTTPStatus.FORBIDDEN, f"the role {principal.role} of {principal.name!r} does not include this")

    async def caller(self, scope: Scope) -> Principal | None:
        """Who asks; None where the request does not say. Raises Problem 401, 403 or 429, RedisError."""
        if (given := _given(scope)) is not None:
            principal = self._of_header(given)
            if principal is None:
                raise self._wrong(scope)
            return principal
        principal = None if self._pages is None else await self._pages.holder(scope)
        if principal is not None and self._pages is not None:
            self._pages.check_origin(scope)
        return principal

    async def still(self, scope: Scope, access: Access) -> bool:
        """Whether who began to read may go on. Raises RedisError."""
        given = _given(scope)
        if given is not None:
            principal = self._of_header(given)
        else:
            principal = None if self._pages is None else await self._pages.holder(scope)
        return principal is not None and principal.may(access)

    @property
    def _missing(self) -> str:
        key = "send `Authorization: Bearer <key>`"
        return f"a key is missing: {key}" if self._pages is None else f"nobody is logged in: log in, or {key}"

    def _of_header(self, given: str) -> Principal | None:
        scheme, _space, key = given.partition(" ")
        return self._holder(key.strip()) if scheme.lower() == "bearer" else None

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


def _given(scope: Scope) -> str | None:
    return Headers(scope=scope).get("authorization")
