"""The two cookies of the login: a session, and an attempt to log in."""

import base64
import binascii
from http.cookies import Morsel
from typing import Literal

import msgspec
from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.types import Scope

# Browsers accept this prefix only with Secure, for the whole host and from the host itself: no neighbouring subdomain
# can set such a cookie.
_HOST_ONLY = "__Host-"
_ATTEMPT_SECONDS = 600


class Attempt(msgspec.Struct, frozen=True):
    """What the browser keeps while its user is at the provider. `path`: where to go afterwards.

    `former`: the digest of the session that the new one replaces. The way back from the provider comes from another
    site, so that it does not carry the session's cookie.

    Not signed: who could forge it could as well begin an attempt of their own. Only its own browser can use it.
    """

    state: str
    nonce: str
    verifier: str
    path: str
    former: str | None = None


class Cookies:
    """Names and attributes of the cookies."""

    def __init__(self, *, secure: bool) -> None:
        """`secure`: False for http on loopback only."""
        self._secure = secure
        prefix = _HOST_ONLY if secure else ""
        self.session_name = f"{prefix}tillstream-session"
        self.attempt_name = f"{prefix}tillstream-login"

    def session(self, token: str, seconds: int) -> str:
        """The header that sets a session. Strict: no request from another site carries it."""
        return self._set(self.session_name, token, seconds, "Strict")

    def attempt(self, attempt: Attempt) -> str:
        """The header that sets an attempt. Lax: the provider's redirect comes from another site."""
        text = base64.urlsafe_b64encode(msgspec.json.encode(attempt)).decode().rstrip("=")
        return self._set(self.attempt_name, text, _ATTEMPT_SECONDS, "Lax")

    def no_session(self) -> str:
        """The header that removes the session."""
        return self._set(self.session_name, "", 0, "Strict")

    def no_attempt(self) -> str:
        """The header that removes the attempt."""
        return self._set(self.attempt_name, "", 0, "Lax")

    def _set(self, name: str, value: str, seconds: int, same_site: Literal["Lax", "Strict"]) -> str:
        cookie: Morsel[str] = Morsel()
        cookie.set(name, value, value)
        cookie["path"], cookie["max-age"], cookie["samesite"] = "/", str(seconds), same_site
        cookie["httponly"] = True  # a flag, not a value
        if self._secure:
            cookie["secure"] = True
        return cookie.OutputString()

    def token_of(self, scope: Scope) -> str | None:
        """The session that a request carries."""
        return _cookies(scope).get(self.session_name) or None

    def attempt_of(self, scope: Scope) -> Attempt | None:
        """The attempt that a request carries; None where it has none or a damaged one."""
        text = _cookies(scope).get(self.attempt_name, "")
        try:
            decoded = base64.b64decode(text + "=" * (-len(text) % 4), "-_", validate=True)
            return msgspec.json.decode(decoded, type=Attempt)
        except (binascii.Error, ValueError):
            return None


def _cookies(scope: Scope) -> dict[str, str]:
    return cookie_parser("; ".join(Headers(scope=scope).getlist("cookie")))
