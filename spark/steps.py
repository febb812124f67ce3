"""The steps of a run before publishing: each computes one thing, writes it, and logs one line."""

import tempfile
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession

from recsys.basket_weights import half_lives_h
from recsys.evaluation import run_evaluation
from recsys.evaluation.methods import ModelConfig
from recsys.evaluation.purchase_log import COLUMNS, sampled_log
from recsys.evaluation.run_evaluation import Evaluation, EvaluationResult
from recsys.model_format import InvalidModel, read_manifest
from services.common import model_registry
from services.common.conditional_write import encode, put_once
from services.common.event_rules import EventRules
from services.common.model_registry import folder_of, manifest_key
from services.common.object_store import ObjectStore
from services.common.reconciliation import Reconciliation, in_words
from services.common.settings import ShopSettings
from services.common.storage_errors import NoSuchObject
from services.common.times import format_time
from spark import curate, features, figure_diff, figures, publish, train
from spark.curate import Curation
from spark.model_tables import TableInputs, model_tables
from spark.reconcile import Shop, reconcile
from spark.session import blas_in_use, s3a_url
from spark.settings import JobSettings, Solver
from spark.step_log import StepLog
from spark.versions import RunId

CURATED = "curated/purchases/"
REPORTS = "reports/"
CHECKPOINTS = "checkpoints/"


def curated_folder(run_id: RunId) -> str:
    """Where a run's curated purchases are."""
    return f"{CURATED}{run_id.version}/"


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


def report_step(
    store: ObjectStore,
    run_id: RunId,
    purchases: DataFrame,
    curation: Curation,
    no_model: str | None,
    shop: ShopSettings,
    step_log: StepLog,
) -> None:
    """The batch figures → `reports/<version>/`, `figures.json` last; then `reports/latest.json`."""
    folder = f"{REPORTS}{run_id.version}/"
    with step_log.step("report") as step:
        lines = figures.by_order(purchases).persist()
        batch_figures = figures.figures(lines, curation, shop.time_zone)
        for name, column in figures.TABLES.items():
            figures.table(lines, column).write.parquet(s3a_url(store, f"{folder}{name}"))
        lines.unpersist()
        document = {
            "version": run_id.version,
            "created_at": format_time(run_id.started_ms),
            "currency": shop.currency,
            "curated": curated_folder(run_id),
            "no_model": no_model,
            **batch_figures,
        }
        put_once(store, f"{folder}figures.json", encode(document))
        publish.move_forward(store, f"{REPORTS}latest.json", {"version": run_id.version})
        totals = batch_figures["totals"]
        step.says(
            f"revenue {totals['revenue']} {shop.currency}, quantity {totals['quantity']:,}, "
            f"{totals['orders']:,} orders, {totals['buyers']:,} buyers"
        )


def prune_curated(store: ObjectStore, kept: int) -> None:
    """Delete the curated purchases of all but the newest `kept` runs: each run computes them from the archive."""
    runs = sorted({key.removeprefix(CURATED).partition("/")[0] for key, _ in store.list(CURATED)})
    for version in runs[:-kept]:
        _delete_folder(store, f"{CURATED}{version}/")


def _delete_folder(store: ObjectStore, folder: str) -> None:
    for key, _ in list(store.list(folder)):
        store.delete(key)


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


def train_step(
    store: ObjectStore,
    run_id: RunId,
    purchases: DataFrame,
    interactions: DataFrame,
    config: ModelConfig,
    settings: JobSettings,
    step_log: StepLog,
) -> int:
    """The model's tables → `models/als/<version>/`. Returns the number of pairs of customer and product trained on."""
    spark, checkpoints = purchases.sparkSession, f"{CHECKPOINTS}{run_id.version}/"
    with step_log.step("train") as step:
        pairs = interactions.count()
        solver = settings.solver_for(pairs)
        if solver == "mllib":
            spark.sparkContext.setCheckpointDir(s3a_url(store, checkpoints))
        factors = train.SOLVERS[solver](interactions, config.als)
        _, newest_ms = features.time_range(purchases)
        products = features.catalogue(purchases).persist()
        half_lives = half_lives_h(config.weights, config.basket)
        tables = model_tables(TableInputs(factors, purchases, interactions, products, half_lives, newest_ms))
        for name, table in tables.items():
            table.coalesce(settings.als_blocks).write.parquet(s3a_url(store, f"{folder_of(run_id.version)}{name}"))
        _delete_folder(store, checkpoints)
        als = config.als
        by = _in_words(solver, als.blocks, spark)
        step.says(f"ALS rank {als.rank}, {als.iterations} iterations over {pairs:,} pairs, by {by}")
    return pairs


def _in_words(solver: Solver, blocks: int, spark: SparkSession) -> str:
    match solver:
        case "driver":
            return "NumPy on the driver"
        case "blocks":
            return f"NumPy in {blocks} blocks"
        case "mllib":
            return f"MLlib with {blas_in_use(spark)}"
