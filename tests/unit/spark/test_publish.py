"""What may become a model, and how the pointer moves."""

import io
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys.als_settings import AlsSettings
from recsys.evaluation.gate import GateDecision, ModelCheck
from recsys.evaluation.methods import DEFAULT, ModelConfig
from recsys.evaluation.run_evaluation import EvaluationResult
from recsys.model_format import TABLES, FileEntry, Manifest, ModelSettings, Training, read_manifest
from services.common.conditional_write import Contended, encode, put_once
from services.common.model_registry import POINTER, published_versions
from services.common.storage_errors import AlreadyExists
from spark.publish import ModelRefused, manifest, move_forward, verified_files, write_manifest
from spark.publish_step import PublishOutcome, go_live, verified
from spark.step_log import StepLog
from spark.steps import live_config
from spark.versions import RunId
from tests.support.bucket import Bucket

NOW_MS = 1_700_000_000_000
ALS = AlsSettings(rank=2, regularisation=1.0, alpha=40.0, iterations=1, seed=1, blocks=1)


def pointer(version: str, note: str = "") -> bytes:
    return json.dumps({"version": version, "note": note}).encode()


def parquet(**columns: "pa.Array[Any]") -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out)
    return out.getvalue()


def factors(*rows: list[float]) -> "pa.Array[Any]":
    return pa.array([np.array(row, np.float32) for row in rows], pa.list_(pa.float32()))


def model(**replaced: bytes) -> Bucket:
    """A bucket with the tables of version v, rank 2, two users and one product."""
    tables = {
        "user_factors": parquet(user_id=pa.array(["1", "2"]), factors=factors([0.1, 0.2], [0.3, 0.0])),
        "item_factors": parquet(product_id=pa.array(["9"]), factors=factors([1.0, -1.0])),
        "catalogue": parquet(product_id=pa.array(["9"])),
        "popularity": parquet(product_id=pa.array(["9"])),
        "known_purchases": parquet(user_id=pa.array(["1"])),
        "co_purchases": parquet(product_id=pa.array(["9"])),
        "order_pairs": parquet(product_id=pa.array(["9"])),
        "category_ties": parquet(tie=pa.array([], pa.float64())),
        "trends": parquet(count=pa.array([0.5])),
    } | replaced
    bucket = Bucket()
    bucket.objects = {f"models/als/v/{name}/part-0.parquet": body for name, body in tables.items()}
    bucket.objects["models/als/v/catalogue/_SUCCESS"] = b""
    return bucket


def manifest_of(version: str, files: Sequence[FileEntry] = (), rank: int = 2) -> Manifest:
    return manifest(
        version,
        NOW_MS,
        files,
        rank=rank,
        training=Training(to="2023-11-14T00:00:00Z"),
        settings=ModelSettings(**ALS.model_dump(), time_zone="UTC"),
        composition=DEFAULT,
        basket=None,
        metrics={},
        search={},
        counts={"pairs": 1},
    )


def test_every_parquet_file_is_named_with_its_shape_and_hash() -> None:
    bucket = model(catalogue=parquet(product_id=pa.array(["8", "9"])))
    files = {file.path: file for file in verified_files(bucket, "v", rank=2)}
    assert set(files) == {f"{table}/part-0.parquet" for table in TABLES}
    catalogue = files["catalogue/part-0.parquet"]
    assert catalogue.rows == 2
    assert catalogue.bytes == len(bucket.objects["models/als/v/catalogue/part-0.parquet"])
    assert len(catalogue.sha256) == 64


@pytest.mark.parametrize(
    ("table", "body", "words"),
    [
        ("user_factors", parquet(user_id=pa.array(["1"]), factors=factors([0.1, float("nan")])), "not a finite number"),
        (
            "item_factors",
            parquet(product_id=pa.array(["9"]), factors=factors([float("inf"), 1.0])),
            "not a finite number",
        ),
        ("item_factors", parquet(product_id=pa.array(["9"]), factors=factors([1.0])), "has not 2 factors"),
        ("user_factors", parquet(user_id=pa.array(["1"]), factors=factors([1e-11, 0.0])), "all factors have vanished"),
        ("popularity", parquet(product_id=pa.array([], pa.string())), "popularity has no rows"),
        ("item_factors", b"PAR1 and no more", "item_factors/part-0.parquet cannot be read"),
    ],
)
def test_a_broken_table_is_refused_by_name(table: str, body: bytes, words: str) -> None:
    with pytest.raises(ModelRefused, match=words):
        verified_files(model(**{table: body}), "v", rank=2)


def test_plant_a_corrupt_factor_file() -> None:
    """The gate's record says why, no manifest makes the version complete, and what serves goes on."""
    bucket = model(item_factors=b"PAR1 and no more")
    bucket.objects[POINTER] = pointer("u")
    evaluated = EvaluationResult(ModelConfig(ALS, DEFAULT, DEFAULT), GateDecision("candidate", "It does best."), {})
    with pytest.raises(ModelRefused, match="cannot be read"):
        verified(bucket, "v", evaluated, models_kept=2)
    gate = json.loads(bucket.objects["reports/gate/latest.json"])
    assert (gate["version"], gate["verdict"]) == ("v", "refused")
    assert "item_factors/part-0.parquet cannot be read" in gate["reason"]
    assert gate == json.loads(bucket.objects["reports/gate/v.json"])
    assert published_versions(bucket) == []
    assert bucket.objects[POINTER] == pointer("u")


class Written(Bucket):
    """A bucket that remembers the order of writes."""

    def __init__(self, *versions: str) -> None:
        super().__init__()
        self.objects = {f"models/als/{version}/manifest.json": b"{}" for version in versions}
        self.order: list[str] = []

    def _written(self, key: str, body: bytes) -> None:
        self.order.append(key)
        super()._written(key, body)


def activated(store: Bucket, version: str, decision: GateDecision) -> PublishOutcome:
    return go_live(store, RunId(version, NOW_MS), decision, models_kept=2)


def test_the_gate_says_published_once_the_pointer_has_moved() -> None:
    bucket = Written("v1", "v2", "v3")
    assert activated(bucket, "v3", GateDecision("candidate", "It does best.")) == PublishOutcome("v3")
    assert bucket.order == [POINTER, "reports/gate/v3.json", "reports/gate/latest.json"]
    assert published_versions(bucket) == ["v2", "v3"]


def test_a_run_that_was_overtaken_says_so() -> None:
    bucket = Written("v1", "v2")
    bucket.objects[POINTER] = pointer("v2")
    outcome = activated(bucket, "v1", GateDecision("candidate", "It does best."))
    assert outcome == PublishOutcome(None, "v1 is complete, but a later run's model is live already")
    gate = json.loads(bucket.objects["reports/gate/v1.json"])
    assert gate["reason"] == f"It does best. It does not serve: {outcome.reason}."
    assert bucket.objects[POINTER] == pointer("v2")


def test_old_versions_go_after_a_refused_run_too() -> None:
    bucket = Written("v1", "v2", "v3", "v4")
    bucket.objects[POINTER] = pointer("v2")
    refused = GateDecision("candidate", "It does best.").with_checks(
        [ModelCheck("answers", False, "nobody was answered")]
    )
    outcome = activated(bucket, "v4", refused)
    assert outcome == PublishOutcome(None, "The model was not published: nobody was answered.")
    assert bucket.objects[POINTER] == pointer("v2")
    assert published_versions(bucket) == ["v2", "v3", "v4"]
    assert json.loads(bucket.objects["reports/gate/latest.json"])["verdict"] == "refused"


@pytest.mark.parametrize(
    ("table", "words"), [("item_factors", "item_factors has no rows"), ("category_ties", "category_ties has no file")]
)
def test_a_missing_table_is_refused_by_name(table: str, words: str) -> None:
    bucket = model()
    del bucket.objects[f"models/als/v/{table}/part-0.parquet"]
    with pytest.raises(ModelRefused, match=words):
        verified_files(bucket, "v", rank=2)


def test_the_manifest_counts_users_and_products() -> None:
    bucket = model()
    files = verified_files(bucket, "v", rank=2)
    written = manifest_of("v", files)
    assert (written.users, written.items, written.rank) == (2, 1, 2)
    assert written.created_at == "2023-11-14T22:13:20Z"


def test_a_pointer_that_changed_meanwhile_is_read_again() -> None:
    bucket = Bucket()
    bucket.objects["p"] = pointer("1")
    bucket.rivals = [pointer("1", note="an administrator was here")]
    assert move_forward(bucket, "p", {"version": "2"})
    assert json.loads(bucket.objects["p"]) == {"version": "2"}


def test_a_newer_version_keeps_the_pointer_even_where_it_wins_the_race() -> None:
    bucket = Bucket()
    bucket.rivals = [pointer("3")]
    assert not move_forward(bucket, "p", {"version": "2"})
    assert json.loads(bucket.objects["p"])["version"] == "3"


def test_endless_contention_is_said() -> None:
    bucket = Bucket()
    bucket.rivals = [pointer("1", note=str(number)) for number in range(20)]
    with pytest.raises(Contended):
        move_forward(bucket, "p", {"version": "2"})


@pytest.mark.parametrize("damaged", [b"", b"{", b"\xff", b"null", b"[]", b"{}", b'{"version": 3}'])
def test_a_damaged_pointer_is_replaced(damaged: bytes) -> None:
    bucket = Bucket()
    bucket.objects["p"] = damaged
    assert move_forward(bucket, "p", {"version": "2"})
    assert json.loads(bucket.objects["p"]) == {"version": "2"}


def test_a_pointer_repaired_meanwhile_is_read_again() -> None:
    bucket = Bucket()
    bucket.objects["p"] = b"{"
    bucket.rivals = [pointer("3")]
    assert not move_forward(bucket, "p", {"version": "2"})
    assert json.loads(bucket.objects["p"])["version"] == "3"


@pytest.mark.parametrize("before", [None, pointer("1")])
def test_a_pointer_whose_answer_was_lost_is_moved(before: bytes | None) -> None:
    bucket = Bucket()
    bucket.objects = {} if before is None else {"p": before}
    bucket.answers_lost = True
    assert move_forward(bucket, "p", {"version": "2"})
    assert json.loads(bucket.objects["p"]) == {"version": "2"}


def test_a_manifest_whose_answer_was_lost_is_accepted_as_ours() -> None:
    bucket = Bucket()
    bucket.answers_lost = True
    write_manifest(bucket, manifest_of("v"))
    assert read_manifest(bucket.objects["models/als/v/manifest.json"]) == manifest_of("v")


def test_another_manifest_is_never_replaced() -> None:
    bucket = Bucket()
    write_manifest(bucket, manifest_of("v", rank=2))
    with pytest.raises(AlreadyExists):
        write_manifest(bucket, manifest_of("v", rank=3))
    assert json.loads(bucket.objects["models/als/v/manifest.json"])["rank"] == 2


def test_a_refused_write_that_left_nothing_is_no_success() -> None:
    bucket = Bucket()

    def refuse(key: str, body: bytes, metadata: dict[str, str] | None = None) -> None:
        raise AlreadyExists(key)

    bucket.put_new = refuse  # type: ignore[method-assign]
    with pytest.raises(AlreadyExists):
        put_once(bucket, "key", b"body")


def test_the_live_config_is_that_of_the_pointer_s_version() -> None:
    bucket = Bucket()
    assert live_config(bucket, StepLog(io.StringIO())) is None
    bucket.objects[POINTER] = pointer("v")
    assert live_config(bucket, StepLog(io.StringIO())) is None, "there is no such version"
    write_manifest(bucket, manifest_of("v"))
    config = live_config(bucket, StepLog(io.StringIO()))
    assert config is not None
    assert (config.als, config.weights) == (ALS, DEFAULT)


@pytest.mark.parametrize(
    "damage",
    [
        {"composition": {"of_another_time": 1.0}},
        {"composition": {}, "settings": {}},
        {"settings": {"regularisation": 1.0, "alpha": 40.0}},
        {"format_version": 1},
    ],
)
def test_a_manifest_of_another_format_has_no_configuration(damage: dict[str, Any]) -> None:
    bucket = Bucket()
    bucket.objects[POINTER] = pointer("v")
    document = json.loads(encode(manifest_of("v"))) | damage
    bucket.objects["models/als/v/manifest.json"] = json.dumps(document).encode()
    out = io.StringIO()
    assert live_config(bucket, StepLog(out)) is None
    assert "the gate compares without the live model v: " in out.getvalue()
    bucket.objects["models/als/v/manifest.json"] = b"{}"
    assert live_config(bucket, StepLog(io.StringIO())) is None
