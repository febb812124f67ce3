"""API keys: random, stored as hashes in a file, several valid at once."""

import hashlib
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import msgspec

from services.common.metrics import GATEWAY_KEY_USED
from services.gateway.access.roles import Principal, Role

logger = logging.getLogger(__name__)

# A key has 256 random bits. So a plain SHA-256 of it cannot be guessed, and a slow hash would only cost each request.
_PREFIX = "till_"
_RANDOM_BYTES = 32


class BadKeys(Exception):
    """The file of the keys cannot be read or is invalid. The message names file and reason, no key."""


class ApiKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An entry of the file. `sha256` is hexadecimal; from `expires` (RFC 3339) on, the key is invalid.

    `requests_per_minute` holds for this key in the place of TILLSTREAM_REQUESTS_PER_MINUTE.
    """

    name: str
    role: Role
    sha256: str
    expires: datetime | None = None
    requests_per_minute: int | None = None

    def __post_init__(self) -> None:
        if not 1 <= len(self.name) <= 64 or not self.name.isprintable():
            raise ValueError("name must be 1 to 64 printable characters")
        if len(self.sha256) != 64 or not set(self.sha256) <= set("0123456789abcdef"):
            raise ValueError("sha256 must be 64 hexadecimal digits in lower case")
        if self.expires is not None and self.expires.tzinfo is None:
            raise ValueError("expires needs a time zone")
        if self.requests_per_minute is not None and self.requests_per_minute < 1:
            raise ValueError("requests_per_minute must be at least 1")


class _File(msgspec.Struct, forbid_unknown_fields=True):
    keys: list[ApiKey]


def new_key(name: str, role: Role) -> tuple[str, ApiKey]:
    """A random key and its entry for the file."""
    key = _PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)
    return key, ApiKey(name, role, digest(key))


def digest(key: str) -> str:
    """The hash that the file holds."""
    return hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest()


def read_keys(path: Path) -> Sequence[ApiKey]:
    """The keys of a file. Raises BadKeys."""
    try:
        keys = msgspec.json.decode(path.read_bytes(), type=_File).keys
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadKeys(f"TILLSTREAM_API_KEYS_FILE {path}: {error}") from None
    names = [key.name for key in keys]
    if len(set(names)) < len(names):
        raise BadKeys(f"TILLSTREAM_API_KEYS_FILE {path}: two keys have the same name")
    return keys


def _changes(before: Mapping[str, ApiKey], after: Mapping[str, ApiKey]) -> Iterator[str]:
    """In words, by name: no hash."""
    old, new = ({key.name: key for key in keys.values()} for keys in (before, after))
    for name in sorted(old.keys() | new.keys()):
        if name not in new:
            yield f"removed {name}"
        elif name not in old:
            yield f"added {name} ({new[name].role})"
        elif old[name] != new[name]:
            yield f"changed {name} ({new[name].role})"


Note = Callable[[str], Awaitable[bool]]
"""Adds changes to the audit log. False: try again."""


async def no_note(_changes: str) -> bool:
    """For who keeps no audit log."""
    return True


class KeyRing:
    """The keys of a file, read again when it changes. A file that has become invalid leaves the keys as they were."""

    def __init__(self, path: Path, note: Note = no_note) -> None:
        """Raises BadKeys."""
        self._path = path
        self._note = note
        self._unnoted: list[str] = []
        self._by_digest: dict[str, ApiKey] = {}
        self._seen: bytes | None = None
        self._load()
        self._seen = hashlib.sha256(path.read_bytes()).digest()

    def _load(self) -> None:
        keys = read_keys(self._path)
        before, self._by_digest = self._by_digest, {key.sha256: key for key in keys}
        if self._seen is not None:
            self._unnoted += _changes(before, self._by_digest)
        logger.info("%d API keys from %s", len(keys), self._path)

    async def refresh(self) -> None:
        """Read the file again if its content has changed."""
        try:
            content = hashlib.sha256(self._path.read_bytes()).digest()
            if content != self._seen:
                self._load()
        except (OSError, BadKeys) as error:
            logger.error("the API keys stay as they were: %s", error)
        else:
            self._seen = content
        # A withdrawn key must not wait for the audit log, so that is written afterwards, and until it is.
        if self._unnoted and await self._note("; ".join(self._unnoted)):
            self._unnoted.clear()

    def find(self, key: str) -> Principal | None:
        """Whose key this is; None where it is unknown or has expired."""
        # The lookup is by hash: its time says nothing about a stored key.
        entry = self._by_digest.get(digest(key))
        if entry is None or (entry.expires is not None and entry.expires.timestamp() <= time.time()):
            return None
        GATEWAY_KEY_USED.labels(entry.name).set_to_current_time()
        return Principal(entry.name, entry.role, requests_per_minute=entry.requests_per_minute)
