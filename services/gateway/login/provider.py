"""The provider of OpenID Connect: its addresses, the exchange of a code, and what its ID tokens must say."""

import ssl
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from typing import Any, TypeVar
from urllib.parse import quote_plus

import httpx
import msgspec
from authlib.common.urls import add_params_to_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError, MissingKeyError
from joserfc.jwk import KeySet, import_key
from joserfc.jws import JWSRegistry

from services.gateway.access.roles import Role
from services.gateway.login.settings import LoginSettings, is_protected

_TIMEOUT_SECONDS = 5.0
_METADATA_SECONDS = 300.0
_MAX_BYTES = 1024 * 1024
_LEEWAY_SECONDS = 60
# Signatures that only the provider can make. Its metadata is not asked: `none` and HMAC must never count.
_ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
# A person with several groups has the role that sees most.
_STRONGEST_FIRST = (Role.ADMIN, Role.ANALYST, Role.VIEWER)
_MAX_NAME = 200

Answer = TypeVar("Answer", bound=msgspec.Struct)


class ProviderAway(Exception):
    """The provider does not answer, or not as one."""


class Refused(Exception):
    """The provider refuses the code, or its token does not hold. The message says why, without secrets."""


class _Metadata(msgspec.Struct, frozen=True):
    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    token_endpoint_auth_methods_supported: Sequence[str] = ("client_secret_basic",)


class _Tokens(msgspec.Struct, frozen=True):
    id_token: str
    access_token: str = ""


class _Keys(msgspec.Struct, frozen=True):
    keys: Sequence[dict[str, Any]]


class Person(msgspec.Struct, frozen=True):
    """Who logged in. `subject` never changes and is unique at the provider; a name may be anything."""

    subject: str
    name: str
    role: Role | None


@cache
def _trusted() -> ssl.SSLContext:
    """The authorities for https, read once a process. SSL_CERT_FILE names others."""
    return httpx.create_ssl_context()


class Provider:
    """One provider, asked when somebody logs in. Its keys are read at each login, so that they may rotate."""

    def __init__(self, settings: LoginSettings, redirect_uri: str) -> None:
        self._settings = settings
        self._redirect_uri = redirect_uri
        self._issuer = settings.oidc_issuer or ""
        self._http = httpx.AsyncClient(timeout=_TIMEOUT_SECONDS, verify=_trusted())
        self._metadata: _Metadata | None = None
        self._read_at = 0.0

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def login_url(self, state: str, nonce: str, verifier: str) -> str:
        """Where to send the browser. Raises ProviderAway."""
        parameters = {
            "response_type": "code",
            "client_id": self._settings.oidc_client_id,
            "redirect_uri": self._redirect_uri,
            "scope": self._settings.oidc_scopes,
            "state": state,
            "nonce": nonce,
            "code_challenge": create_s256_code_challenge(verifier),
            "code_challenge_method": "S256",
        }
        endpoint = (await self._described()).authorization_endpoint
        return str(add_params_to_uri(endpoint, list(parameters.items())))

    async def person(self, code: str, nonce: str, verifier: str) -> Person:
        """Who the code stands for. Raises ProviderAway, Refused."""
        described = await self._described()
        tokens = await self._exchanged(described, code, verifier)
        keys = await self._asked("GET", described.jwks_uri)
        return self._person(self._claims(tokens, keys, nonce))

    async def _described(self) -> _Metadata:
        if self._metadata is None or time.monotonic() - self._read_at > _METADATA_SECONDS:
            url = f"{self._issuer.rstrip('/')}/.well-known/openid-configuration"
            self._metadata = self._checked(await self._asked("GET", url))
            self._read_at = time.monotonic()
        return self._metadata

    def _checked(self, body: bytes) -> _Metadata:
        found = _decoded(body, _Metadata)
        if found.issuer != self._issuer:
            raise ProviderAway(f"the provider calls itself {found.issuer[:200]!r}: set TILLSTREAM_OIDC_ISSUER to that")
        if not all(map(is_protected, (found.authorization_endpoint, found.token_endpoint, found.jwks_uri))):
            raise ProviderAway("the provider names an address that is not https")
        return found

    async def _exchanged(self, described: _Metadata, code: str, verifier: str) -> _Tokens:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._redirect_uri,
            "code_verifier": verifier,
        }
        client_id, secret = self._settings.oidc_client_id, self._secret()
        by_header = "client_secret_basic" in described.token_endpoint_auth_methods_supported
        if not by_header:
            form |= {"client_id": client_id, "client_secret": secret}
        auth = httpx.BasicAuth(quote_plus(client_id), quote_plus(secret)) if by_header else None  # RFC 6749, 2.3.1
        return _decoded(await self._asked("POST", described.token_endpoint, data=form, auth=auth), _Tokens)

    def _secret(self) -> str:
        path, given = self._settings.oidc_client_secret_file, self._settings.oidc_client_secret
        try:
            return path.read_text().strip() if path is not None else given.get_secret_value() if given else ""
        except (OSError, UnicodeDecodeError) as error:
            raise ProviderAway(f"TILLSTREAM_OIDC_CLIENT_SECRET_FILE {path}: {error}") from None

    async def _asked(self, method: str, url: str, **request: Any) -> bytes:
        """The body of a good response. A refusal says 400 or 401."""
        try:
            async with self._http.stream(method, url, **request) as response:
                body = b""
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > _MAX_BYTES:
                        raise ProviderAway(f"{url} answers more than {_MAX_BYTES:,} bytes")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ProviderAway(f"{url} does not answer: {type(error).__name__}") from None
        if method == "POST" and response.status_code in (400, 401, 403):
            raise Refused(f"the provider answers {response.status_code} to the code")
        if response.status_code != 200:
            raise ProviderAway(f"{url} answers {response.status_code}")
        return body

    def _claims(self, tokens: _Tokens, keys: bytes, nonce: str) -> Mapping[str, Any]:
        """The claims of an ID token that was signed by the provider, for us, for this attempt, and still holds."""
        client_id = self._settings.oidc_client_id
        try:
            key_set = _readable(_decoded(keys, _Keys))
            registry = JWSRegistry(algorithms=_ALGORITHMS, strict_check_header=False)
            token = jwt.decode(tokens.id_token, key_set, registry=registry)
            claims = CodeIDToken(
                token.claims,
                token.header,
                {"iss": {"essential": True, "value": self._issuer}, "aud": {"essential": True, "value": client_id}},
                {"nonce": nonce, "client_id": client_id, "access_token": tokens.access_token},
            )
            claims.validate(leeway=_LEEWAY_SECONDS)
        except (JoseError, ValueError, KeyError, TypeError) as error:
            raise Refused(f"the ID token does not hold: {type(error).__name__} {error}"[:300]) from None
        return token.claims

    def _person(self, claims: Mapping[str, Any]) -> Person:
        names = (claims.get("email"), claims.get("preferred_username"), claims.get("name"))
        subject = str(claims["sub"])
        name = next((each for each in names if isinstance(each, str) and each and each.isprintable()), subject)
        return Person(subject[:_MAX_NAME], name[:_MAX_NAME], self._role(claims.get(self._settings.oidc_role_claim)))

    def _role(self, groups: object) -> Role | None:
        given = groups if isinstance(groups, list) else [groups]
        roles = {self._settings.oidc_roles.get(each) for each in given if isinstance(each, str)}
        return next((role for role in _STRONGEST_FIRST if role in roles), None)


def _readable(found: _Keys) -> KeySet:
    """Without keys of unknown kinds, curves or fields, which a provider may have for others (RFC 7517, 5)."""
    keys = []
    for each in found.keys:
        with suppress(JoseError, ValueError, KeyError, TypeError):
            keys.append(import_key(each))
    if not keys:
        raise MissingKeyError("the provider publishes no key that can be used")
    return KeySet(keys)


def _decoded(body: bytes, kind: type[Answer]) -> Answer:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ProviderAway(f"the provider's answer is no {kind.__name__.strip('_').lower()}: {error}") from None
