"""The secrets that sign webhooks: several are valid at once, so that one can be replaced while both are in use."""

import base64
import binascii
import hashlib
import hmac
import logging
from collections.abc import Sequence
from pathlib import Path

from pydantic import SecretStr

from services.gateway.hooks.delivery import ShopSystem

logger = logging.getLogger(__name__)

_MIN_LENGTH = 16


class BadSecrets(Exception):
    """The secrets cannot be read or are too short. The message names setting and reason, no secret."""


class HookSecrets:
    """The secrets of one shop system, one a line. The file is read again when it changes."""

    def __init__(self, system: ShopSystem, given: SecretStr | None, path: Path | None) -> None:
        """`given`: secrets in the settings, separated by white space. Raises BadSecrets."""
        self._name = f"TILLSTREAM_{system.upper()}_SECRETS"
        self._path = path
        self._given = _long_enough(self._name, given.get_secret_value().split() if given else ())
        self._in_file: Sequence[bytes] = ()
        if path is not None:
            self._in_file = self._read(path)

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._given or self._in_file)

    @property
    def setting(self) -> str:
        """The setting that turns the hooks on."""
        return f"{self._name}_FILE"

    def _read(self, path: Path) -> Sequence[bytes]:
        try:
            found = path.read_text().split()
        except (OSError, UnicodeDecodeError) as error:
            raise BadSecrets(f"{self.setting} {path}: {error}") from None
        if not found:
            raise BadSecrets(f"{self.setting} {path} holds no secret")
        return _long_enough(f"{self.setting} {path}", found)

    async def refresh(self) -> None:
        """Read the file again. One that has become invalid leaves the secrets as they were."""
        if self._path is None:
            return
        try:
            found = self._read(self._path)
        except BadSecrets as error:
            logger.error("the secrets stay as they were: %s", error)
            return
        if found != self._in_file:
            self._in_file = found
            logger.info("%d secrets from %s", len(found), self._path)

    def have_signed(self, body: bytes, signature: str) -> bool:
        """Whether one of the secrets gives this signature: the HMAC-SHA256 of the body, in base64.

        All secrets are tried, each in constant time.
        """
        try:
            given = base64.b64decode(signature.encode(), validate=True)
        except (binascii.Error, UnicodeEncodeError):
            return False
        matches = [
            hmac.compare_digest(hmac.digest(secret, body, hashlib.sha256), given)
            for secret in (*self._given, *self._in_file)
        ]
        return any(matches)


def _long_enough(name: str, secrets: Sequence[str]) -> Sequence[bytes]:
    if any(len(secret) < _MIN_LENGTH for secret in secrets):
        raise BadSecrets(f"{name}: a secret has fewer than {_MIN_LENGTH} characters")
    return tuple(secret.encode() for secret in secrets)
