"""The published models in S3 as the API shows them, and the pointer moved by an admin. Calls block."""

import asyncio
import logging
import time
from concurrent.futures import Executor
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import msgspec

from services.common import model_pointer, model_registry
from services.common.conditional_write import Contended
from services.common.model_manifest import ManifestSummary
from services.common.model_pointer import ChangeAuthor, RegistryError
from services.common.model_registry import RefusedByGate, UnknownVersion, published_versions, read_pointer
from services.common.object_store import ObjectStore
from services.common.storage_errors import NoSuchObject
from services.gateway.api.problems import Problem
from services.gateway.api.schemas.models import ModelEntry, Pointer
from services.gateway.queries.shared_read import SharedRead

logger = logging.getLogger(__name__)

_LISTING_SECONDS = 2.0
_LATEST_GATE = "reports/gate/latest.json"
_STATUS: dict[type[Exception], HTTPStatus] = {
    UnknownVersion: HTTPStatus.NOT_FOUND,
    RefusedByGate: HTTPStatus.UNPROCESSABLE_ENTITY,
    Contended: HTTPStatus.CONFLICT,
}


class Registry:
    """Reads manifests, each once, and moves the pointer. Raises botocore's errors while S3 is unavailable."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._manifests: dict[str, ManifestSummary] = {}

    def current(self) -> Pointer | None:
        """Where the pointer points; None where there is none that can be read."""
        pointer, _etag = read_pointer(self._store)
        return _answer(pointer) if pointer else None

    def models(self) -> list[ModelEntry]:
        """All published versions, the newest first."""
        current, _etag = read_pointer(self._store)
        versions = published_versions(self._store)
        self._manifests = {version: self._manifests[version] for version in versions if version in self._manifests}
        return [_entry(self._manifest(version), current) for version in reversed(versions)]

    def latest_gate(self) -> dict[str, Any] | None:
        """What the newest training run decided, published or not; None where none has decided anything."""
        try:
            return msgspec.json.decode(self._store.get(_LATEST_GATE), type=dict[str, Any])
        except NoSuchObject:
            return None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            logger.warning("%s cannot be read: %s", _LATEST_GATE, error)
            return None

    def activate(self, version: str, note: str, by: str = "admin") -> Pointer:
        """Point to the version, unless the pointer does already. `by`: a key's name. Raises Problem 404, 409 or 422."""
        author = ChangeAuthor(by, note, time.time_ns() // 1_000_000)
        try:
            pointer = model_registry.activate(self._store, version, author)
        except (RegistryError, Contended) as error:
            raise Problem(_STATUS.get(type(error), HTTPStatus.CONFLICT), str(error)) from None
        fields = {"model": version, "by": by}
        logger.info("model %s activated by %s: %s", version, by, note or "no note", extra=fields)
        return _answer(pointer)

    def _manifest(self, version: str) -> ManifestSummary:
        if version not in self._manifests:
            self._manifests[version] = self._read_manifest(version)
        return self._manifests[version]

    def _read_manifest(self, version: str) -> ManifestSummary:
        try:
            return model_registry.read_manifest(self._store, version)
        except UnknownVersion:  # deleted since it was listed
            return ManifestSummary(version=version)


@dataclass(frozen=True, slots=True)
class ModelListing:
    """What is published: where the pointer points, the newest decision of the gate, all versions."""

    current: Pointer | None
    gate: dict[str, Any] | None
    models: list[ModelEntry]


class ModelListings:
    """Reads the listing at most once at a time and every few seconds, however many ask for it."""

    def __init__(self, registry: Registry, threads: Executor) -> None:
        self._registry = registry
        self.threads = threads
        self._reading: SharedRead[ModelListing] | None = None
        self._until = 0.0

    async def read(self) -> ModelListing:
        """The listing. Raises botocore's errors while S3 is unavailable."""
        reading = self._reading
        if reading is None or reading.failed or (not reading.under_way and time.monotonic() > self._until):
            self._until = time.monotonic() + _LISTING_SECONDS
            reading = self._reading = SharedRead(self._list())
        return await reading.result()

    def forget(self) -> None:
        """Read again at the next call, because something changed."""
        self._reading = None

    async def _list(self) -> ModelListing:
        return await asyncio.get_running_loop().run_in_executor(self.threads, self._list_now)

    def _list_now(self) -> ModelListing:
        registry = self._registry
        return ModelListing(registry.current(), registry.latest_gate(), registry.models())


def _answer(pointer: model_pointer.Pointer) -> Pointer:
    return Pointer.model_validate(msgspec.to_builtins(pointer))


def _entry(manifest: ManifestSummary, current: model_pointer.Pointer | None) -> ModelEntry:
    live = current is not None and current.version == manifest.version
    shown = msgspec.structs.asdict(manifest)
    del shown["search"]
    return ModelEntry(live=live, **shown)
