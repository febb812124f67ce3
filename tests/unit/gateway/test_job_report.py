"""The batch job's report as metrics."""

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import msgspec

from services.common.job_report import LATEST, GateResult, JobReport
from services.gateway.upstreams.job_report import JobReportPoller
from tests.support.bucket import Bucket
from tests.support.metrics import gauge


def value(metric: str, **labels: str) -> float | None:
    return gauge(f"job_{metric}", **labels)


@dataclass
class Polled:
    bucket: Bucket
    poller: JobReportPoller

    async def shows(self, body: bytes) -> None:
        self.bucket.objects[LATEST] = body
        await self.poller.refresh()


PUBLISHED = JobReport(
    version="v1",
    outcome="published",
    reason="",
    started_at="2026-01-01T03:15:00Z",
    finished_at="2026-01-01T03:20:00.500Z",
    steps={"curate": 12.5, "train": 60.0},
    records={"accepted": 1000, "repeat": 3, "rejected": 2},
    gate=GateResult("published", "candidate"),
)


async def test_the_newest_report_replaces_the_one_before() -> None:
    with ThreadPoolExecutor(1) as threads:
        bucket = Bucket()
        polled = Polled(bucket, JobReportPoller(bucket, threads))
        await polled.poller.refresh()
        assert math.isnan(value("finished_timestamp_seconds") or 0), "no run has ended yet"

        await polled.shows(msgspec.json.encode(PUBLISHED))
        assert value("finished_timestamp_seconds") == 1767237600.5
        assert value("outcome", outcome="published") == 1
        assert value("step_seconds", step="curate") == 12.5
        assert value("records", outcome="accepted") == 1000
        assert value("gate_info", verdict="published", winner="candidate") == 1

        await polled.shows(b'{"version": ')
        assert value("outcome", outcome="published") == 1, "a damaged report changes nothing"

        failed = msgspec.structs.replace(PUBLISHED, outcome="failed", steps={"curate": 9.0}, records={}, gate=None)
        await polled.shows(msgspec.json.encode(failed))
        assert (value("outcome", outcome="failed"), value("outcome", outcome="published")) == (1, None)
        assert (value("step_seconds", step="curate"), value("step_seconds", step="train")) == (9, None)
        assert value("records", outcome="accepted") is None
        assert value("gate_info", verdict="published", winner="candidate") is None
