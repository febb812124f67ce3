"""Settings of the login."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, model_validator
from pydantic_settings import NoDecode

from services.common.settings import HttpUrl, Settings, is_loopback
from services.gateway.access.roles import Role

# For persons. The others are for programs, which have keys.
_ROLES = frozenset({Role.VIEWER, Role.ANALYST, Role.ADMIN})


def _pairs(text: object) -> object:
    """`staff=analyst,owners=admin` → the same as a mapping. A name with a comma needs JSON: `{"staff": "analyst"}`."""
    if not isinstance(text, str):
        return text
    if text.startswith("{"):
        return json.loads(text)
    return dict(pair.strip().rpartition("=")[::2] for pair in text.split(",") if pair.strip())


RoleNames = Annotated[Mapping[str, Role], NoDecode, BeforeValidator(_pairs)]


class LoginSettings(Settings):
    """The provider of OpenID Connect that knows the shop's staff. Without an issuer there is no login."""

    oidc_issuer: Annotated[HttpUrl | None, BeforeValidator(lambda given: given or None)] = None
    oidc_client_id: str = ""
    # One of both. The file is read at each login, so that the secret can be replaced.
    oidc_client_secret: SecretStr | None = None
    oidc_client_secret_file: Path | None = None
    # Which claim of the ID token has a person's groups, and which group stands for which role.
    oidc_role_claim: str = "groups"
    oidc_roles: RoleNames = Field(default={})
    oidc_scopes: str = "openid profile email groups"
    # The page's address as browsers know it. The provider sends them back to /v1/session/callback below it.
    page_url: Annotated[HttpUrl | None, BeforeValidator(lambda given: given or None)] = None
    # After so long a person logs in again.
    session_hours: float = Field(default=8.0, gt=0, le=24)

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.oidc_issuer is None:
            return self
        self._check_given()
        if unknown := set(self.oidc_roles.values()) - _ROLES:
            raise ValueError(f"TILLSTREAM_OIDC_ROLES: persons are viewer, analyst or admin, not {min(unknown)}")
        for name, url in (("OIDC_ISSUER", self.oidc_issuer), ("PAGE_URL", self.page_url or "")):
            if not is_protected(url):
                raise ValueError(f"TILLSTREAM_{name} must be an https address: http is for loopback only")
        return self

    def _check_given(self) -> None:
        needed = {
            "OIDC_CLIENT_ID": self.oidc_client_id,
            "OIDC_CLIENT_SECRET_FILE": self.oidc_client_secret or self.oidc_client_secret_file,
            "OIDC_ROLES": self.oidc_roles,
            "PAGE_URL": self.page_url,
        }
        if missing := [name for name, given in needed.items() if not given]:
            raise ValueError(f"TILLSTREAM_OIDC_ISSUER needs TILLSTREAM_{missing[0]} too (docs/security.md, Login)")


def is_protected(url: str) -> bool:
    """Whether nobody on the way can read it: https, or http that does not leave the machine."""
    parts = urlsplit(url)
    return parts.scheme == "https" or is_loopback(parts.hostname or "")


def origin_of(url: str) -> str:
    """As browsers write it in `Origin`: scheme, host, and the port where it is not the scheme's own."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    is_usual = parts.port in (None, 443 if parts.scheme == "https" else 80)
    return f"{parts.scheme}://{host}" if is_usual else f"{parts.scheme}://{host}:{parts.port}"
