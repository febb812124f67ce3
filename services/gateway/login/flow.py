"""Logging in: the authorization code flow with PKCE, state and nonce. Failures end at the page, with a code for it."""

import logging
import re
import secrets
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple
from urllib.parse import urlsplit

from starlette.types import Scope

from services.common.metrics import GATEWAY_LOGINS
from services.common.redis_client import REDIS_ERRORS
from services.gateway.access.failures import Failures
from services.gateway.api.fair_share import owner_of
from services.gateway.login.cookies import Attempt, Cookies
from services.gateway.login.provider import Person, Provider, ProviderAway, Refused
from services.gateway.login.sessions import Sessions, digest
from services.gateway.upstreams.outages import OutageLog

logger = logging.getLogger(__name__)

_LOCAL_PATH = re.compile(r"/(?![/\\])[^\\\x00-\x20\x7f-\uffff]{0,500}")


class Outcome(StrEnum):
    """How an attempt ended. The page has a sentence for each but `ok`, in `?login=`."""

    OK = "ok"
    EXPIRED = "expired"
    """State or code do not belong to an attempt of this browser."""
    DENIED = "denied"
    """The person or the provider said no."""
    REFUSED = "refused"
    """The provider's answer does not hold."""
    NO_ROLE = "no_role"
    AWAY = "away"
    TOO_MANY = "too_many"


class Step(NamedTuple):
    """Where to send the browser, and the cookies to set on the way."""

    location: str
    cookies: Sequence[str]


class _Failed(Exception):
    def __init__(self, outcome: Outcome, reason: str) -> None:
        super().__init__(reason)
        self.outcome = outcome


class Login:
    """Begins and finishes attempts, and ends sessions."""

    def __init__(self, provider: Provider, sessions: Sessions, cookies: Cookies, issuer: str) -> None:
        self._provider = provider
        self._issuer = issuer
        self._failures = Failures()
        self._strays = Failures()
        self._outages = OutageLog()
        self.sessions = sessions
        self.cookies = cookies

    async def begin(self, scope: Scope, path: str) -> Step:
        """Send the browser to the provider; `path` of the page comes afterwards."""
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        token = self.cookies.token_of(scope)
        attempt = Attempt(state, nonce, verifier, local_path(path), digest(token) if token else None)
        try:
            url = await self._provider.login_url(state, nonce, verifier)
        except ProviderAway as error:
            self._outages.started("the provider of the login", error)
            return self._failed(Outcome.AWAY)
        self._outages.recovered("the provider of the login")
        return Step(url, [self.cookies.attempt(attempt)])

    async def finish(self, scope: Scope, query: Mapping[str, str]) -> Step:
        """Open a session for who comes back from the provider, and send the browser to the page.

        Only failures that cost a request to the provider slow an address: what any page can make its visitors send,
        an answer without an attempt, must keep nobody from logging in.
        """
        address = owner_of(scope)
        try:
            attempt = self._attempt_of(scope, query)
        except _Failed as failed:
            if self._strays.count(address) is None:  # more of them would only fill the log
                logger.warning("login from %s failed: %s", address, failed)
            return self._failed(failed.outcome)
        if self._failures.wait_s(address) is not None:
            return self._failed(Outcome.TOO_MANY)
        try:
            person = await self._person(attempt, query["code"])
            return await self._opened(attempt, person)
        except _Failed as failed:
            logger.warning("login from %s failed: %s", address, failed)
            if failed.outcome is not Outcome.AWAY:
                self._failures.count(address)
            return self._failed(failed.outcome)

    def _attempt_of(self, scope: Scope, query: Mapping[str, str]) -> Attempt:
        attempt = self.cookies.attempt_of(scope)
        if attempt is None or not secrets.compare_digest(attempt.state.encode(), query.get("state", "").encode()):
            raise _Failed(Outcome.EXPIRED, "the state is not that of an attempt of this browser")
        if query.get("iss", self._issuer) != self._issuer:  # RFC 9207: another provider's answer
            raise _Failed(Outcome.REFUSED, "the answer is of another provider")
        if "error" in query:
            raise _Failed(Outcome.DENIED, "the provider refused")
        if "code" not in query:
            raise _Failed(Outcome.EXPIRED, "the answer has no code")
        return attempt

    async def _person(self, attempt: Attempt, code: str) -> Person:
        try:
            return await self._provider.person(code, attempt.nonce, attempt.verifier)
        except ProviderAway as error:
            raise _Failed(Outcome.AWAY, str(error)) from None
        except Refused as error:
            raise _Failed(Outcome.REFUSED, str(error)) from None

    async def _opened(self, attempt: Attempt, person: Person) -> Step:
        if person.role is None:
            raise _Failed(Outcome.NO_ROLE, f"no group of {person.subject!r} is in TILLSTREAM_OIDC_ROLES")
        try:
            if attempt.former is not None:
                await self.sessions.end_of(attempt.former)
            token = await self.sessions.open(person.name, person.subject, person.role)
        except REDIS_ERRORS as error:
            raise _Failed(Outcome.AWAY, f"Redis does not take the session: {type(error).__name__}") from None
        GATEWAY_LOGINS.labels(Outcome.OK).inc()
        logger.info("%r logged in as %s", person.subject, person.role)
        cookies = [self.cookies.session(token, self.sessions.seconds), self.cookies.no_attempt()]
        return Step(attempt.path, cookies)

    def _failed(self, outcome: Outcome) -> Step:
        GATEWAY_LOGINS.labels(outcome).inc()
        return Step(f"/?login={outcome}", [self.cookies.no_attempt()])


def local_path(given: str) -> str:
    """A path of the page, with query and fragment; `/` where it would lead anywhere else."""
    if _LOCAL_PATH.fullmatch(given) is None or urlsplit(given).netloc or f"{given}/".startswith("/v1/"):
        return "/"
    return given
