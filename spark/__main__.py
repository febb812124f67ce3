"""Command line and composition root of the batch job, and the entry point for spark-submit."""

import argparse
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from botocore.exceptions import BotoCoreError, ClientError
from py4j.protocol import Py4JError  # type: ignore[import-untyped]
from pydantic import ValidationError
from pyspark.errors import PySparkException

from services.common import tracing
from services.common.conditional_write import Contended
from services.common.erasure_list import BadErasureList
from services.common.model_pointer import RegistryError
from services.common.object_store import ObjectStore
from services.common.reconciliation import Reconciliation
from services.common.settings import explain
from spark.jars import JarsMissing, fetch_jars
from spark.job import STEPS, Job, JobOutcome, run_reconcile
from spark.job_report import run_reported
from spark.publish import ModelRefused
from spark.session import spark_session
from spark.settings import JobSettings
from spark.step_log import StepLog
from spark.versions import new_run

DESCRIPTION = """\
Tillstream's batch job: from the archive of purchases to figures and a recommendation model.

  curate     validate and deduplicate raw/purchases/**             -> curated/purchases/<version>/
  report     compute the figures of the live tables from these     -> reports/<version>/
  reconcile  compare live and batch figures as of a live snapshot  -> reports/reconciliation/<version>.json
  evaluate   compare the live model configuration, a new one and popular products on the newest purchases
  train      train the gate's choice on all purchases              -> models/als/<version>/
  publish    validate the model, write the manifest, activate it   -> models/als/current.json
             record the gate decision                              -> reports/gate/<version>.json
"""
EPILOG = """\
examples:
  python -m spark jars                       once: fetch the S3A connector with Maven
  python -m spark run                        all steps against TILLSTREAM_S3_ENDPOINT
  python -m spark run --until report         figures only
  python -m spark reconcile --strict         only compare live and batch figures; status 3 if they differ
  TILLSTREAM_ALS_RANK=32 python -m spark run
  TILLSTREAM_SEARCH_CANDIDATES=0 python -m spark run    no search for a new configuration
  python -m services.models list                published and live models; activate, roll back

on a cluster (TILLSTREAM_SPARK_MASTER= leaves master, memory and jars to spark-submit):
  spark-submit --py-files tillstream.zip spark/__main__.py run

Exit status: 0 done, with or without a new model (the last line says why); 1 failed; 2 invalid settings;
3 with --strict if the live figures differ from the archive or could not be compared.
"""


class BucketMissing(Exception):
    """The bucket does not exist."""


REFUSALS = (
    JarsMissing,
    BucketMissing,
    BadErasureList,
    ModelRefused,
    Contended,
    RegistryError,
    BotoCoreError,
    ClientError,
)
"""Errors that are reported in one line, without a trace."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    options = _parser().parse_args(arguments)
    _stop_at_once()
    try:
        settings = JobSettings()
    except ValidationError as error:
        _say(explain(error))
        return 2
    try:
        with tracing.exported("batch", settings):
            return int(options.command(settings, options))
    except REFUSALS as error:
        _say(f"failed: {error}")
    except (Py4JError, PySparkException) as error:
        traceback.print_exc()
        _say(f"failed: {spark_reason(error)}")
    return 1


def spark_reason(error: Exception) -> str:
    """The message of Spark's exception without its trace: the line after py4j's prefix, if there is one."""
    lines = str(error).splitlines()
    return next(
        (line.removeprefix(": ") for line in lines if line.startswith(": ")), lines[0] if lines else repr(error)
    )


def run_command(settings: JobSettings, options: argparse.Namespace) -> int:
    """`run`: one run of the job."""
    outcome = run_job(settings, StepLog(sys.stderr), options.until)
    _say(f"model {outcome.model} is live" if outcome.model else f"no model: {outcome.reason}")
    return _verdict(outcome.reconciliation, options.strict)


def reconcile_command(settings: JobSettings, options: argparse.Namespace) -> int:
    """`reconcile`: only compare live and batch figures."""
    with open_job(settings, StepLog(sys.stderr)) as job:
        return _verdict(run_reconcile(job), options.strict)


def _verdict(found: Reconciliation | None, strict: bool) -> int:
    return 3 if strict and (found is None or found.status != "agree") else 0


def run_job(settings: JobSettings, step_log: StepLog, until: str = "publish") -> JobOutcome:
    """Run the steps. Raises BucketMissing, JarsMissing, ModelRefused."""
    with open_job(settings, step_log) as job:
        return run_reported(job, until)


@contextmanager
def open_job(settings: JobSettings, step_log: StepLog) -> Iterator[Job]:
    """Open the clients, and close them at the end. Raises BucketMissing, JarsMissing."""
    now_ms = time.time_ns() // 1_000_000
    store = ObjectStore(settings)
    try:
        if not store.exists():
            raise BucketMissing(f"there is no bucket {store.bucket!r} at {settings.s3_endpoint or 'AWS'}")
        with spark_session(settings) as spark:
            _stop_at_once()  # Spark has replaced our handlers
            yield Job(spark, store, settings, step_log, new_run(now_ms))
    finally:
        store.close()


def jars_command(settings: JobSettings, _options: argparse.Namespace) -> int:
    """`jars`: fetch the S3A connector."""
    jars = fetch_jars(settings.spark_jars)
    _say(f"{len(jars)} jars, {sum(jar.stat().st_size for jar in jars) / 1e6:.0f} MB in {settings.spark_jars}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m spark", description=DESCRIPTION, epilog=EPILOG, formatter_class=argparse.RawTextHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    run_parser = commands.add_parser("run", help="curate, report, reconcile, evaluate, train and publish")
    run_parser.add_argument("--until", choices=STEPS, default="publish", help="the last step to run")
    run_parser.set_defaults(command=run_command)
    reconcile_parser = commands.add_parser("reconcile", help="compare the live figures with the archive")
    reconcile_parser.set_defaults(command=reconcile_command)
    for comparing in (run_parser, reconcile_parser):
        comparing.add_argument(
            "--strict", action="store_true", help="exit status 3 unless live and batch figures agree"
        )
    commands.add_parser("jars", help="fetch the S3A connector with Maven").set_defaults(command=jars_command)
    return parser


def _stop_at_once() -> None:
    """On SIGTERM and Ctrl-C end the process at once, and Spark's JVM with it.

    No cleanup is needed: published versions are complete, incomplete ones are never read. An exception raised in a
    call to the JVM would only break the connection and fill the terminal with traces.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)


def _stop(number: int, _frame: FrameType | None) -> None:
    _say("stopped: the live model and the latest report are complete; those of this run may be missing")
    os._exit(128 + number)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
