"""The published models in S3 and the pointer to the live one: who may move it, and how. Calls block.

A version is `models/als/<version>/`, complete once its `manifest.json` is there, and never changed. What serves is
named by `models/als/current.json`, which is only ever written by a conditional write.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import msgspec

from services.common.events import format_time
from services.common.object_store import ObjectStore
from services.common.storage_errors import AlreadyExists, NoSuchObject

logger = logging.getLogger(__name__)

MODELS = "models/als/"
POINTER = f"{MODELS}current.json"
MAIN = "main"
"""The name under which answers of the live version are counted where variants run beside it."""
VARIANT_NAME_LENGTH = 64
"""The longest name of a variant, in characters: it labels metrics and stands in every answer."""
BY_JOB = "job"
_MANIFEST = "/manifest.json"
_ATTEMPTS = 5


class RegistryError(Exception):
    """The pointer stays where it is; the message says why, and what to do."""


class UnknownVersion(RegistryError):
    """There is no published model of that name."""


class RefusedByGate(RegistryError):
    """The version was refused at publishing, and no note overrides that."""


class InvalidVariants(RegistryError):
    """The variants would leave nothing for the live version, or one is not well named."""


class NothingBefore(RegistryError):
    """There is no version to roll back to."""


class Contended(RegistryError):
    """Others moved the pointer at every attempt."""


class Variant(msgspec.Struct, frozen=True):
    """A version that answers a share of the customers beside the live one."""

    name: str
    version: str
    weight: float


class Pointer(msgspec.Struct, frozen=True):
    """What serves: `version`, or for a share of the customers a variant; `previous` is what served before."""

    version: str
    activated_at: str | None = None
    activated_by: str | None = None
    note: str = ""
    variants: tuple[Variant, ...] = ()
    previous: str | None = None

    @property
    def in_use(self) -> set[str]:
        """Versions that serve, and the one to roll back to."""
        before = () if self.previous is None else (self.previous,)
        return {self.version, *before, *(variant.version for variant in self.variants)}


@dataclass(frozen=True, slots=True)
class Change:
    """Who changes the pointer, why and when (epoch milliseconds)."""

    by: str
    note: str
    now_ms: int


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
    try:
        body, etag = store.get_with_etag(POINTER)
    except NoSuchObject:
        return None, None
    try:
        return msgspec.json.decode(body, type=Pointer), etag
    except (msgspec.DecodeError, UnicodeDecodeError) as damage:
        logger.warning("the pointer %s cannot be read and will be replaced: %s", POINTER, damage)
        return None, etag


def activate(store: ObjectStore, version: str, change: Change) -> Pointer:
    """Serve the version from now on. Raises UnknownVersion, RefusedByGate, Contended.

    A version that the gate refused needs a note that says why it is to serve all the same.
    """
    reason = refusal_of(read_manifest(store, version))
    if reason and not change.note.strip():
        raise RefusedByGate(f"{version} was refused: {reason} To serve it all the same, say why in a note.")
    return _move(store, lambda current: activated(current, version, change))


def publish(store: ObjectStore, version: str, change: Change) -> bool:
    """Serve a version that was just made. False where a newer one serves already. Raises Contended."""
    moved = _move(
        store, lambda current: current if current and current.version > version else activated(current, version, change)
    )
    return moved.version == version


def rollback(store: ObjectStore, change: Change) -> Pointer:
    """Serve again what served before. Raises NothingBefore, UnknownVersion, Contended."""

    def back(current: Pointer | None) -> Pointer:
        if current is None or current.previous is None:
            raise NothingBefore("no version served before this one; see `python -m services.models list`")
        read_manifest(store, current.previous)
        return activated(current, current.previous, change)

    return _move(store, back)


def start_variant(store: ObjectStore, variant: Variant, change: Change) -> Pointer:
    """Let a version answer a share of the customers, in the place of a variant of the same name.

    Raises UnknownVersion, RefusedByGate, InvalidVariants, Contended.
    """
    reason = refusal_of(read_manifest(store, variant.version))
    if reason and not change.note.strip():
        raise RefusedByGate(f"{variant.version} was refused: {reason} To try it all the same, say why in a note.")
    return _move(store, lambda current: with_variant(current, variant))


def stop_variant(store: ObjectStore, name: str) -> Pointer:
    """Give a variant's customers back to the live version. Raises InvalidVariants, Contended."""
    return _move(store, lambda current: without_variant(current, name))


def activated(current: Pointer | None, version: str, change: Change) -> Pointer:
    """The pointer with another live version; variants go on, but for one that the version itself was."""
    if current is not None and current.version == version:
        return current
    variants = () if current is None else tuple(each for each in current.variants if each.version != version)
    return Pointer(
        version,
        format_time(change.now_ms // 1000 * 1000),
        change.by,
        change.note,
        variants,
        None if current is None else current.version,
    )


def with_variant(current: Pointer | None, variant: Variant) -> Pointer:
    """The pointer with one more variant. Raises InvalidVariants."""
    if current is None:
        raise InvalidVariants("nothing is live yet: activate a version first")
    if not variant.name or variant.name == MAIN:
        raise InvalidVariants(f"{variant.name!r} cannot name a variant: {MAIN!r} stands for the live version")
    if len(variant.name) > VARIANT_NAME_LENGTH:
        raise InvalidVariants(f"the name of a variant has at most {VARIANT_NAME_LENGTH} characters: {variant.name!r}")
    variants = (*(each for each in current.variants if each.name != variant.name), variant)
    total = sum(each.weight for each in variants)
    if not all(each.weight > 0 for each in variants) or not total < 1:
        shares = ", ".join(f"{each.name} {each.weight:g}" for each in variants)
        raise InvalidVariants(
            f"weights must be above 0 and add up to less than 1, the rest is the live one's: {shares}"
        )
    return msgspec.structs.replace(current, variants=variants)


def without_variant(current: Pointer | None, name: str) -> Pointer:
    """The pointer without a variant. Raises InvalidVariants."""
    if current is None or name not in {each.name for each in current.variants}:
        raise InvalidVariants(f"no variant {name!r} runs")
    return msgspec.structs.replace(current, variants=tuple(each for each in current.variants if each.name != name))


def read_manifest(store: ObjectStore, version: str) -> dict[str, Any]:
    """A published version's manifest; {} where it is damaged. Raises UnknownVersion."""
    try:
        body = store.get(manifest_key(version))
    except NoSuchObject:
        raise UnknownVersion(f"there is no published model {version!r}") from None
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError) as damage:
        logger.warning("the manifest of model %s cannot be read: %s", version, damage)
        return {}


def refusal_of(manifest: dict[str, Any]) -> str | None:
    """Why the gate refused a version; None where it did not."""
    gate = manifest.get("gate")
    if isinstance(gate, dict) and gate.get("verdict") == "refused":
        return str(gate.get("reason", "no reason is on record."))
    return None


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


def put_once(store: ObjectStore, key: str, body: bytes) -> None:
    """Create the object. Raises AlreadyExists where something else is there."""
    try:
        store.put_new(key, body)
    except AlreadyExists:
        # S3's client asks again where the answer to a write was lost, and then finds what it wrote itself.
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


def encode(document: Any) -> bytes:
    """JSON as it is stored: readable, with a newline at the end."""
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def _move(store: ObjectStore, change: Callable[[Pointer | None], Pointer]) -> Pointer:
    """Write what `change` makes of the pointer, again where somebody else was faster. Raises Contended."""
    for _ in range(_ATTEMPTS):
        current, etag = read_pointer(store)
        wanted = change(current)
        if wanted == current:
            return wanted
        try:
            put_in_place(store, POINTER, encode(wanted), etag)
        except AlreadyExists:
            continue
        _take_back_what_is_gone(store, wanted, current)
        logger.info("the pointer names %s now, moved by %s: %s", wanted.version, wanted.activated_by, wanted.note)
        return wanted
    raise Contended(f"{POINTER} changed during each of {_ATTEMPTS} attempts to replace it: look at it and try again")


def _take_back_what_is_gone(store: ObjectStore, moved: Pointer, before: Pointer | None) -> None:
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


def _holds(store: ObjectStore, key: str, body: bytes) -> bool:
    return _body(store, key) == body
