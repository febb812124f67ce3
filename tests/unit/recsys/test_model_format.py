"""One declaration of the model folder: who writes and who reads it take the same tables and the same manifest."""

import inspect
import json
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from pyspark.sql.types import (
    ArrayType,
    DataType,
    DoubleType,
    FloatType,
    IntegerType,
    StringType,
    StructField,
    StructType,
)

from recsys import model
from recsys.evaluation.gate import GateDecision, ModelCheck
from recsys.model_format import (
    FORMAT_VERSION,
    TABLES,
    Gate,
    InvalidModel,
    Manifest,
    ModelFault,
    check_columns,
    read_manifest,
    read_tables,
)
from recsys.score_weights import DecayTerm, ScoreWeights
from services.common.conditional_write import encode
from services.common.model_manifest import ManifestSummary, summarise
from spark.model_tables import BUILDERS, check_schema
from spark.publish import ModelRefused
from tests.support.models import Objects, checkerboard, model_files

PUBLISHED = """{
  "format_version": 2,
  "version": "20261102T031500Z-a1b2c3",
  "created_at": "2026-11-02T03:15:00Z",
  "algorithm": "als",
  "users": 2,
  "items": 1,
  "files": [
    {"path": "user_factors/part-0.parquet", "sha256": "0f", "bytes": 10, "rows": 2},
    {"path": "item_factors/part-0.parquet", "sha256": "f0", "bytes": 20, "rows": 1}
  ],
  "rank": 64,
  "training": {
    "from": "2026-01-01T00:00:00Z",
    "to": "2026-11-02T03:00:00Z",
    "offsets": {"0": 100, "1": 7}
  },
  "settings": {
    "rank": 64, "regularisation": 1.0, "alpha": 40.0, "iterations": 15, "seed": 20200424, "blocks": 4,
    "time_zone": "Europe/Berlin"
  },
  "composition": {
    "factors": 0.5, "popularity": 0.1, "live": 0.0, "neighbours": 1.0, "categories": 0.0, "repeats": 0.0,
    "trends": [{"half_life_h": 6.0, "weight": 1.0}], "steady": [],
    "recency": [{"half_life_h": 336.0, "weight": 1.0}], "fade": [],
    "shrink": 100.0, "balance": 0.0, "purchases": 50, "mask_bought": true, "sold_within_days": 30, "still": null
  },
  "metrics": {"protocol": "rolling", "split": "2026-10-19T00:00:00Z", "warm": {"hr@3": [0.04, 0.03, 0.05]}},
  "search": {"seconds": 60.0, "tried": {"factors": 8}, "trials": []},
  "counts": {"pairs": 84, "records": 100},
  "gate": {
    "version": "20261102T031500Z-a1b2c3",
    "verdict": "published",
    "winner": "candidate",
    "reason": "It does best.",
    "rule": "Recipes are compared.",
    "recipes": [{"name": "candidate", "refused": null, "figures": {"warm": {"hr@3": [0.04, 0.03, 0.05]}},
                 "against_live": null, "against_popularity": [0.01, 0.005, 0.015]}],
    "checks": [{"name": "files are whole", "passed": true, "detail": "2 files"}],
    "basket": null
  },
  "basket": {
    "orders": {"weight": 1.0, "shrink": 20.0, "balance": 0.5},
    "others": {
      "factors": 0.0, "popularity": 0.0, "live": 0.01, "neighbours": 0.0, "categories": 0.0, "repeats": 0.0,
      "trends": [{"half_life_h": 168.0, "weight": 1.0}], "steady": [],
      "recency": [{"half_life_h": 336.0, "weight": 1.0}], "fade": [],
      "shrink": 100.0, "balance": 0.0, "purchases": 50, "mask_bought": true, "sold_within_days": 30, "still": null
    }
  }
}"""
"""A manifest as the job writes it."""


def published(**changes: Any) -> bytes:
    return json.dumps(json.loads(PUBLISHED) | changes).encode()


def test_a_manifest_on_disk_is_read_and_written_unchanged() -> None:
    manifest = read_manifest(PUBLISHED.encode())
    document = json.loads(PUBLISHED)
    assert json.loads(encode(manifest)) == document
    assert [*json.loads(encode(manifest))] == [*document], "the order of the fields"
    assert manifest.training.offsets == {0: 100, 1: 7}
    assert manifest.composition.trends == (DecayTerm(6.0, 1.0),)
    assert manifest.gate is not None
    assert manifest.gate.winner == "candidate"


def test_the_rows_of_a_source_in_an_older_manifest_are_ignored() -> None:
    document = json.loads(PUBLISHED)
    document["training"]["rows"] = {"0": {"shop.csv": 99}}
    assert read_manifest(json.dumps(document).encode()) == read_manifest(PUBLISHED.encode())


def test_a_model_from_before_the_weights_and_pairs_of_baskets_serves() -> None:
    files = {path: body for path, body in model_files(checkerboard()).items() if not path.startswith("order_pairs/")}
    document = json.loads(files["manifest.json"])
    document["files"] = [entry for entry in document["files"] if not entry["path"].startswith("order_pairs/")]
    del document["basket"]
    manifest, store = read_manifest(json.dumps(document).encode()), Objects()
    store.objects = {f"folder/{path}": body for path, body in files.items()}
    built = model.build_model(manifest, read_tables(store, "folder", manifest, lambda: False))
    assert built.basket_scorer is built.scorer
    assert built.initial_state.order_pairs.buyers.sum() == 0


def test_a_manifest_may_have_fields_of_a_later_job() -> None:
    settings = {**json.loads(PUBLISHED)["settings"], "new": 1}
    assert read_manifest(published(new={}, settings=settings)) == read_manifest(PUBLISHED.encode())


def test_a_manifest_needs_only_what_serving_reads() -> None:
    document = json.loads(PUBLISHED)
    for name in ("algorithm", "metrics", "search", "counts", "gate", "basket"):
        del document[name]
    document["settings"] = {"alpha": 40.0, "regularisation": 1.0}
    document["training"] = {"to": "2026-11-02T03:00:00Z"}
    manifest = read_manifest(json.dumps(document).encode())
    assert (manifest.gate, manifest.training.offsets) == (None, {})


@pytest.mark.parametrize(
    ("changes", "fault", "words"),
    [
        ({"format_version": 3}, ModelFault.FORMAT_VERSION, "update the service"),
        ({"composition": {"of_another_time": 1.0}}, ModelFault.MANIFEST, "of_another_time"),
        ({"settings": {"rank": 64}}, ModelFault.MANIFEST, "regularisation"),
        ({"files": {}}, ModelFault.MANIFEST, "files"),
    ],
)
def test_a_manifest_that_serving_cannot_use_is_invalid(changes: dict[str, Any], fault: ModelFault, words: str) -> None:
    with pytest.raises(InvalidModel, match=words) as refused:
        read_manifest(published(**changes))
    assert refused.value.fault is fault


def test_lists_show_the_fields_that_the_job_writes() -> None:
    """`files` alone is of no use to a list."""
    written = [field.encode_name for field in msgspec.structs.fields(Manifest)]
    assert {*ManifestSummary.__struct_fields__} == {*written} - {"files"}
    summary = summarise("20261102T031500Z-a1b2c3", PUBLISHED.encode())
    shown = msgspec.structs.asdict(summary)
    assert shown == {name: value for name, value in json.loads(PUBLISHED).items() if name != "files"}


def test_the_gate_s_record_is_kept_whole() -> None:
    record = GateDecision("candidate", "It does best.", (), (ModelCheck("files are whole", True, "2 files"),)).record(
        "v"
    )
    assert record.keys() == {*Gate.__struct_fields__}
    assert json.loads(encode(msgspec.convert(record, Gate))) == record


def test_the_format_s_version() -> None:
    assert json.loads(PUBLISHED)["format_version"] == FORMAT_VERSION


def test_the_job_builds_exactly_the_declared_tables() -> None:
    assert [*BUILDERS] == [*TABLES]


def test_serving_reads_exactly_the_tables_declared_as_served() -> None:
    files = model_files(checkerboard())
    store = Objects()
    store.objects = {f"folder/{path}": body for path, body in files.items()}
    tables = read_tables(store, "folder", read_manifest(files["manifest.json"]), lambda: False)
    served = {name for name, table in TABLES.items() if table.is_served}
    assert tables.keys() == served
    assert {name: table.column_names for name, table in tables.items()} == {
        name: TABLES[name].columns.names for name in served
    }
    source = inspect.getsource(model.build_model)
    assert served == {name for name in TABLES if f'tables["{name}"]' in source}, "each of them is made use of"


def test_columns_are_declared_once_with_type_and_nullability() -> None:
    catalogue = TABLES["catalogue"].columns
    assert [field.name for field in catalogue if not field.nullable] == ["product_id"]
    check_columns("catalogue", catalogue)
    check_columns("catalogue", pa.schema([*catalogue][::-1]))


def columns_of(**columns: pa.DataType) -> pa.Schema:
    return pa.schema(columns)


@pytest.mark.parametrize(
    "columns",
    [
        columns_of(product_id=pa.string()),
        columns_of(product_id=pa.string(), score=pa.float32()),
        columns_of(product_id=pa.string(), score=pa.float64(), rank=pa.int64()),
        columns_of(product=pa.string(), score=pa.float64()),
    ],
)
def test_other_columns_than_declared_are_refused(columns: pa.Schema) -> None:
    with pytest.raises(InvalidModel, match="popularity: columns are") as refused:
        check_columns("popularity", columns)
    assert refused.value.fault is ModelFault.SCHEMA


def frame_of(**columns: DataType) -> StructType:
    return StructType([StructField(name, kind) for name, kind in columns.items()])


def test_the_job_takes_a_frame_with_the_declared_columns() -> None:
    check_schema("popularity", frame_of(product_id=StringType(), score=DoubleType()))
    check_schema("user_factors", frame_of(user_id=StringType(), factors=ArrayType(FloatType(), containsNull=False)))


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        ("popularity", frame_of(product_id=StringType())),
        ("popularity", frame_of(product_id=StringType(), score_of_late=DoubleType())),
        ("popularity", frame_of(product_id=StringType(), score=IntegerType())),
        ("popularity", frame_of(product_id=StringType(), score=DoubleType(), rank=IntegerType())),
        ("user_factors", frame_of(user_id=StringType(), factors=ArrayType(DoubleType()))),
    ],
)
def test_the_job_refuses_a_frame_with_other_columns(table: str, columns: StructType) -> None:
    with pytest.raises(ModelRefused, match=f"{table}: columns are"):
        check_schema(table, columns)


def test_composition_has_the_json_names_of_the_manifest() -> None:
    assert json.loads(PUBLISHED)["composition"].keys() == {
        field.encode_name for field in msgspec.structs.fields(ScoreWeights) if field.default is not msgspec.UNSET
    }
