"""The live model once more under another version, to swap to and back."""

import json
import secrets
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from services.common import modelregistry
from services.common.modelregistry import Change, folder_of
from services.common.objectstore import ObjectStore
from services.common.settings import S3Settings


@dataclass(frozen=True, slots=True)
class ModelCopy:
    """Two versions with the same content."""

    store: ObjectStore
    original: str
    copy: str

    def activate(self) -> None:
        """Point at the copy."""
        self._point_at(self.copy)

    def activate_original(self) -> None:
        """Point at the version that was live before."""
        self._point_at(self.original)

    def _point_at(self, version: str) -> None:
        now_ms = time.time_ns() // 1_000_000
        modelregistry.activate(self.store, version, Change("admin", "benchmark of a swap under load", now_ms))


@contextmanager
def copied_model() -> Iterator[ModelCopy]:
    """A copy of the live model's folder, removed afterwards; the pointer then names the original again."""
    with closing(ObjectStore(S3Settings())) as store:
        live, _ = modelregistry.read_pointer(store)
        if live is None:
            raise SystemExit(f"there is no model yet in bucket {store.bucket}: `make train` first")
        models = ModelCopy(store, live.version, f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}")
        try:
            _copy(models)
            yield models
        finally:
            _remove(models)


def _copy(models: ModelCopy) -> None:
    """Every object, the manifest last and with the new version."""
    store, source, target = models.store, folder_of(models.original), folder_of(models.copy)
    manifest = json.loads(store.get(f"{source}manifest.json"))
    for key, _size in store.list(source):
        if not key.endswith("/manifest.json"):
            store.put(target + key.removeprefix(source), store.get(key))
    store.put(f"{target}manifest.json", json.dumps(manifest | {"version": models.copy}).encode())


def _remove(models: ModelCopy) -> None:
    live, _ = modelregistry.read_pointer(models.store)
    if live is not None and live.version == models.copy:
        models.activate_original()
    for key, _size in list(models.store.list(folder_of(models.copy))):
        models.store.delete(key)
