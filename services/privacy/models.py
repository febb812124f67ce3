"""Published models without erased customers: a version never changes, so a new one takes its place. Calls block."""

import hashlib
import logging
import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from services.common.conditional_write import encode, put_once
from services.common.erased import Erased
from services.common.model_registry import (
    MODELS,
    POINTER,
    folder_of,
    manifest_key,
    published_versions,
    read_pointer,
    supersede,
)
from services.common.object_store import ObjectStore
from services.common.storage_errors import AlreadyExists, NoSuchObject
from services.privacy.parquet import rows_of, without_rows

logger = logging.getLogger(__name__)

OF_CUSTOMERS = ("known_purchases/", "user_factors/")
"""The tables of a model that have a row for each customer."""

_REISSUED = re.compile(r"(.+)\.e(\d+)")
_STARTED = re.compile(r"(\d{8}T\d{6})Z")
_ABANDONED_AFTER = timedelta(days=1)
_CLAIM = "claimed_ms"
"""In the folder of a successor that a sweep writes: since when (epoch ms). It goes once the manifest is there."""

Json = dict[str, Any]


class NothingLeft(Exception):
    """A model knows nobody but erased customers; the message says what to do."""


def sweep_models(store: ObjectStore, erased: Erased, now_ms: int) -> int:
    """Replace each version that knows an erased customer, and the pointer with it; returns how many.

    A folder without a manifest is of a run or a sweep that goes on, or was abandoned: after a day it is removed. What
    is left of a version that has a successor is removed at once. Of two sweeps at once one may end with NoSuchObject,
    and nothing is lost. Raises NothingLeft, Contended, NoSuchObject.
    """
    changed, kept = 0, list[NothingLeft]()
    for version in published_versions(store):
        try:
            changed += _reissued(store, version, erased, now_ms)
        except NothingLeft as error:
            if _is_in_use(store, version):
                kept.append(error)
            else:
                _remove(store, version)
                changed += 1
    published = published_versions(store)
    for version in sorted(_folders(store) - set(published)):
        if _is_left_over(store, version, published, now_ms):
            _remove(store, version)
            changed += 1
    if kept:
        raise kept[0]
    return changed


def _reissued(store: ObjectStore, version: str, erased: Erased, now_ms: int) -> bool:
    manifest = msgspec.json.decode(store.get(manifest_key(version)), type=Json)
    folder = folder_of(version)
    bodies: dict[str, bytes] = {}
    for entry in manifest["files"]:
        if entry["path"].startswith(OF_CUSTOMERS):
            body = without_rows(store.get(folder + entry["path"]), erased)
            if body is not None:
                bodies[entry["path"]] = body
    if not bodies:
        return False
    left = (rows_of(bodies[each["path"]]) if each["path"] in bodies else each["rows"] for each in _known(manifest))
    if not sum(left):
        raise NothingLeft(f"model {version} knows only erased customers: train two new ones, then sweep again")
    successor = _claim_next(store, version, now_ms)
    files = [_copied(store, entry, folder, folder_of(successor), bodies) for entry in manifest["files"]]
    users = _rows(files, OF_CUSTOMERS[1])
    put_once(store, manifest_key(successor), encode(manifest | {"version": successor, "users": users, "files": files}))
    store.delete(folder_of(successor) + _CLAIM)
    supersede(store, version, successor)
    _remove(store, version)
    supersede(store, version, successor)  # who made it live meanwhile
    logger.info("model %s takes the place of %s", successor, version)
    return True


def _copied(store: ObjectStore, entry: Json, source: str, target: str, bodies: dict[str, bytes]) -> Json:
    """Copy one file, or write what takes its place; returns its entry of the manifest."""
    path = entry["path"]
    body = bodies.get(path)
    if body is None:
        store.put(target + path, store.get(source + path))
        return entry
    store.put(target + path, body)
    return entry | {"sha256": hashlib.sha256(body).hexdigest(), "bytes": len(body), "rows": rows_of(body)}


def _is_in_use(store: ObjectStore, version: str) -> bool:
    pointer, _etag = read_pointer(store)
    return pointer is None or version in pointer.in_use


def _known(manifest: Json) -> list[Json]:
    return [entry for entry in manifest["files"] if entry["path"].startswith(OF_CUSTOMERS[0])]


def _rows(files: list[Json], table: str) -> int:
    return sum(entry["rows"] for entry in files if entry["path"].startswith(table))


def _claim_next(store: ObjectStore, version: str, now_ms: int) -> str:
    """`<version>.e1`, `.e2` …: it sorts after the version and before any later one. No two sweeps write the same."""
    base, number = _split(version)
    taken = _folders(store)
    while True:
        number += 1
        name = f"{base}.e{number}"
        if name not in taken:
            with suppress(AlreadyExists):
                store.put_new(folder_of(name) + _CLAIM, str(now_ms).encode())
                return name


def _is_left_over(store: ObjectStore, version: str, published: list[str], now_ms: int) -> bool:
    """Whether nobody writes a folder without a manifest any more."""
    try:
        claimed_ms = int(store.get(folder_of(version) + _CLAIM))
    except NoSuchObject:
        return _has_successor(version, published) or _is_abandoned(version, now_ms)
    return now_ms - claimed_ms > _ABANDONED_AFTER / timedelta(milliseconds=1)


def _has_successor(version: str, published: list[str]) -> bool:
    base, number = _split(version)
    return any(each[0] == base and each[1] > number for each in map(_split, published))


def _split(version: str) -> tuple[str, int]:
    """The name that the job gave, and how often it was reissued."""
    found = _REISSUED.fullmatch(version)
    return (found[1], int(found[2])) if found else (version, 0)


def _folders(store: ObjectStore) -> set[str]:
    keys = (key for key, _size in store.list(MODELS) if key != POINTER)
    return {key.removeprefix(MODELS).partition("/")[0] for key in keys}


def _is_abandoned(version: str, now_ms: int) -> bool:
    found = _STARTED.match(version)
    if found is None:
        return False
    started = datetime.strptime(found[1], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    return datetime.fromtimestamp(now_ms / 1000, UTC) - started > _ABANDONED_AFTER


def _remove(store: ObjectStore, version: str) -> None:
    """The manifest first, so that the version is gone at once."""
    store.delete(manifest_key(version))
    for key in [*_of_folder(store, version)]:
        store.delete(key)


def _of_folder(store: ObjectStore, version: str) -> Iterator[str]:
    return (key for key, _size in store.list(folder_of(version)))
