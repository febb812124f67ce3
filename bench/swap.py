"""A copy of the live model under another version, to swap to and back."""

import json
import secrets
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from services.common import model_registry
from services.common.conditional_write import encode, put_in_place
from services.common.model_pointer import ChangeAuthor
from services.common.model_registry import POINTER, folder_of
from services.common.object_store import ObjectStore
from services.common.settings import S3Settings
from services.common.storage_errors import AlreadyExists

NOTE = "benchmark of a swap under load"


@dataclass(frozen=True, slots=True)
class ModelCopy:
    """Two versions with the same content, and the pointer as it was."""

    store: ObjectStore
    original: str
    copy: str
    before: bytes

    def activate(self) -> None:
        """Point at the copy."""
        self._point_at(self.copy)

    def activate_original(self) -> None:
        """Point at the version that was live before."""
        self._point_at(self.original)

    def _point_at(self, version: str) -> None:
        now_ms = time.time_ns() // 1_000_000
        model_registry.activate(self.store, version, ChangeAuthor("admin", NOTE, now_ms))


@contextmanager
def copied_model() -> Iterator[ModelCopy]:
    """A copy of the live model's folder, removed afterwards; the pointer is then what it was before."""
    with closing(ObjectStore(S3Settings())) as store, copied_in(store) as models:
        yield models


@contextmanager
def copied_in(store: ObjectStore) -> Iterator[ModelCopy]:
    """The same in a given bucket."""
    live, _etag = model_registry.read_pointer(store)
    if live is None:
        raise SystemExit(f"there is no model yet in bucket {store.bucket}: `make train` first")
    copy = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
    models = ModelCopy(store, live.version, copy, store.get(POINTER))
    try:
        _copy(models)
        yield models
    finally:
        _put_pointer_back(models)
        for key, _size in list(store.list(folder_of(copy))):
            store.delete(key)


def _copy(models: ModelCopy) -> None:
    """Every object, the manifest last and with the new version."""
    store, source, target = models.store, folder_of(models.original), folder_of(models.copy)
    manifest = json.loads(store.get(f"{source}manifest.json"))
    for key, _size in store.list(source):
        if not key.endswith("/manifest.json"):
            store.put(target + key.removeprefix(source), store.get(key))
    store.put(f"{target}manifest.json", json.dumps(manifest | {"version": models.copy}).encode())


def _put_pointer_back(models: ModelCopy) -> None:
    """Let nothing name the copy: not what serves, and not what a roll back would go to."""
    while True:
        pointer, etag = model_registry.read_pointer(models.store)
        if pointer is None:
            return
        if pointer.note == NOTE:
            body = models.before
        elif pointer.previous == models.copy:  # somebody moved it meanwhile: that stays
            body = encode(msgspec.structs.replace(pointer, previous=models.original))
        else:
            return
        with suppress(AlreadyExists):
            put_in_place(models.store, POINTER, body, etag)
            return
