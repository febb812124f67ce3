"""The last step of a run: validate the written model, write its manifest, activate it, record the gate decision."""

from dataclasses import replace
from typing import NamedTuple

import msgspec
from pyspark.sql import functions as F

from recsys import model_format
from recsys.evaluation.gate import GateDecision, ModelCheck
from recsys.evaluation.run_evaluation import EvaluationResult
from recsys.model_format import FileEntry, Gate, Manifest, ModelSettings
from services.common import model_registry
from services.common.conditional_write import encode, put_once
from services.common.model_pointer import ChangeAuthor
from services.common.model_registry import BY_JOB, folder_of
from services.common.object_store import ObjectStore
from services.common.times import format_time
from spark import features, model_checks, publish
from spark.settings import JobSettings
from spark.step_log import StepLog
from spark.train_step import ModelInputs
from spark.versions import RunId

GATE = "reports/gate/"


class PublishOutcome(NamedTuple):
    """`model`: the version that is live now, or None with the reason."""

    model: str | None
    reason: str = ""


def publish_step(
    store: ObjectStore, run_id: RunId, model: ModelInputs, settings: JobSettings, step_log: StepLog
) -> PublishOutcome:
    """Publish the model. Raises ModelRefused."""
    version, evaluated = run_id.version, model.evaluated
    with step_log.step("publish") as step:
        files = verified(store, version, evaluated, settings.models_kept)
        manifest = _manifest(run_id, model, files, settings)
        checks = [*_file_checks(files), *_model_checks(store, model, manifest)]
        decision = evaluated.decision.with_checks(checks)
        _write_evaluation(store, version, evaluated)
        gate = msgspec.convert(decision.record(version), Gate)
        publish.write_manifest(store, msgspec.structs.replace(manifest, gate=gate))
        step.says(f"{len(files)} files, {sum(file.bytes for file in files):,} bytes; {decision.verdict}")
        return go_live(store, run_id, decision, settings.models_kept)


def go_live(store: ObjectStore, run_id: RunId, decision: GateDecision, models_kept: int) -> PublishOutcome:
    """Activate the complete version unless it was refused; record the decision, then prune old versions."""
    version, reason = run_id.version, decision.reason
    live = decision.verdict == "published"
    if live and not model_registry.publish(store, version, ChangeAuthor(BY_JOB, reason, run_id.started_ms)):
        live, reason = False, f"{version} is complete, but a later run's model is live already"
        decision = replace(decision, reason=f"{decision.reason} It does not serve: {reason}.")
    record_gate(store, version, decision)
    model_registry.prune(store, models_kept)
    return PublishOutcome(version) if live else PublishOutcome(None, reason)


def verified(store: ObjectStore, version: str, evaluated: EvaluationResult, models_kept: int) -> list[FileEntry]:
    """The model's files. A broken one is recorded as the gate decision before ModelRefused is raised."""
    try:
        return publish.verified_files(store, version, evaluated.config.als.rank)
    except publish.ModelRefused as refused:
        record_gate(
            store, version, evaluated.decision.with_checks([ModelCheck("files are whole", False, str(refused))])
        )
        model_registry.prune(store, models_kept)
        raise


def record_gate(store: ObjectStore, version: str, decision: GateDecision) -> None:
    """The gate decision, of refused models too → `reports/gate/<version>.json` and `latest.json`."""
    record = decision.record(version)
    put_once(store, f"{GATE}{version}.json", encode(record))
    publish.move_forward(store, f"{GATE}latest.json", record)


def _file_checks(files: list[FileEntry]) -> list[ModelCheck]:
    return [ModelCheck("files are whole", True, f"{len(files)} files were read back, their numbers are finite")]


def _model_checks(store: ObjectStore, model: ModelInputs, manifest: Manifest) -> list[ModelCheck]:
    week = features.in_week(model.newest_ms)
    sold = features.sold(model.purchases).where(week).select("product_id").distinct().collect()
    users = model.interactions.select("user_id").distinct()
    customers = users.orderBy(F.xxhash64("user_id")).limit(model_checks.CUSTOMERS).collect()
    sold_ids, customer_ids = {row.product_id for row in sold}, [row.user_id for row in customers]
    return model_checks.checks(store, manifest, sold_ids, customer_ids, model.newest_ms)


def _write_evaluation(store: ObjectStore, version: str, evaluated: EvaluationResult) -> None:
    """metrics.json and report.html → the model's folder, where there was enough to measure."""
    if evaluated.document is not None and evaluated.page is not None:
        folder = folder_of(version)
        put_once(store, f"{folder}metrics.json", encode(evaluated.document))
        put_once(store, f"{folder}report.html", evaluated.page.encode())


def _manifest(run_id: RunId, model: ModelInputs, files: list[FileEntry], settings: JobSettings) -> Manifest:
    config, curation = model.evaluated.config, model.curation
    return publish.manifest(
        run_id.version,
        run_id.started_ms,
        files,
        rank=config.als.rank,
        training=model_format.Training(
            from_=format_time(model.oldest_ms),
            to=format_time(model.newest_ms),
            offsets={int(partition): offset for partition, offset in curation.offsets.items()},
        ),
        settings=ModelSettings(
            **config.als.model_dump(), solver=settings.solver_for(model.pairs), time_zone=settings.time_zone
        ),
        composition=config.weights,
        basket=config.basket,
        metrics=model.evaluated.metrics,
        search=model.evaluated.search,
        counts={"pairs": model.pairs, **curation.counts()},
    )
