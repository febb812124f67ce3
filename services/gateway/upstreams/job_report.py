"""The batch job's newest report, polled from S3 in the background and shown as metrics."""

import asyncio
from concurrent.futures import Executor

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from services.common.job_report import LATEST, JobReport
from services.common.metrics import JOB_FINISHED, JOB_GATE, JOB_OUTCOME, JOB_RECORDS, JOB_STEP_SECONDS
from services.common.object_store import ObjectStore
from services.common.storage_errors import NoSuchObject
from services.common.times import parse_time
from services.gateway.upstreams.outages import OutageLog

_UPSTREAM = "the batch job's report in reports/job/"


class JobReportPoller:
    """Polls the newest report. Keeps the last one while S3 is unavailable or the newest is damaged."""

    def __init__(self, store: ObjectStore, threads: Executor) -> None:
        self._store = store
        self._threads = threads
        self._outages = OutageLog()
        JOB_FINISHED.set(float("nan"))

    async def refresh(self) -> None:
        """Read once."""
        try:
            body = await asyncio.get_running_loop().run_in_executor(self._threads, self._store.get, LATEST)
            show(msgspec.json.decode(body, type=JobReport))
        except NoSuchObject:
            pass  # no run has ended yet
        except (BotoCoreError, ClientError, ValueError) as error:  # ValueError: the report is damaged
            self._outages.started(_UPSTREAM, error)
            return
        self._outages.recovered(_UPSTREAM)


def show(report: JobReport) -> None:
    """Set the metrics. Raises ValueError where the report has no valid time."""
    JOB_FINISHED.set(parse_time(report.finished_at) / 1000)
    for gauge in (JOB_OUTCOME, JOB_STEP_SECONDS, JOB_RECORDS, JOB_GATE):
        gauge.clear()
    JOB_OUTCOME.labels(report.outcome).set(1)
    for step, seconds in report.steps.items():
        JOB_STEP_SECONDS.labels(step).set(seconds)
    for outcome, records in report.records.items():
        JOB_RECORDS.labels(outcome).set(records)
    if report.gate is not None:
        JOB_GATE.labels(report.gate.verdict, report.gate.winner).set(1)
