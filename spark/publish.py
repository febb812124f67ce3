"""A model becomes visible: its files are verified, the manifest is written last, then the pointer moves."""

import hashlib
import io
import json
import logging
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from services.common.events import format_time
from services.common.model_registry import encode, folder_of, manifest_key, put_in_place, put_once
from services.common.object_store import ObjectStore
from services.common.storage_errors import AlreadyExists, NoSuchObject

logger = logging.getLogger(__name__)

FORMAT_VERSION = 2
FACTOR_TABLES = ("user_factors", "item_factors")
FILLED = (*FACTOR_TABLES, "catalogue", "popularity", "known_purchases", "co_purchases")
TABLES = (*FILLED, "category_ties", "trends")
"""The tables of a model. A shop without categories has no ties between them; trends may all have faded."""
VANISHED = 1e-6
"""Where the regularisation outweighs the data, each iteration shrinks all factors; healthy ones are near 1."""
_POINTER_ATTEMPTS = 5


class ModelRefused(Exception):
    """The written files are not a model that may serve; the pointer stays where it is."""


class PointerContended(Exception):
    """Others moved the pointer at every attempt."""


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One parquet file of a model. `path` is relative to the model's folder."""

    path: str
    sha256: str
    bytes: int
    rows: int

    @property
    def table(self) -> str:
        """The folder it belongs to."""
        return self.path.partition("/")[0]


def verified_files(store: ObjectStore, version: str, rank: int) -> list[ModelFile]:
    """Read back and check every parquet file of a version. Raises ModelRefused with the file's name."""
    folder = folder_of(version)
    keys = [key for key, _ in store.list(folder) if key.endswith(".parquet")]
    files = [_verified_file(key.removeprefix(folder), store.get(key), rank) for key in keys]
    for table in FILLED:
        if not rows_of(files, table):
            raise ModelRefused(f"{table} has no rows")
    for table in TABLES:
        if table not in {file.table for file in files}:
            raise ModelRefused(f"{table} has no file")
    return files


def rows_of(files: Iterable[ModelFile], table: str) -> int:
    """The rows of one table over all its files."""
    return sum(file.rows for file in files if file.table == table)


def _verified_file(path: str, body: bytes, rank: int) -> ModelFile:
    try:
        content = pq.read_table(io.BytesIO(body))
    except (pa.ArrowInvalid, OSError) as damage:
        raise ModelRefused(f"{path} cannot be read: {damage}") from None
    file = ModelFile(path, hashlib.sha256(body).hexdigest(), len(body), content.num_rows)
    if file.table in FACTOR_TABLES:
        check_factors(path, content.column("factors"), rank)
    return file


def check_factors(path: str, factors: "pa.ChunkedArray[Any]", rank: int) -> None:
    """Raise ModelRefused unless every row has `rank` finite numbers, and the file has not vanished."""
    if factors.null_count or not np.all(pc.list_value_length(factors).to_numpy() == rank):
        raise ModelRefused(f"{path}: a row has not {rank} factors")
    values = pc.list_flatten(factors).to_numpy()
    if not np.all(np.isfinite(values)):
        raise ModelRefused(f"{path}: a factor is not a finite number")
    if len(values) and np.abs(values).max() < VANISHED:
        raise ModelRefused(f"{path}: all factors have vanished; lower TILLSTREAM_ALS_REGULARISATION")


def write_manifest(store: ObjectStore, manifest: dict[str, Any]) -> None:
    """Make the version complete. Raises AlreadyExists where another manifest is there: a model never changes."""
    put_once(store, manifest_key(manifest["version"]), encode(manifest))


def manifest(version: str, created_ms: int, files: list[ModelFile], **content: Any) -> dict[str, Any]:
    """The manifest of a model: its files, shapes, and what it was made of."""
    return {
        "format_version": FORMAT_VERSION,
        "version": version,
        "created_at": format_time(created_ms // 1000 * 1000),
        "algorithm": "als",
        "users": rows_of(files, "user_factors"),
        "items": rows_of(files, "item_factors"),
        "files": [asdict(file) for file in files],
        **content,
    }


def move_forward(store: ObjectStore, key: str, pointer: dict[str, Any]) -> bool:
    """Replace a pointer ({"version": …}) unless it names a newer version. Raises PointerContended.

    A damaged pointer names no version, so any replaces it.
    """
    for _ in range(_POINTER_ATTEMPTS):
        current, etag = _pointed_to(store, key)
        if current > pointer["version"]:
            return False
        try:
            put_in_place(store, key, encode(pointer), etag)
            return True
        except AlreadyExists:
            continue
    raise PointerContended(f"{key} changed during each of {_POINTER_ATTEMPTS} attempts to replace it")


def _pointed_to(store: ObjectStore, key: str) -> tuple[str, str | None]:
    """The version, "" where none can be read, and the etag, None where there is no pointer."""
    try:
        body, etag = store.get_with_etag(key)
    except NoSuchObject:
        return "", None
    try:
        return _version_in(body), etag
    except ValueError as damage:
        logger.warning("the pointer %s is damaged and will be replaced: %s", key, damage)
        return "", etag


def _version_in(body: bytes) -> str:
    """Raises ValueError where the pointer is damaged."""
    pointer = json.loads(body)
    version = pointer.get("version") if isinstance(pointer, dict) else None
    if not isinstance(version, str):
        raise ValueError("it names no version")
    return version
