"""One run of the batch job: curate → report → reconcile → evaluate → train → publish.

All that a run writes is named by its version and never overwritten.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from pyspark.sql import SparkSession

from services.common.erasure_list import read_erased
from services.common.event_rules import EventRules
from services.common.model_registry import folder_of
from services.common.object_store import ObjectStore
from services.common.reconciliation import Reconciliation
from spark import features, steps, train
from spark.publish_step import publish_step
from spark.reconcile import Shop
from spark.report_step import report_step
from spark.settings import JobSettings
from spark.step_log import StepLog
from spark.train_step import ModelInputs, train_step
from spark.versions import RunId

STEPS = ("curate", "report", "reconcile", "evaluate", "train", "publish")


@dataclass(frozen=True, slots=True)
class Job:
    """The clients and settings of a run, and its name."""

    spark: SparkSession
    store: ObjectStore
    settings: JobSettings
    step_log: StepLog
    run_id: RunId


@dataclass(frozen=True, slots=True)
class JobOutcome:
    """How a run ended. `model`: the version that is live now, or None with the reason.

    `reconciliation`: None where the figures were not compared.
    """

    model: str | None
    reason: str = ""
    reconciliation: Reconciliation | None = None


def run(job: Job, until: str = "publish") -> JobOutcome:
    """Run the steps up to and including `until`. Raises ModelRefused, and what the clients raise."""
    *_, outcome = itertools.islice(_each_step(job), STEPS.index(until) + 1)
    return outcome


def _each_step(job: Job) -> Iterator[JobOutcome]:
    """Run one step after another; after each, yield the outcome of a run that ends with it.

    Where nothing can be trained, no other step follows the third.
    """
    spark, store, settings, step_log, run_id = job.spark, job.store, job.settings, job.step_log, job.run_id
    rules, shop = _as_listed(job)
    checked = steps.read_checked(spark, store, settings.archive_prefix, run_id, rules)
    purchases, curation = steps.curate_step(spark, store, run_id, checked, step_log)
    yield JobOutcome(None, "only curated, as requested")

    interactions = train.interactions(purchases).persist()
    pairs = interactions.count()
    no_model = train.reason_against_training(pairs)
    report_step(store, run_id, purchases, curation, no_model, settings, step_log)
    steps.prune_curated(store, settings.curated_kept)
    yield JobOutcome(None, "only curated and reported, as requested")

    found = steps.reconcile_step(store, run_id, checked, curation, shop, step_log)
    checked.unpersist()
    yield JobOutcome(None, "only curated, reported and reconciled, as requested", found)
    if no_model:
        yield JobOutcome(None, no_model, found)
        return

    evaluated = steps.evaluate_step(store, run_id, curation.accepted, settings, step_log)
    yield JobOutcome(None, "evaluated but not trained, as requested", found)

    inputs = ModelInputs(purchases, interactions, curation, pairs, evaluated, *features.time_range(purchases))
    train_step(store, run_id, inputs, settings, step_log)
    yield JobOutcome(None, f"trained but not published, as requested: {folder_of(run_id.version)}", found)

    published = publish_step(store, run_id, inputs, settings, step_log)
    yield JobOutcome(published.model, published.reason, found)


def run_reconcile(job: Job) -> Reconciliation | None:
    """Compare the live figures with the archive, and do nothing else."""
    rules, shop = _as_listed(job)
    checked = steps.read_checked(job.spark, job.store, job.settings.archive_prefix, job.run_id, rules)
    curation = steps.check_step(checked, job.step_log)
    return steps.reconcile_step(job.store, job.run_id, checked, curation, shop, job.step_log)


def _as_listed(job: Job) -> tuple[EventRules, Shop]:
    """The rules of the validation with the customers who are erased by now. Raises BadErasureList."""
    erased = read_erased(job.store)
    rules = job.settings.event_rules._replace(erased=erased)
    return rules, Shop(job.settings.time_zone, 0 if erased is None else len(erased))
