"""The published models in S3: their manifests, and the pointer to the live one. Calls block; see `ModelStore`."""

import logging
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import msgspec

from services.common.objectstore import AlreadyExists, NoSuchObject, ObjectStore
from services.gateway.answers import ModelEntry, Pointer
from services.gateway.problems import Problem

logger = logging.getLogger(__name__)

_ROOT = "models/als/"
_POINTER = f"{_ROOT}current.json"
_MANIFEST = "/manifest.json"


class Manifest(msgspec.Struct, frozen=True):
    """What the gateway reads of a manifest."""

    version: str
    created_at: str | None = None
    algorithm: str | None = None
    rank: int | None = None
    users: int | None = None
    items: int | None = None
    training: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    metrics: dict[str, Any] = {}
    counts: dict[str, Any] = {}


class PointerFile(msgspec.Struct, frozen=True):
    """The content of the pointer."""

    version: str
    activated_at: str | None = None
    activated_by: str | None = None
    note: str = ""

    def answer(self) -> Pointer:
        """As answered."""
        return Pointer(**msgspec.structs.asdict(self))


class Registry:
    """Reads manifests, each once, and moves the pointer. Raises botocore's errors where S3 is away."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._manifests: dict[str, Manifest] = {}

    def current(self) -> Pointer | None:
        """Where the pointer points; None where there is none that can be read."""
        pointer, _etag = self._pointer()
        return pointer.answer() if pointer else None

    def models(self) -> list[ModelEntry]:
        """All published versions, the newest first."""
        current, _etag = self._pointer()
        versions = self._versions()
        self._manifests = {version: self._manifests[version] for version in versions if version in self._manifests}
        return [_entry(self._manifest(version), current) for version in sorted(versions, reverse=True)]

    def activate(self, version: str, note: str) -> Pointer:
        """Point to the version, unless the pointer does already. Raises Problem 404 or 409."""
        if version not in self._versions():
            raise Problem(HTTPStatus.NOT_FOUND, f"there is no published model {version!r}")
        current, etag = self._pointer()
        if current is not None and current.version == version:
            return current.answer()
        pointer = PointerFile(version, f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}", "admin", note)
        try:
            self._write(msgspec.json.encode(pointer), etag)
        except AlreadyExists:
            raise Problem(HTTPStatus.CONFLICT, "another model was activated in the same moment; look again") from None
        logger.info("model %s activated by an admin: %s", version, note or "no note")
        return pointer.answer()

    def _write(self, body: bytes, etag: str | None) -> None:
        if etag is None:
            self._store.put_new(_POINTER, body)
        else:
            self._store.replace(_POINTER, body, etag)

    def _pointer(self) -> tuple[PointerFile | None, str | None]:
        try:
            body, etag = self._store.get_with_etag(_POINTER)
        except NoSuchObject:
            return None, None
        try:
            return msgspec.json.decode(body, type=PointerFile), etag
        except msgspec.DecodeError as error:
            logger.warning("the pointer %s cannot be read: %s", _POINTER, error)
            return None, etag

    def _versions(self) -> set[str]:
        keys = (key for key, _size in self._store.list(_ROOT) if key.endswith(_MANIFEST))
        return {key.removeprefix(_ROOT).removesuffix(_MANIFEST) for key in keys}

    def _manifest(self, version: str) -> Manifest:
        if version not in self._manifests:
            self._manifests[version] = self._read_manifest(version)
        return self._manifests[version]

    def _read_manifest(self, version: str) -> Manifest:
        try:
            return msgspec.json.decode(self._store.get(f"{_ROOT}{version}{_MANIFEST}"), type=Manifest)
        except (msgspec.DecodeError, NoSuchObject) as error:
            logger.warning("the manifest of model %s cannot be read: %s", version, error)
            return Manifest(version)


def _entry(manifest: Manifest, current: PointerFile | None) -> ModelEntry:
    live = current is not None and current.version == manifest.version
    return ModelEntry(live=live, **msgspec.structs.asdict(manifest))
