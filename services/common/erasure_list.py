"""The list of erased customers in S3, `privacy/erased.json`: whoever reads purchases applies it. Calls block.

It is only ever written by a conditional write, and customers are only ever added.
"""

import secrets
from collections.abc import Callable
from typing import Protocol

import msgspec

from services.common.conditional_write import compare_and_set
from services.common.erased import Erased, digest_of
from services.common.object_store import ObjectStore
from services.common.storage_errors import NoSuchObject
from services.common.times import format_time

FOLDER = "privacy/"
KEY = f"{FOLDER}erased.json"
_KEY_BYTES = 32


class BadErasureList(Exception):
    """The list cannot be read. Nothing may be overwritten: without it erased customers would come back."""


class _Document(msgspec.Struct, frozen=True):
    """`key`: hexadecimal. `customers`: keyed digest, hexadecimal → when it was added."""

    key: str
    customers: dict[str, str]


class Source(Protocol):
    """Where the list is. `get` raises NoSuchObject."""

    def get(self, key: str, /) -> bytes: ...


def read_erased(store: Source) -> Erased | None:
    """The erased customers; None where nobody ever was. Raises BadErasureList."""
    try:
        body = store.get(KEY)
    except NoSuchObject:
        return None
    try:
        document = msgspec.json.decode(body, type=_Document)
        digests = frozenset(map(bytes.fromhex, document.customers))
        return Erased(bytes.fromhex(document.key), digests) if digests else None
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as damage:
        raise BadErasureList(f"{KEY} cannot be read ({damage}): restore it from a backup") from None


def add_erased(store: ObjectStore, user_id: str, now_ms: int) -> bytes:
    """Erase a customer from now on; returns the digest. Adding one twice changes nothing.

    Raises BadErasureList, Contended.
    """

    def added(known: _Document) -> _Document:
        name = digest_of(user_id, bytes.fromhex(known.key)).hex()
        if name in known.customers:
            return known
        return _Document(known.key, {**known.customers, name: format_time(now_ms // 1000 * 1000)})

    return digest_of(user_id, _changed(store, added))


def digest_in(store: ObjectStore, user_id: str) -> bytes:
    """The digest by which a customer would be erased. Raises BadErasureList, Contended."""
    return digest_of(user_id, _changed(store, lambda known: known))


def _changed(store: ObjectStore, change: Callable[[_Document], _Document]) -> bytes:
    """Change the list, which is begun with a key of its own; returns the key."""
    read_erased(store)  # a damaged list must not be replaced
    _before, after = compare_and_set(
        store, KEY, _Document, lambda known: change(known or _Document(secrets.token_hex(_KEY_BYTES), {}))
    )
    return bytes.fromhex(after.key)
