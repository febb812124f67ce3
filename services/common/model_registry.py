"""The published models in S3 and the pointer to the live one: who may move it, and how. Calls block.

A version is `models/als/<version>/`, complete once its `manifest.json` is there, and never changed. What serves is
named by `models/als/current.json`, which is only ever written by a conditional write.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import suppress

from services.common import audit
from services.common.audit import Action
from services.common.conditional_write import compare_and_set, encode, put_in_place, put_once, read_document
from services.common.model_manifest import ManifestSummary, summarise
from services.common.model_pointer import (
    ChangeAuthor,
    Pointer,
    RegistryError,
    Variant,
    activated,
    is_version,
    replaced,
    with_variant,
    without_variant,
)
from services.common.object_store import ObjectStore
from services.common.storage_errors import AlreadyExists, NoSuchObject

logger = logging.getLogger(__name__)

MODELS = "models/als/"
POINTER = f"{MODELS}current.json"
BY_JOB = "job"
_MANIFEST = "/manifest.json"


class UnknownVersion(RegistryError):
    """There is no published model of that name."""


class RefusedByGate(RegistryError):
    """The version was refused at publishing, and no note overrides that."""


class NothingBefore(RegistryError):
    """There is no version to roll back to."""


def folder_of(version: str) -> str:
    """The prefix of a version's objects."""
    return f"{MODELS}{version}/"


def manifest_key(version: str) -> str:
    """Where a version's manifest is."""
    return f"{MODELS}{version}{_MANIFEST}"


def published_versions(store: ObjectStore) -> list[str]:
    """The complete versions, the oldest first."""
    keys = (key for key, _size in store.list(MODELS) if key.endswith(_MANIFEST))
    return sorted(key.removeprefix(MODELS).removesuffix(_MANIFEST) for key in keys)


def read_pointer(store: ObjectStore) -> tuple[Pointer | None, str | None]:
    """The pointer, None where none can be read; and its etag, None where there is none. A damaged one is replaced."""
    return read_document(store, POINTER, Pointer)


def activate(store: ObjectStore, version: str, author: ChangeAuthor) -> Pointer:
    """Serve the version from now on. Raises UnknownVersion, RefusedByGate, Contended.

    A version that the gate refused needs a note that says why it is to serve all the same.
    """
    _check_may_serve(store, version, author, "serve")
    moved = _move(store, lambda current: activated(current, version, author))
    _note(store, Action.ACTIVATE, version, author)
    return moved


def publish(store: ObjectStore, version: str, author: ChangeAuthor) -> bool:
    """Serve a version that was just made. False where a newer one serves already. Raises Contended."""
    moved = _move(
        store, lambda current: current if current and current.version > version else activated(current, version, author)
    )
    return moved.version == version


def rollback(store: ObjectStore, author: ChangeAuthor) -> Pointer:
    """Serve again what served before. Raises NothingBefore, UnknownVersion, Contended."""

    def back(current: Pointer | None) -> Pointer:
        if current is None or current.previous is None:
            raise NothingBefore("no version served before this one; see `python -m services.models list`")
        read_manifest(store, current.previous)
        return activated(current, current.previous, author)

    moved = _move(store, back)
    _note(store, Action.ROLLBACK, moved.version, author)
    return moved


def supersede(store: ObjectStore, version: str, successor: str) -> None:
    """Name the successor wherever the pointer names the version: it serves as that did. Raises Contended."""

    def renamed(current: Pointer | None) -> Pointer:
        assert current is not None
        return replaced(current, version, successor)

    pointer, _etag = read_pointer(store)
    if pointer is not None and version in pointer.in_use:
        compare_and_set(store, POINTER, Pointer, renamed)


def start_variant(store: ObjectStore, variant: Variant, author: ChangeAuthor) -> Pointer:
    """Let a version answer a share of the customers, in the place of a variant of the same name.

    Raises UnknownVersion, RefusedByGate, InvalidVariants, Contended.
    """
    _check_may_serve(store, variant.version, author, "try")
    moved = _move(store, lambda current: with_variant(current, variant))
    _note(store, Action.VARIANT, variant.version, author)
    return moved


def stop_variant(store: ObjectStore, name: str, author: ChangeAuthor) -> Pointer:
    """Give a variant's customers back to the live version. Raises InvalidVariants, Contended."""
    moved = _move(store, lambda current: without_variant(current, name))
    _note(store, Action.VARIANT, f"without {name}", author)
    return moved


def read_manifest(store: ObjectStore, version: str) -> ManifestSummary:
    """What a published version's manifest says; nothing where it is damaged. Raises UnknownVersion."""
    try:
        body = store.get(manifest_key(version))
    except NoSuchObject:
        raise UnknownVersion(f"there is no published model {version!r}") from None
    try:
        return summarise(version, body)
    except ValueError as damage:
        logger.warning("the manifest of model %s cannot be read: %s", version, damage, extra={"model": version})
        return ManifestSummary(version=version)


def prune(store: ObjectStore, keep: int) -> list[str]:
    """Delete all but the newest `keep` versions, complete or not; never what serves or is to roll back to.

    Returns what was deleted. A version loses its manifest first, so that it is gone at once. Where the pointer cannot
    be read nothing is deleted: what serves is not known. A version that is made live meanwhile stays.
    """
    old = sorted(set(_folders(store)))[:-keep]
    return [version for version in old if _deleted(store, version)]


def _deleted(store: ObjectStore, version: str) -> bool:
    """Delete a version unless it is needed. One that is activated in between either keeps its manifest here, or is
    found to be gone there, after the pointer was moved."""
    if _is_needed(store, version):
        return False
    manifest = _body(store, manifest_key(version))
    store.delete(manifest_key(version))
    if _is_needed(store, version):
        if manifest is not None:
            put_once(store, manifest_key(version), manifest)
        return False
    for key, _size in [*store.list(folder_of(version))]:
        store.delete(key)
    return True


def _is_needed(store: ObjectStore, version: str) -> bool:
    """Whether the pointer names the version; so it may where it cannot be read."""
    pointer, etag = read_pointer(store)
    return etag is not None if pointer is None else version in pointer.in_use


def _folders(store: ObjectStore) -> Iterator[str]:
    return (key.removeprefix(MODELS).partition("/")[0] for key, _size in store.list(MODELS) if key != POINTER)


def _note(store: ObjectStore, action: Action, subject: str, author: ChangeAuthor) -> None:
    audit.note(store, audit.entry_of(author.by, action, subject, author.now_ms, author.note), author.now_ms)


def _check_may_serve(store: ObjectStore, version: str, author: ChangeAuthor, verb: str) -> None:
    """Raises UnknownVersion, RefusedByGate."""
    if not is_version(version):  # no pointer with such a name could be decoded
        raise UnknownVersion(f"there is no published model {version!r}")
    reason = read_manifest(store, version).refusal
    if reason and not author.note.strip():
        raise RefusedByGate(f"{version} was refused: {reason} To {verb} it all the same, say why in a note.")


def _move(store: ObjectStore, change: Callable[[Pointer | None], Pointer]) -> Pointer:
    """Make the pointer what `change` makes of it. Raises Contended, UnknownVersion."""
    before, moved = compare_and_set(store, POINTER, Pointer, change)
    if moved != before:
        _undo_move_to_deleted(store, moved, before)
        fields = {"model": moved.version, "by": moved.activated_by}
        logger.info("the pointer names %s now, moved by %s: %s", *fields.values(), moved.note, extra=fields)
    return moved


def _undo_move_to_deleted(store: ObjectStore, moved: Pointer, before: Pointer | None) -> None:
    """Undo a move to a version that was pruned between the look at it and the move. Raises UnknownVersion."""
    for version in moved.in_use - (before.in_use if before else set()):
        try:
            read_manifest(store, version)
        except UnknownVersion:
            _put_back(store, moved, before)
            raise


def _put_back(store: ObjectStore, moved: Pointer, before: Pointer | None) -> None:
    """Write what the pointer was before, unless somebody has moved it on."""
    current, etag = read_pointer(store)
    if current != moved:
        return
    if before is None:
        store.delete(POINTER)
        return
    with suppress(AlreadyExists):
        put_in_place(store, POINTER, encode(before), etag)


def _body(store: ObjectStore, key: str) -> bytes | None:
    try:
        return store.get(key)
    except NoSuchObject:
        return None
