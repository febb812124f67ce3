"""The live model once more under another version, to swap to and back."""

import json
import secrets
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from services.common.objectstore import NoSuchObject, ObjectStore
from services.common.settings import S3Settings

MODELS = "models/als/"
POINTER = f"{MODELS}current.json"


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
        _, etag = self.store.get_with_etag(POINTER)
        pointer = {
            "version": version,
            "activated_at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
            "activated_by": "admin",
            "note": "benchmark of a swap under load",
        }
        self.store.replace(POINTER, json.dumps(pointer).encode(), etag)


@contextmanager
def copied_model() -> Iterator[ModelCopy]:
    """A copy of the live model's folder, removed afterwards; the pointer then names the original again."""
    with closing(ObjectStore(S3Settings())) as store:
        try:
            original = json.loads(store.get(POINTER))["version"]
        except NoSuchObject:
            raise SystemExit(f"there is no model yet in bucket {store.bucket}: `make train` first") from None
        models = ModelCopy(store, original, f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}")
        try:
            _copy(models)
            yield models
        finally:
            _remove(models)


def _copy(models: ModelCopy) -> None:
    """Every object, the manifest last and with the new version."""
    store, source, target = models.store, f"{MODELS}{models.original}/", f"{MODELS}{models.copy}/"
    manifest = json.loads(store.get(f"{source}manifest.json"))
    for key, _size in store.list(source):
        if not key.endswith("/manifest.json"):
            store.put(target + key.removeprefix(source), store.get(key))
    store.put(f"{target}manifest.json", json.dumps(manifest | {"version": models.copy}).encode())


def _remove(models: ModelCopy) -> None:
    if json.loads(models.store.get(POINTER))["version"] == models.copy:
        models.activate_original()
    for key, _size in list(models.store.list(f"{MODELS}{models.copy}/")):
        models.store.delete(key)
