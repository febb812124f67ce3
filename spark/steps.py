"""The steps of a run before publishing: each computes one thing, writes it, and logs one line."""

import tempfile
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession

from recsys.evaluation import run_evaluation
from recsys.evaluation.methods import ModelConfig
from recsys.evaluation.purchase_log import COLUMNS, sampled_log
from recsys.evaluation.run_evaluation import Evaluation, EvaluationResult
from recsys.model_format import InvalidModel, read_manifest
from services.common import model_registry
from services.common.event_rules import EventRules
from services.common.model_registry import manifest_key
from services.common.object_store import ObjectStore
from services.common.reconciliation import Reconciliation, in_words
from services.common.storage_errors import NoSuchObject
from spark import curate, figure_diff
from spark.curate import Curation
from spark.folders import CURATED, curated_folder, delete_folder
from spark.reconcile import Shop, reconcile
from spark.session import s3a_url
from spark.settings import JobSettings
from spark.step_log import StepLog
from spark.versions import RunId


def read_checked(
    spark: SparkSession, store: ObjectStore, archive_prefix: str, run_id: RunId, rules: EventRules
) -> DataFrame:
    """The validated records of the archive, persisted for the steps that read them."""
    is_empty = next(store.list(archive_prefix), None) is None
    archive = curate.read_archive(spark, None if is_empty else s3a_url(store, archive_prefix))
    return curate.check(archive, run_id.started_ms, rules).persist()


def check_step(checked: DataFrame, step_log: StepLog) -> Curation:
    """Only count the validated records."""
    with step_log.step("check") as step:
        curation = curate.count(checked)
        step.says(curation_summary(curation))
    return curation


def curate_step(
    spark: SparkSession, store: ObjectStore, run_id: RunId, checked: DataFrame, step_log: StepLog
) -> tuple[DataFrame, Curation]:
    """Validated records → `curated/purchases/<version>/`."""
    folder = s3a_url(store, curated_folder(run_id))
    with step_log.step("curate") as step:
        curation = curate.count(checked)
        step_log.records = curation.outcomes
        curate.write_curated(curate.accepted(checked), folder)
        step.says(curation_summary(curation))
    return curate.read_curated(spark, folder), curation


def curation_summary(curation: Curation) -> str:
    """The counts in one line."""
    rejected = ", ".join(f"{reason} {lines:,}" for reason, lines in curation.rejected.items())
    return (
        f"{curation.records:,} records: {curation.accepted:,} accepted, {curation.repeats:,} duplicates, "
        f"{curation.dead_letters:,} rejected{f' ({rejected})' if rejected else ''}; of the accepted "
        f"{curation.unknown_category:,} without category, {curation.unknown_brand:,} without brand, "
        f"{curation.anonymous:,} anonymous"
    )


def prune_curated(store: ObjectStore, kept: int) -> None:
    """Delete the curated purchases of all but the newest `kept` runs: each run computes them from the archive."""
    runs = sorted({key.removeprefix(CURATED).partition("/")[0] for key, _ in store.list(CURATED)})
    for version in runs[:-kept]:
        delete_folder(store, f"{CURATED}{version}/")


def reconcile_step(
    store: ObjectStore, run_id: RunId, checked: DataFrame, curation: Curation, shop: Shop, step_log: StepLog
) -> Reconciliation | None:
    """Batch figures against live ones → `reports/reconciliation/<version>.json` and `latest.json`.

    Differences are logged and stop nothing: a model is trained on the archive.
    """
    with step_log.step("reconcile") as step:
        found = reconcile(store, run_id, checked, curation, shop)
        if found is None:
            step.says("not compared: the archive covers no snapshot of the live figures")
        else:
            step.says(f"{in_words(found)} ({found.compared:,} figures, by {found.basis})")
    for difference in found.differences if found else ():
        step_log.line(f"  {figure_diff.in_words(difference)}")
    return found


def evaluate_step(
    store: ObjectStore, run_id: RunId, accepted_lines: int, settings: JobSettings, step_log: StepLog
) -> EvaluationResult:
    """Compare model configurations on the newest of this run's curated purchases. Nothing is written yet."""
    with step_log.step("evaluate") as step:
        share = min(1.0, settings.evaluation_lines / accepted_lines)
        log = sampled_log(curate.curated_tables(store, curated_folder(run_id), COLUMNS), share)
        settings.spark_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="factors-", dir=settings.spark_dir) as scratch:
            evaluated = Evaluation(log, settings, settings.als, live_config(store, step_log)).run(Path(scratch))
        sample = "" if share >= 1 else f"on the purchases of {share:.1%} of the customers: "
        step.says(f"{sample}{evaluated.decision.reason}")
    return evaluated


def live_config(store: ObjectStore, step_log: StepLog) -> ModelConfig | None:
    """The live model's configuration; None where there is no model, or its manifest has none that is valid today."""
    pointer, _etag = model_registry.read_pointer(store)
    if pointer is None:
        return None
    reason = "its settings are not those of today"
    try:
        config = run_evaluation.config_of(read_manifest(store.get(manifest_key(pointer.version))))
    except (NoSuchObject, InvalidModel) as error:
        config, reason = None, str(error)
    if config is None:
        step_log.line(f"  the gate compares without the live model {pointer.version}: {reason}")
    return config
