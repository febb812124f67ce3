"""The model folder: its tables, its manifest, and how both are read and verified.

A folder holds parquet files `<table>/<name>.parquet` and `manifest.json`. The job that writes it and the service that
reads it both take tables, columns and the manifest's type from here.
"""

import hashlib
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from recsys.basket_weights import BasketWeights, half_lives_h
from recsys.score_weights import ScoreWeights
from services.common.storage_errors import NoSuchObject

FORMAT_VERSION = 2

Json = dict[str, Any]
Tables = Mapping[str, pa.Table]


@dataclass(frozen=True, slots=True)
class TableFormat:
    """One table of a model: its columns, and which of them may be null.

    `is_optional`: models of earlier jobs lack it; it is read as a table without rows then.
    """

    columns: pa.Schema
    may_be_empty: bool = False
    is_served: bool = True
    is_optional: bool = False


def _schema(nullable: Mapping[str, pa.DataType] | None = None, **columns: pa.DataType) -> pa.Schema:
    """The columns that are never null, then those that may be."""
    return pa.schema(
        [
            *(pa.field(name, kind, nullable=False) for name, kind in columns.items()),
            *(pa.field(name, kind, nullable=True) for name, kind in (nullable or {}).items()),
        ]
    )


_TEXT, _TEXTS = pa.string(), pa.list_(pa.string())
_FACTORS = pa.list_(pa.float32())
_FACTS: Mapping[str, pa.DataType] = {
    "product_name": _TEXT,
    "category_code": _TEXT,
    "brand": _TEXT,
    "price_cents": pa.int64(),
    "last_sold_ms": pa.int64(),
}

TABLES: Mapping[str, TableFormat] = {
    # Not served: a customer's vector is folded in from the purchases, those of the training and those since.
    "user_factors": TableFormat(_schema(user_id=_TEXT, factors=_FACTORS), is_served=False),
    "item_factors": TableFormat(_schema(product_id=_TEXT, factors=_FACTORS)),
    "catalogue": TableFormat(_schema(product_id=_TEXT, nullable=_FACTS)),
    "popularity": TableFormat(_schema(product_id=_TEXT, score=pa.float64())),
    "known_purchases": TableFormat(
        _schema(user_id=_TEXT, product_ids=_TEXTS, pieces=pa.list_(pa.float64()), bought_ms=pa.list_(pa.int64()))
    ),
    "co_purchases": TableFormat(
        _schema(product_id=_TEXT, buyers=pa.int64(), neighbour_ids=_TEXTS, counts=pa.list_(pa.int32()))
    ),
    # Products of the same orders, anonymous ones too.
    "order_pairs": TableFormat(
        _schema(product_id=_TEXT, orders=pa.int64(), neighbour_ids=_TEXTS, counts=pa.list_(pa.int32())),
        is_optional=True,
    ),
    # A shop without categories has no ties between them; all trends may have decayed to nothing.
    "category_ties": TableFormat(_schema(category_code=_TEXT, towards=_TEXT, tie=pa.float64()), may_be_empty=True),
    "trends": TableFormat(_schema(product_id=_TEXT, half_life_h=pa.float64(), count=pa.float64()), may_be_empty=True),
}
"""Every table of a model folder. Files of other tables, and other columns of these, are ignored by the reader."""


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

    @property
    def table(self) -> str:
        """The table it belongs to."""
        return self.path.partition("/")[0]


class ModelSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings that the factors were trained with; folding in needs `alpha` and `regularisation`.

    `solver`: driver, blocks or mllib; a model without it is MLlib's.
    """

    solver: str | msgspec.UnsetType = msgspec.UNSET
    rank: int | None = None
    regularisation: float
    alpha: float
    iterations: int | None = None
    seed: int | None = None
    blocks: int | None = None
    time_zone: str | None = None


class Training(msgspec.Struct, frozen=True, kw_only=True):
    """The purchases that the tables were made of, by event time. Partitions are strings in JSON.

    `offsets`: the next one to read; empty where the archive has no offsets.
    """

    from_: str = msgspec.field(default="", name="from")
    to: str
    offsets: dict[int, int] = {}


class Gate(msgspec.Struct, frozen=True, kw_only=True):
    """The decision at publishing: the winning recipe, every recipe's figures, the checks of the files.

    `basket`: the decision on the weights of baskets; None in models of earlier jobs.
    """

    version: str = ""
    verdict: str = ""
    winner: str = ""
    reason: str = ""
    rule: str = ""
    recipes: tuple[Json, ...] = ()
    checks: tuple[Json, ...] = ()
    basket: Json | None = None


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """manifest.json, whole. Fields that this version does not know are ignored.

    `basket`: the weights of baskets; None in models of earlier jobs, whose baskets get those of `composition`.
    """

    format_version: int = FORMAT_VERSION
    version: str
    created_at: str
    algorithm: str = "als"
    users: int
    items: int
    files: tuple[FileEntry, ...]
    rank: int
    training: Training
    settings: ModelSettings
    composition: ScoreWeights
    metrics: Json = {}
    search: Json = {}
    counts: Json = {}
    gate: Gate | None = None
    basket: BasketWeights | None = None

    @property
    def half_lives_h(self) -> tuple[float, ...]:
        """The half-lives of the live counts that the weights need, in hours."""
        return half_lives_h(self.composition, self.basket)


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


def check_columns(table: str, columns: pa.Schema) -> None:
    """Raise InvalidModel unless a table has exactly the declared columns, by name and type, in any order."""
    declared = TABLES[table].columns
    found = {name: str(_plain(columns.field(name).type)) for name in columns.names}
    wanted = {name: str(declared.field(name).type) for name in declared.names}
    if found != wanted:
        raise InvalidModel(ModelFault.SCHEMA, f"{table}: columns are {found}, declared are {wanted}")


def _plain(kind: pa.DataType) -> pa.DataType:
    """The type without the name and nullability of a list's elements, which writers choose differently."""
    return pa.list_(kind.value_type) if pa.types.is_list(kind) else kind


def read_tables(source: ModelSource, folder: str, manifest: Manifest, stopping: Callable[[], bool]) -> Tables:
    """Every file of the tables that serving reads, verified; the parts of each put together. Raises InvalidModel.

    Between two files `stopping` is asked, so that a shutdown does not wait for a download: InterruptedError.
    """
    parts: dict[str, list[pa.Table]] = {name: [] for name, table in TABLES.items() if table.is_served}
    for entry in manifest.files:
        if stopping():
            raise InterruptedError(folder)
        if entry.table in parts:
            parts[entry.table].append(_part(entry, _verified(source, folder, entry)))
    for table, found in parts.items():
        if not found and TABLES[table].is_optional:
            found.append(_no_rows(TABLES[table].columns))
        if not found:
            raise InvalidModel(ModelFault.MISSING_FILE, f"manifest.json lists no file of {table}")
    return {table: pa.concat_tables(found) for table, found in parts.items()}


def _no_rows(columns: pa.Schema) -> pa.Table:
    return pa.schema([field.with_nullable(True) for field in columns]).empty_table()


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


def _part(entry: FileEntry, body: bytes) -> pa.Table:
    declared = TABLES[entry.table].columns
    try:
        part = _select(pq.read_table(io.BytesIO(body)), declared)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError, KeyError) as error:
        raise InvalidModel(ModelFault.SCHEMA, f"{entry.path}: {error}") from None
    if part.num_rows != entry.rows:
        raise InvalidModel(
            ModelFault.SHAPE, f"{entry.path} has {part.num_rows} rows, not {entry.rows} as in the manifest"
        )
    for name in part.column_names:
        if not declared.field(name).nullable and part.column(name).null_count:
            raise InvalidModel(
                ModelFault.VALUES, f"{entry.path}: {name} is null in {part.column(name).null_count} rows"
            )
    return part


def _select(read: pa.Table, declared: pa.Schema) -> pa.Table:
    """The declared columns, cast to their types; nulls are left for the caller to judge."""
    return read.select(declared.names).cast(pa.schema([field.with_nullable(True) for field in declared]))
