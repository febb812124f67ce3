"""One run: curate → report → reconcile → evaluate → train → publish.

Everything it writes is named by its version and never overwritten.
"""

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from recsys import model_format
from recsys.evaluation import run_evaluation
from recsys.evaluation.gate import GateDecision, ModelCheck
from recsys.evaluation.methods import ModelConfig
from recsys.evaluation.purchase_log import COLUMNS, sampled_log
from recsys.evaluation.run_evaluation import Evaluation, EvaluationResult
from recsys.event_clock import WITNESSES, newest_of
from recsys.model_format import FileEntry, Gate, InvalidModel, Manifest, ModelSettings, read_manifest
from services.common import model_registry
from services.common.conditional_write import encode, put_once
from services.common.model_pointer import ChangeAuthor
from services.common.model_registry import BY_JOB, folder_of, manifest_key
from services.common.object_store import ObjectStore
from services.common.reconciliation import Reconciliation, in_words
from services.common.storage_errors import NoSuchObject
from services.common.times import format_time
from spark import curate, features, figure_diff, figures, model_checks, publish, train
from spark.curate import Curation
from spark.model_tables import TableInputs, model_tables
from spark.reconcile import reconcile
from spark.session import blas_in_use
from spark.settings import JobSettings
from spark.step_log import StepLog

CURATED = "curated/purchases/"
REPORTS = "reports/"
CHECKPOINTS = "checkpoints/"
GATE = f"{REPORTS}gate/"
STEPS = ("curate", "report", "reconcile", "evaluate", "train", "publish")


@dataclass(frozen=True, slots=True)
class Job:
    """What all steps of a run share. `now_ms` is the run's start, epoch milliseconds."""

    spark: SparkSession
    store: ObjectStore
    settings: JobSettings
    step_log: StepLog
    version: str
    now_ms: int

    def url(self, key: str) -> str:
        """An object's or folder's address for Spark."""
        return f"s3a://{self.store.bucket}/{key}"

    @property
    def curated_folder(self) -> str:
        """Where this run's curated purchases are."""
        return f"{CURATED}{self.version}/"

    @property
    def checkpoint_folder(self) -> str:
        """Where ALS keeps factors between iterations."""
        return f"{CHECKPOINTS}{self.version}/"


@dataclass(frozen=True, slots=True)
class JobOutcome:
    """How a run ended: `model` is the version now live, or None with the reason; `books` where they were compared."""

    model: str | None
    reason: str = ""
    reconciliation: Reconciliation | None = None


def run(job: Job, until: str = "publish") -> JobOutcome:
    """Do the steps up to and including `until`."""
    checked = check(job)
    purchases, curation = curate_step(job, checked)
    if until == "curate":
        return JobOutcome(None, "only curated, as asked")
    interactions = train.interactions(purchases).persist()
    refusal = train.reason_against_training(interactions)
    report_step(job, purchases, curation, refusal)
    if until == "report":
        return JobOutcome(None, "only curated and reported, as asked")
    found = reconcile_step(job, checked, curation)
    checked.unpersist()
    if until == "reconcile":
        return JobOutcome(None, "only curated, reported and reconciled, as asked", found)
    if refusal:
        return JobOutcome(None, refusal, found)
    return replace(_model(job, purchases, interactions, curation, until), reconciliation=found)


def _model(job: Job, purchases: DataFrame, interactions: DataFrame, curation: Curation, until: str) -> JobOutcome:
    """The steps that make a model: evaluate, train, publish."""
    evaluated = evaluate_step(job, curation)
    if until == "evaluate":
        return JobOutcome(None, "evaluated but not trained, as asked")
    pairs = train_step(job, purchases, interactions, evaluated.config)
    if until == "train":
        return JobOutcome(None, f"trained but not published, as asked: {folder_of(job.version)}")
    return publish_step(job, TrainingData(purchases, interactions, curation, pairs), evaluated)


def run_reconcile(job: Job) -> Reconciliation | None:
    """Compare the books and do nothing else."""
    checked = check(job)
    with job.step_log.step("check") as step:
        curation = curate.count(checked)
        step.says(_curation_in_words(curation))
    return reconcile_step(job, checked, curation)


def check(job: Job) -> DataFrame:
    """The checked records of the archive, kept for the steps that read them."""
    return curate.check(_archive(job), job.now_ms).persist()


def curate_step(job: Job, checked: DataFrame) -> tuple[DataFrame, Curation]:
    """Checked records → `curated/purchases/<version>/`."""
    with job.step_log.step("curate") as step:
        curation = curate.count(checked)
        curate.write_curated(curate.accepted(checked), job.url(job.curated_folder))
        step.says(_curation_in_words(curation))
    return curate.read_curated(job.spark, job.url(job.curated_folder)), curation


def _archive(job: Job) -> DataFrame:
    prefix = job.settings.archive_prefix
    is_empty = next(job.store.list(prefix), None) is None
    return curate.read_archive(job.spark, None if is_empty else job.url(prefix))


def _curation_in_words(curation: Curation) -> str:
    rejected = ", ".join(f"{reason} {lines:,}" for reason, lines in curation.rejected.items())
    return (
        f"{curation.records:,} records: {curation.accepted:,} accepted, {curation.repeats:,} repeats, "
        f"{curation.dead_letters:,} rejected{f' ({rejected})' if rejected else ''}; of the accepted "
        f"{curation.unknown_category:,} without category, {curation.unknown_brand:,} without brand, "
        f"{curation.anonymous:,} anonymous"
    )


def report_step(job: Job, purchases: DataFrame, curation: Curation, refusal: str | None) -> None:
    """The batch figures → `reports/<version>/`, `figures.json` last; then `reports/latest.json`."""
    with job.step_log.step("report") as step:
        lines = figures.by_order(purchases).persist()
        batch_figures = figures.figures(lines, curation, job.settings.time_zone)
        for name, column in figures.TABLES.items():
            figures.table(lines, column).write.parquet(job.url(f"{REPORTS}{job.version}/{name}"))
        lines.unpersist()
        document = {
            "version": job.version,
            "created_at": format_time(job.now_ms),
            "currency": job.settings.currency,
            "curated": job.curated_folder,
            "no_model": refusal,
            **batch_figures,
        }
        put_once(job.store, f"{REPORTS}{job.version}/figures.json", encode(document))
        publish.move_forward(job.store, f"{REPORTS}latest.json", {"version": job.version})
        totals = batch_figures["totals"]
        step.says(
            f"revenue {totals['revenue']} {job.settings.currency}, {totals['quantity']:,} pieces, "
            f"{totals['orders']:,} orders, {totals['buyers']:,} buyers"
        )
    _prune_curated(job)


def _prune_curated(job: Job) -> None:
    """Drop the curated purchases of older runs: the archive is the source, each run writes them whole."""
    runs = sorted({key.removeprefix(CURATED).partition("/")[0] for key, _ in job.store.list(CURATED)})
    for run_name in runs[: -job.settings.curated_kept]:
        _delete_folder(job.store, f"{CURATED}{run_name}/")


def _delete_folder(store: ObjectStore, folder: str) -> None:
    for key, _ in list(store.list(folder)):
        store.delete(key)


def reconcile_step(job: Job, checked: DataFrame, curation: Curation) -> Reconciliation | None:
    """The batch's figures against the live ones → `reports/reconciliation/<version>.json` and `latest.json`.

    Books that differ are said loudly and change nothing else: the model is made of what the archive holds.
    """
    with job.step_log.step("reconcile") as step:
        found = reconcile(
            job.store,
            checked,
            curation,
            time_zone=job.settings.time_zone,
            version=job.version,
            now_ms=job.now_ms,
        )
        if found is None:
            step.says("not compared: no snapshot of the live figures lies within what is archived")
        else:
            step.says(f"{in_words(found)} ({found.compared:,} figures, by {found.basis})")
    for difference in found.differences if found else ():
        job.step_log.line(f"  {figure_diff.in_words(difference)}")
    return found


def evaluate_step(job: Job, curation: Curation) -> EvaluationResult:
    """Recipes compared on the newest of this run's curated purchases; nothing is written yet."""
    with job.step_log.step("evaluate") as step:
        share = min(1.0, job.settings.evaluation_lines / curation.accepted)
        log = sampled_log(curate.curated_tables(job.store, job.curated_folder, COLUMNS), share)
        job.settings.spark_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="factors-", dir=job.settings.spark_dir) as scratch:
            evaluated = Evaluation(log, job.settings, job.settings.als, live_config(job.store)).run(Path(scratch))
        step.says(f"{_share_in_words(share)}{evaluated.decision.reason}")
    return evaluated


def live_config(store: ObjectStore) -> ModelConfig | None:
    """The recipe of the live model; None where there is none, or its manifest names none that can be used today."""
    pointer, _etag = model_registry.read_pointer(store)
    if pointer is None:
        return None
    try:
        return run_evaluation.config_of(read_manifest(store.get(manifest_key(pointer.version))))
    except (NoSuchObject, InvalidModel):
        return None


def _share_in_words(share: float) -> str:
    return "" if share >= 1 else f"on the purchases of {share:.1%} of the customers: "


def train_step(job: Job, purchases: DataFrame, interactions: DataFrame, config: ModelConfig) -> int:
    """Factors and what serving needs beside them → the model's folder. Returns the pairs trained on."""
    with job.step_log.step("train") as step:
        pairs = interactions.count()
        job.spark.sparkContext.setCheckpointDir(job.url(job.checkpoint_folder))
        factors = train.factorise(interactions, config.als)
        _, newest_ms = span(purchases)
        products = features.catalogue(purchases).persist()
        half_lives_h = config.composition.half_lives_h
        tables = model_tables(TableInputs(factors, purchases, interactions, products, half_lives_h, newest_ms))
        folder = job.url(folder_of(job.version))
        for name, table in tables.items():
            table.coalesce(job.settings.als_blocks).write.parquet(f"{folder}{name}")
        _delete_folder(job.store, job.checkpoint_folder)
        als = config.als
        step.says(f"ALS rank {als.rank}, {als.iterations} iterations over {pairs:,} pairs, {blas_in_use(job.spark)}")
    return pairs


def span(purchases: DataFrame) -> tuple[int, int]:
    """The oldest event time and the newest that is beyond doubt, epoch milliseconds. There must be a purchase."""
    oldest = purchases.agg(F.min("event_time").alias("oldest")).head()
    assert oldest is not None
    latest = purchases.select("event_time").orderBy(F.desc("event_time")).limit(WITNESSES).collect()
    return oldest.oldest, newest_of(row.event_time for row in latest)


@dataclass(frozen=True, slots=True)
class TrainingData:
    """What a model was made of."""

    purchases: DataFrame
    interactions: DataFrame
    curation: Curation
    pairs: int


def publish_step(job: Job, training: TrainingData, evaluated: EvaluationResult) -> JobOutcome:
    """Look at what was written, write the manifest, move the pointer if nothing is wrong. Raises ModelRefused."""
    with job.step_log.step("publish") as step:
        files = verified(job, evaluated)
        manifest = _manifest(job, training, evaluated, files)
        decision = evaluated.decision.with_checks([*_file_checks(files), *_sanity_checks(job, training, manifest)])
        _write_evaluation(job, evaluated)
        gate = msgspec.convert(decision.record(job.version), Gate)
        publish.write_manifest(job.store, msgspec.structs.replace(manifest, gate=gate))
        step.says(f"{len(files)} files, {sum(file.bytes for file in files):,} bytes; {decision.verdict}")
        return go_live(job, decision)


def go_live(job: Job, decision: GateDecision) -> JobOutcome:
    """Move the pointer to the complete version unless it was refused, then say what was decided, then drop old ones."""
    outcome = JobOutcome(None, decision.reason)
    if decision.verdict == "published":
        author = ChangeAuthor(BY_JOB, decision.reason, job.now_ms)
        if model_registry.publish(job.store, job.version, author):
            outcome = JobOutcome(job.version)
        else:
            outcome = JobOutcome(None, f"{job.version} is complete, but a later run's model is live already")
            decision = replace(decision, reason=f"{decision.reason} It does not serve: {outcome.reason}.")
    record_gate(job, decision)
    model_registry.prune(job.store, job.settings.models_kept)
    return outcome


def verified(job: Job, evaluated: EvaluationResult) -> list[FileEntry]:
    """The model's files. Where one is broken the gate's record says so before ModelRefused is raised."""
    try:
        return publish.verified_files(job.store, job.version, evaluated.config.als.rank)
    except publish.ModelRefused as refused:
        record_gate(job, evaluated.decision.with_checks([ModelCheck("files are whole", False, str(refused))]))
        model_registry.prune(job.store, job.settings.models_kept)
        raise


def _file_checks(files: list[FileEntry]) -> list[ModelCheck]:
    return [ModelCheck("files are whole", True, f"{len(files)} files were read back, their numbers are finite")]


def _sanity_checks(job: Job, training: TrainingData, manifest: Manifest) -> list[ModelCheck]:
    newest_ms = span(training.purchases)[1]
    week = features.in_week(newest_ms)
    sold = features.sold(training.purchases).where(week).select("product_id").distinct().collect()
    customers = (
        training.interactions.select("user_id").distinct().orderBy(F.xxhash64("user_id")).limit(model_checks.CUSTOMERS)
    )
    return model_checks.checks(
        job.store,
        manifest,
        {row.product_id for row in sold},
        [row.user_id for row in customers.collect()],
        newest_ms,
    )


def _write_evaluation(job: Job, evaluated: EvaluationResult) -> None:
    """metrics.json and report.html beside the model's tables, where there was anything to measure."""
    if evaluated.document is not None and evaluated.page is not None:
        folder = folder_of(job.version)
        put_once(job.store, f"{folder}metrics.json", encode(evaluated.document))
        put_once(job.store, f"{folder}report.html", evaluated.page.encode())


def record_gate(job: Job, decision: GateDecision) -> None:
    """What the gate says, also where nothing is published: `reports/gate/<version>.json` and `latest.json`."""
    record = decision.record(job.version)
    put_once(job.store, f"{GATE}{job.version}.json", encode(record))
    publish.move_forward(job.store, f"{GATE}latest.json", record)


def _manifest(job: Job, training: TrainingData, evaluated: EvaluationResult, files: list[FileEntry]) -> Manifest:
    oldest, newest = span(training.purchases)
    config, curation = evaluated.config, training.curation
    return publish.manifest(
        job.version,
        job.now_ms,
        files,
        rank=config.als.rank,
        training=model_format.Training(
            from_=format_time(oldest),
            to=format_time(newest),
            offsets={int(partition): offset for partition, offset in curation.offsets.items()},
            rows={int(partition): rows for partition, rows in curation.rows.items()},
        ),
        settings=ModelSettings(**config.als.model_dump(), time_zone=job.settings.time_zone),
        composition=config.composition,
        metrics=evaluated.metrics,
        search=evaluated.search,
        counts={"pairs": training.pairs, **curation.counts()},
    )
