"""Publishing a model: verify its files, write the manifest last, then move the pointer."""

import hashlib
import io
from collections.abc import Iterable, Sequence
from typing import Any, TypedDict, Unpack

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recsys.basket_weights import BasketWeights
from recsys.model_format import TABLES, FileEntry, Json, Manifest, ModelSettings, Training
from recsys.score_weights import ScoreWeights
from services.common.conditional_write import compare_and_set, encode, put_once
from services.common.model_registry import folder_of, manifest_key
from services.common.object_store import ObjectStore
from services.common.times import format_time

FACTOR_TABLES = tuple(name for name, table in TABLES.items() if "factors" in table.columns.names)
VANISHED = 1e-6
"""Where the regularisation outweighs the data, each iteration shrinks all factors; healthy ones are near 1."""


class ModelRefused(Exception):
    """The written files are not a model that may serve; the pointer stays where it is."""


class ManifestContent(TypedDict):
    """The fields of a manifest that do not follow from its files."""

    rank: int
    training: Training
    settings: ModelSettings
    composition: ScoreWeights
    basket: BasketWeights | None
    metrics: Json
    search: Json
    counts: Json


def verified_files(store: ObjectStore, version: str, rank: int) -> list[FileEntry]:
    """Read back and check every parquet file of a version. Raises ModelRefused with the file's name."""
    folder = folder_of(version)
    keys = [key for key, _ in store.list(folder) if key.endswith(".parquet")]
    files = [_verified_file(key.removeprefix(folder), store.get(key), rank) for key in keys]
    for table, declared in TABLES.items():
        if not declared.may_be_empty and not rows_of(files, table):
            raise ModelRefused(f"{table} has no rows")
        if table not in {file.table for file in files}:
            raise ModelRefused(f"{table} has no file")
    return files


def rows_of(files: Iterable[FileEntry], table: str) -> int:
    """The rows of one table over all its files."""
    return sum(file.rows for file in files if file.table == table)


def _verified_file(path: str, body: bytes, rank: int) -> FileEntry:
    try:
        content = pq.read_table(io.BytesIO(body))
    except (pa.ArrowInvalid, OSError) as damage:
        raise ModelRefused(f"{path} cannot be read: {damage}") from None
    file = FileEntry(path, hashlib.sha256(body).hexdigest(), len(body), content.num_rows)
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


def write_manifest(store: ObjectStore, manifest: Manifest) -> None:
    """Make the version complete. Raises AlreadyExists where another manifest is there: a model never changes."""
    put_once(store, manifest_key(manifest.version), encode(manifest))


def manifest(version: str, created_ms: int, files: Sequence[FileEntry], **content: Unpack[ManifestContent]) -> Manifest:
    """The manifest of a model: its files, shapes, and what it was made of."""
    return Manifest(
        version=version,
        created_at=format_time(created_ms // 1000 * 1000),
        users=rows_of(files, "user_factors"),
        items=rows_of(files, "item_factors"),
        files=tuple(files),
        **content,
    )


def move_forward(store: ObjectStore, key: str, pointer: dict[str, Any]) -> bool:
    """Replace a pointer ({"version": …}) unless it names a newer version. Raises Contended.

    A damaged pointer names no version, so any replaces it.
    """

    def newer(current: dict[str, Any] | None) -> dict[str, Any]:
        version = current.get("version") if current else None
        return current if current and isinstance(version, str) and version > pointer["version"] else pointer

    _before, after = compare_and_set(store, key, dict[str, Any], newer)
    return after == pointer
