"""Conditional writes of small JSON objects in S3: create once, replace what was read, compare and set. Calls block."""

import logging
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from services.common.object_store import ObjectStore
from services.common.storage_errors import AlreadyExists, NoSuchObject

logger = logging.getLogger(__name__)

_ATTEMPTS = 5
Document = TypeVar("Document")


class Contended(Exception):
    """Other writers changed the object during every attempt: it is as they left it."""


def encode(document: Any) -> bytes:
    """JSON as it is stored: readable, with a newline at the end."""
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def put_once(store: ObjectStore, key: str, body: bytes) -> None:
    """Create the object. Raises AlreadyExists where something else is there."""
    try:
        store.put_new(key, body)
    except AlreadyExists:
        # S3's client retries where the answer to a write was lost, and then finds what it wrote itself.
        if not _holds(store, key, body):
            raise


def put_in_place(store: ObjectStore, key: str, body: bytes, etag: str | None) -> None:
    """Replace what had this etag (None: nothing). Raises AlreadyExists where it has changed."""
    if etag is None:
        put_once(store, key, body)
        return
    try:
        store.replace(key, body, etag)
    except AlreadyExists:
        if not _holds(store, key, body):
            raise


def read_document(store: ObjectStore, key: str, kind: type[Document]) -> tuple[Document | None, str | None]:
    """The document, None where none can be decoded; and its etag, None where there is none."""
    try:
        body, etag = store.get_with_etag(key)
    except NoSuchObject:
        return None, None
    try:
        return msgspec.json.decode(body, type=kind), etag
    except (msgspec.DecodeError, UnicodeDecodeError) as damage:
        logger.warning("%s cannot be read and will be replaced: %s", key, damage, extra={"key": key})
        return None, etag


def compare_and_set(
    store: ObjectStore, key: str, kind: type[Document], change: Callable[[Document | None], Document]
) -> tuple[Document | None, Document]:
    """Write what `change` makes of the document (None: none, or damaged); again where another writer was faster.

    Returns the document before and after; nothing is written where they are equal. Raises Contended, and what
    `change` raises.
    """
    for _ in range(_ATTEMPTS):
        before, etag = read_document(store, key, kind)
        after = change(before)
        if after == before:
            return before, after
        try:
            put_in_place(store, key, encode(after), etag)
        except AlreadyExists:
            continue
        return before, after
    raise Contended(f"{key} changed during each of {_ATTEMPTS} attempts to replace it: look at it and try again")


def _holds(store: ObjectStore, key: str, body: bytes) -> bool:
    try:
        return store.get(key) == body
    except NoSuchObject:
        return False
