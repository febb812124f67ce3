"""A provider of OpenID Connect: discovery, codes with PKCE that count once, ID tokens signed with RS256.

`python -m tests.support.oidc_provider 5556 http://127.0.0.1:8080` serves one to look at the login with.
"""

import base64
import hashlib
import json
import secrets
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, unquote_plus, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import KeySet, OctKey, RSAKey

CLIENT_ID, CLIENT_SECRET = "tillstream", "the secret/of the client+"
# Person → groups.
STAFF: Mapping[str, Sequence[str]] = {
    "vera": ["screens"],
    "anna": ["everybody", "staff"],
    "olga": ["staff", "owners"],
    "gert": ["guests"],
}
ROLES = "screens=viewer,staff=analyst,owners=admin"
_SECONDS = 300


class Provider:
    """What the provider knows. A test may change how it answers."""

    def __init__(self) -> None:
        self.key: RSAKey | OctKey = RSAKey.generate_key(2048, {"kid": "first", "use": "sig", "alg": "RS256"})
        self.published: list[Any] = [self.key]
        self.others: list[dict[str, str]] = []
        """What it publishes next to its keys."""
        self.issuer = ""
        self.claims: dict[str, Any] = {}
        """Claims that replace those of the next ID tokens; None removes one."""
        self.status = 200
        self.algorithm = "RS256"
        self.asked: list[str] = []
        self._codes: dict[str, dict[str, str]] = {}

    def metadata(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }

    def approve(self, login_url: str, person: str) -> str:
        """Where the provider sends the browser once the person has logged in at `login_url`."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(login_url).query).items()}
        assert asked["client_id"] == CLIENT_ID
        assert asked["response_type"] == "code"
        assert asked["code_challenge_method"] == "S256"
        assert "openid" in asked["scope"].split()
        code = secrets.token_urlsafe(16)
        self._codes[code] = {**asked, "person": person}
        return f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}"

    def exchange(self, form: Mapping[str, str], authorization: str) -> dict[str, Any] | None:
        """The tokens of a code, once; None where anything is wrong."""
        asked = self._codes.pop(form.get("code", ""), None)
        if asked is None or not _is_client(authorization) or form.get("redirect_uri") != asked["redirect_uri"]:
            return None
        if _base64(hashlib.sha256(form.get("code_verifier", "").encode()).digest()) != asked["code_challenge"]:
            return None
        return {"access_token": "an access token", "token_type": "Bearer", "id_token": self._id_token(asked)}

    def _id_token(self, asked: Mapping[str, str]) -> str:
        now, person = int(time.time()), asked["person"]
        claims: dict[str, Any] = {
            "iss": self.issuer,
            "sub": f"id-of-{person}",
            "aud": CLIENT_ID,
            "exp": now + _SECONDS,
            "iat": now,
            "nonce": asked["nonce"],
            "email": f"{person}@shop.example",
            "groups": STAFF[person],
        } | self.claims
        given = {name: value for name, value in claims.items() if value is not None}
        header = {"alg": self.algorithm, "kid": self.key.kid}
        if self.algorithm == "none":
            return f"{_base64(json.dumps(header).encode())}.{_base64(json.dumps(given).encode())}."
        return jwt.encode(header, given, self.key, [self.algorithm])

    def keys(self) -> dict[str, Any]:
        known = KeySet(self.published).as_dict(private=False)["keys"]
        return {"keys": [*self.others, *known]}


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _is_client(authorization: str) -> bool:
    scheme, _space, text = authorization.partition(" ")
    given = base64.b64decode(text).decode().split(":")
    return scheme == "Basic" and [unquote_plus(part) for part in given] == [CLIENT_ID, CLIENT_SECRET]


class _Handler(BaseHTTPRequestHandler):
    provider: Provider

    def do_GET(self) -> None:
        self.provider.asked.append(urlsplit(self.path).path)
        query = parse_qs(urlsplit(self.path).query)
        match urlsplit(self.path).path:
            case "/.well-known/openid-configuration":
                self._json(self.provider.status, self.provider.metadata())
            case "/keys":
                self._json(200, self.provider.keys())
            case "/authorize" if "person" in query:
                self.send_response(303)
                self.send_header("Location", self.provider.approve(self.path, query["person"][0]))
                self.send_header("Content-Length", "0")
                self.end_headers()
            case "/authorize":
                self._send(200, "text/html; charset=utf-8", self._choice().encode())
            case _:
                self._json(404, {})

    def do_POST(self) -> None:
        self.provider.asked.append(self.path)
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        form = {name: values[0] for name, values in parse_qs(body).items()}
        tokens = self.provider.exchange(form, self.headers.get("Authorization", ""))
        self._json(200 if tokens else 400, tokens or {"error": "invalid_grant"})

    def _choice(self) -> str:
        links = "".join(f'<li><a href="{escape(self.path)}&amp;person={name}">{name}</a>' for name in STAFF)
        return f'<!doctype html><html lang="en"><title>Who are you?</title><h1>Who are you?</h1><ul>{links}</ul>'

    def _json(self, status: int, body: object) -> None:
        self._send(status, "application/json", json.dumps(body).encode())

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: a test says what it expects."""


@contextmanager
def serving_provider(port: int = 0) -> Iterator[Provider]:
    """Serve a provider on a free port of loopback."""
    provider = Provider()
    handler = type("Handler", (_Handler,), {"provider": provider})
    with ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        provider.issuer = f"http://127.0.0.1:{server.server_address[1]}"
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield provider
        finally:
            server.shutdown()
            thread.join()


def login_settings(provider: Provider, page_url: str) -> dict[str, Any]:
    """Settings of a gateway whose login is at this provider."""
    return {
        "oidc_issuer": provider.issuer,
        "oidc_client_id": CLIENT_ID,
        "oidc_client_secret": CLIENT_SECRET,
        "oidc_roles": ROLES,
        "page_url": page_url,
    }


if __name__ == "__main__":
    with serving_provider(int(sys.argv[1])) as serving:
        for setting, value in login_settings(serving, sys.argv[2]).items():
            print(f"TILLSTREAM_{setting.upper()}={value}", flush=True)
        sys.stdin.read()
