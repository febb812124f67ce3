"""One run: curate → report → reconcile → train → publish.

Everything it writes is named by its version and never overwritten.
"""

from dataclasses import dataclass, replace
from typing import Any

import msgspec
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from services.common import modelregistry
from services.common.events import format_time
from services.common.modelregistry import BY_JOB, Change, encode, folder_of, put_once
from services.common.objectstore import ObjectStore
from services.common.reconciliation import Reconciliation, in_words
from services.recommender.composition import Composition
from spark import books, curate, knowledge, publish, report, train
from spark.curate import Curation
from spark.evaluate.recipes import DEFAULT, Recipe
from spark.progress import Progress
from spark.reconcile import reconcile
from spark.session import blas_in_use
from spark.settings import JobSettings

CURATED = "curated/purchases/"
REPORTS = "reports/"
CHECKPOINTS = "checkpoints/"
STEPS = ("curate", "report", "reconcile", "train", "publish")


@dataclass(frozen=True, slots=True)
class Job:
    """What all steps of a run share. `now_ms` is the run's start, epoch milliseconds."""

    spark: SparkSession
    store: ObjectStore
    settings: JobSettings
    progress: Progress
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
class Outcome:
    """How a run ended: `model` is the version now live, or None with the reason; `books` where they were compared."""

    model: str | None
    reason: str = ""
    books: Reconciliation | None = None


def run(job: Job, until: str = "publish") -> Outcome:
    """Do the steps up to and including `until`."""
    checked = check(job)
    purchases, curation = curate_step(job, checked)
    if until == "curate":
        return Outcome(None, "only curated, as asked")
    held = train.interactions(purchases).persist()
    refusal = train.reason_against_training(held)
    report_step(job, purchases, curation, refusal)
    if until == "report":
        return Outcome(None, "only curated and reported, as asked")
    found = reconcile_step(job, checked, curation)
    checked.unpersist()
    if until == "reconcile":
        return Outcome(None, "only curated, reported and reconciled, as asked", found)
    if refusal:
        return Outcome(None, refusal, found)
    recipe = Recipe(job.settings.als, DEFAULT, DEFAULT)
    pairs = train_step(job, purchases, held, recipe)
    if until == "train":
        return Outcome(None, f"trained but not published, as asked: {folder_of(job.version)}", found)
    return replace(publish_step(job, recipe, curation, span(purchases), pairs), books=found)


def run_reconcile(job: Job) -> Reconciliation | None:
    """Compare the books and do nothing else."""
    checked = check(job)
    with job.progress.step("check") as step:
        curation = curate.count(checked)
        step.says(_curation_in_words(curation))
    return reconcile_step(job, checked, curation)


def check(job: Job) -> DataFrame:
    """The checked records of the archive, kept for the steps that read them."""
    return curate.check(_archive(job), job.now_ms).persist()


def curate_step(job: Job, checked: DataFrame) -> tuple[DataFrame, Curation]:
    """Checked records → `curated/purchases/<version>/`."""
    with job.progress.step("curate") as step:
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
    with job.progress.step("report") as step:
        lines = report.by_order(purchases).persist()
        figures = report.figures(lines, curation, job.settings.time_zone)
        for name, column in report.TABLES.items():
            report.table(lines, column).write.parquet(job.url(f"{REPORTS}{job.version}/{name}"))
        lines.unpersist()
        document = {
            "version": job.version,
            "created_at": format_time(job.now_ms),
            "currency": job.settings.currency,
            "curated": job.curated_folder,
            "no_model": refusal,
            **figures,
        }
        put_once(job.store, f"{REPORTS}{job.version}/figures.json", encode(document))
        publish.move_forward(job.store, f"{REPORTS}latest.json", {"version": job.version})
        totals = figures["totals"]
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
    with job.progress.step("reconcile") as step:
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
        job.progress.line(f"  {books.in_words(difference)}")
    return found


def train_step(job: Job, purchases: DataFrame, held: DataFrame, recipe: Recipe) -> int:
    """Factors and what serving needs beside them → the model's folder. Returns the pairs trained on."""
    with job.progress.step("train") as step:
        pairs = held.count()
        job.spark.sparkContext.setCheckpointDir(job.url(job.checkpoint_folder))
        factors = train.factorise(held, recipe.als)
        _, newest_ms = span(purchases)
        products = knowledge.catalogue(purchases).persist()
        tables = {
            "user_factors": factors.users,
            "item_factors": factors.products,
            "catalogue": products,
            "popularity": knowledge.popularity(purchases, newest_ms),
            "known_purchases": knowledge.known_purchases(held),
            "co_purchases": knowledge.co_purchases(held),
            "category_ties": knowledge.category_ties(held, products),
            "trends": knowledge.trends(purchases, held, half_lives_h(recipe.composition), newest_ms),
        }
        folder = job.url(folder_of(job.version))
        for name, table in tables.items():
            table.coalesce(job.settings.als_blocks).write.parquet(f"{folder}{name}")
        _delete_folder(job.store, job.checkpoint_folder)
        als = recipe.als
        step.says(f"ALS rank {als.rank}, {als.iterations} iterations over {pairs:,} pairs, {blas_in_use(job.spark)}")
    return pairs


def span(purchases: DataFrame) -> tuple[int, int]:
    """The oldest and the newest event time, epoch milliseconds. There must be a purchase."""
    row = purchases.agg(F.min("event_time").alias("oldest"), F.max("event_time").alias("newest")).head()
    assert row is not None
    return row.oldest, row.newest


def half_lives_h(composition: Composition) -> set[float]:
    """The half-lives that the composition's live popularity follows."""
    return {trend.half_life_h for trend in composition.trends}


def publish_step(job: Job, recipe: Recipe, curation: Curation, training_span: tuple[int, int], pairs: int) -> Outcome:
    """Verify, write the manifest, move the pointer."""
    with job.progress.step("publish") as step:
        files = publish.verified_files(job.store, job.version, recipe.als.rank)
        publish.write_manifest(job.store, _manifest(job, recipe, files, curation, training_span, pairs=pairs))
        moved = modelregistry.publish(job.store, job.version, Change(BY_JOB, "", job.now_ms))
        step.says(f"{len(files)} files, {sum(file.bytes for file in files):,} bytes verified")
    if not moved:
        return Outcome(None, f"{job.version} is complete, but a later run's model is live already")
    return Outcome(job.version)


def _manifest(
    job: Job,
    recipe: Recipe,
    files: list[publish.ModelFile],
    curation: Curation,
    training_span: tuple[int, int],
    *,
    pairs: int,
) -> dict[str, Any]:
    oldest, newest = training_span
    return publish.manifest(
        job.version,
        job.now_ms,
        files,
        rank=recipe.als.rank,
        training={
            "from": format_time(oldest),
            "to": format_time(newest),
            "offsets": curation.offsets,
            "rows": curation.rows,
        },
        settings={**recipe.als.model_dump(), "time_zone": job.settings.time_zone},
        composition=msgspec.to_builtins(recipe.composition),
        metrics={},
        counts={"pairs": pairs, **curation.counts()},
    )
