"""Leaves a report of each run in the bucket, also of one that fails: see services/common/job_report.py."""

import time
from collections.abc import Callable

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from services.common import tracing
from services.common.conditional_write import Contended, encode, put_once
from services.common.job_report import FOLDER, LATEST, GateResult, JobReport, Outcome
from services.common.object_store import ObjectStore
from services.common.storage_errors import AlreadyExists, NoSuchObject
from services.common.times import format_time
from spark import publish
from spark.job import Job, JobOutcome, run
from spark.publish import ModelRefused
from spark.publish_step import GATE


def run_reported(job: Job, until: str, steps: Callable[[Job, str], JobOutcome] = run) -> JobOutcome:
    """Run the steps, and leave a report of how that ended. Raises what the steps raise."""
    try:
        with tracing.begin("batch job", always=True) as span:
            span.set("tillstream.run", job.run_id.version)
            outcome = steps(job, until)
    except Exception as error:
        refused = isinstance(error, ModelRefused)
        _leave(job, "refused" if refused else "failed", _reason(job, error))
        raise
    _leave(job, "published" if outcome.model else None, outcome.reason)
    return outcome


def _reason(job: Job, error: Exception) -> str:
    message = str(error).partition("\n")[0] or type(error).__name__
    return f"{job.step_log.failed}: {message}" if job.step_log.failed else message


def _leave(job: Job, outcome: Outcome | None, reason: str) -> None:
    """Write the report. A store that does not take it now changes nothing about the run."""
    try:
        gate = read_gate(job.store, job.run_id.version)
        without_model: Outcome = "refused" if gate and gate.verdict == "refused" else "no_model"
        write(job.store, report_of(job, outcome or without_model, reason, gate))
    except (BotoCoreError, ClientError, AlreadyExists, Contended) as error:
        job.step_log.line(f"  the report of this run was not stored: {error}")


def report_of(job: Job, outcome: Outcome, reason: str, gate: GateResult | None) -> JobReport:
    """The report of a run that ends now."""
    return JobReport(
        version=job.run_id.version,
        outcome=outcome,
        reason=reason,
        started_at=format_time(job.run_id.started_ms),
        finished_at=format_time(time.time_ns() // 1_000_000),
        steps=job.step_log.seconds,
        records=job.step_log.records,
        gate=gate,
    )


def read_gate(store: ObjectStore, version: str) -> GateResult | None:
    """What the gate decided in this run; None where it decided nothing."""
    try:
        return msgspec.json.decode(store.get(f"{GATE}{version}.json"), type=GateResult)
    except NoSuchObject:
        return None


def write(store: ObjectStore, report: JobReport) -> None:
    """→ `reports/job/<version>.json` and, unless that names a later run, `latest.json`. Raises Contended."""
    put_once(store, f"{FOLDER}{report.version}.json", encode(report))
    publish.move_forward(store, LATEST, msgspec.to_builtins(report))
