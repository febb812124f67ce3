"""Reading a model folder: manifest and tables, every byte checked against the manifest before it is believed."""

import hashlib
import io
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Protocol

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from recsys.score_weights import Composition
from services.common.storage_errors import NoSuchObject

FORMAT_VERSION = 2

Tables = Mapping[str, pa.Table]

_TEXT, _TEXTS = pa.string(), pa.list_(pa.string())
# What serving reads of each table. Other columns may be there, and other tables: user_factors are not read, since a
# customer's vector is folded in from the purchases and so is that of the training, up to the purchases since.
_COLUMNS: Mapping[str, Mapping[str, pa.DataType]] = {
    "item_factors": {"product_id": _TEXT, "factors": pa.list_(pa.float32())},
    "catalogue": {
        "product_id": _TEXT,
        "product_name": _TEXT,
        "category_code": _TEXT,
        "brand": _TEXT,
        "price_cents": pa.int64(),
        "last_sold_ms": pa.int64(),
    },
    "popularity": {"product_id": _TEXT, "score": pa.float64()},
    "known_purchases": {
        "user_id": _TEXT,
        "product_ids": _TEXTS,
        "pieces": pa.list_(pa.float64()),
        "bought_ms": pa.list_(pa.int64()),
    },
    "co_purchases": {
        "product_id": _TEXT,
        "buyers": pa.int64(),
        "neighbour_ids": _TEXTS,
        "counts": pa.list_(pa.int32()),
    },
    "category_ties": {"category_code": _TEXT, "towards": _TEXT, "tie": pa.float64()},
    "trends": {"product_id": _TEXT, "half_life_h": pa.float64(), "count": pa.float64()},
}
_MAY_BE_NULL = {
    ("catalogue", name) for name in ("product_name", "category_code", "brand", "price_cents", "last_sold_ms")
}


class ModelFault(StrEnum):
    """Why a model was refused, as a label of the metric."""

    POINTER = "pointer"
    MANIFEST = "manifest"
    FORMAT_VERSION = "format_version"
    MISSING_FILE = "missing_file"
    CHECKSUM = "checksum"
    SCHEMA = "schema"
    SHAPE = "shape"
    VALUES = "values"


class InvalidModel(Exception):
    """The model must not be served; the message says why, for a person."""

    def __init__(self, fault: ModelFault, detail: str) -> None:
        super().__init__(detail)
        self.fault = fault


class FileEntry(msgspec.Struct, frozen=True):
    """One file of the folder; `path` is relative to it."""

    path: str
    sha256: str
    bytes: int
    rows: int


class TrainingSettings(msgspec.Struct, frozen=True):
    """The settings that folding in needs: MLlib's alpha and regParam."""

    alpha: float
    regularisation: float


class Training(msgspec.Struct, frozen=True):
    """What the tables were made of: the purchases up to the event time `to`. Partitions are JSON strings.

    `offsets`: the next one to read; `rows`: the highest row of each source. Empty where the archive has no offsets.
    """

    to: str
    offsets: dict[int, int] = {}
    rows: dict[int, dict[str, int]] = {}


class Gate(msgspec.Struct, frozen=True):
    """What was decided when the model was published."""

    verdict: str = ""
    reason: str = ""


class Manifest(msgspec.Struct, frozen=True):
    """What serving reads of manifest.json."""

    version: str
    created_at: str
    rank: int
    users: int
    items: int
    files: tuple[FileEntry, ...]
    settings: TrainingSettings
    training: Training
    composition: Composition
    gate: Gate | None = None


class _Format(msgspec.Struct):
    format_version: int


class ModelSource(Protocol):
    """Where model folders are: an ObjectStore, or a dict in a test. `get` raises NoSuchObject."""

    def get(self, key: str, /) -> bytes: ...


def read_manifest(body: bytes) -> Manifest:
    """Decode manifest.json. Raises InvalidModel."""
    try:
        # First alone: a newer format may have another shape altogether.
        format_version = msgspec.json.decode(body, type=_Format).format_version
        if format_version != FORMAT_VERSION:
            remedy = "update the service" if format_version > FORMAT_VERSION else "run `make train`"
            raise InvalidModel(
                ModelFault.FORMAT_VERSION,
                f"format_version is {format_version}, and this service reads {FORMAT_VERSION}: {remedy}",
            )
        manifest = msgspec.json.decode(body, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidModel(ModelFault.MANIFEST, f"manifest.json: {error}") from None
    _check_settings(manifest)
    return manifest


def _check_settings(manifest: Manifest) -> None:
    settings = manifest.settings
    if manifest.rank < 1 or settings.alpha < 0 or settings.regularisation <= 0:
        raise InvalidModel(
            ModelFault.MANIFEST,
            f"manifest.json: rank {manifest.rank}, alpha {settings.alpha}, regularisation {settings.regularisation} "
            "must be at least 1, at least 0 and above 0",
        )


def read_tables(source: ModelSource, folder: str, manifest: Manifest, stopping: Callable[[], bool]) -> Tables:
    """Every file of the tables that serving reads, verified; the parts of each put together. Raises InvalidModel.

    Between two files `stopping` is asked, so that a shutdown does not wait for a download: InterruptedError.
    """
    parts: dict[str, list[pa.Table]] = {name: [] for name in _COLUMNS}
    for entry in manifest.files:
        if stopping():
            raise InterruptedError(folder)
        table = entry.path.partition("/")[0]
        if table in parts:
            parts[table].append(_part(entry, table, _verified(source, folder, entry)))
    for table, found in parts.items():
        if not found:
            raise InvalidModel(ModelFault.MISSING_FILE, f"manifest.json lists no file of {table}")
    return {table: pa.concat_tables(found) for table, found in parts.items()}


def _verified(source: ModelSource, folder: str, entry: FileEntry) -> bytes:
    try:
        body = source.get(f"{folder}/{entry.path}")
    except NoSuchObject:
        raise InvalidModel(ModelFault.MISSING_FILE, f"{entry.path} is missing") from None
    if len(body) != entry.bytes:
        raise InvalidModel(
            ModelFault.CHECKSUM, f"{entry.path} has {len(body)} bytes, not {entry.bytes} as in the manifest"
        )
    if hashlib.sha256(body).hexdigest() != entry.sha256:
        raise InvalidModel(ModelFault.CHECKSUM, f"{entry.path} does not match its sha256")
    return body


def _part(entry: FileEntry, table: str, body: bytes) -> pa.Table:
    try:
        part = _columns(pq.read_table(io.BytesIO(body)), table)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError, KeyError) as error:
        raise InvalidModel(ModelFault.SCHEMA, f"{entry.path}: {error}") from None
    if part.num_rows != entry.rows:
        raise InvalidModel(
            ModelFault.SHAPE, f"{entry.path} has {part.num_rows} rows, not {entry.rows} as in the manifest"
        )
    for name in part.column_names:
        if (table, name) not in _MAY_BE_NULL and part.column(name).null_count:
            raise InvalidModel(
                ModelFault.VALUES, f"{entry.path}: {name} is null in {part.column(name).null_count} rows"
            )
    return part


def _columns(read: pa.Table, table: str) -> pa.Table:
    columns = _COLUMNS[table]
    return read.select(list(columns)).cast(pa.schema(list(columns.items())))
