"""What a run of the batch job leaves behind, however it ends."""

import io
import json
from typing import Any, cast

import pytest
from pyspark.sql import SparkSession

from services.common.job_report import FOLDER, LATEST
from spark.job import Job, JobOutcome
from spark.job_report import run_reported
from spark.publish import ModelRefused
from spark.publish_step import GATE
from spark.settings import JobSettings
from spark.step_log import StepLog
from spark.versions import RunId
from tests.support.bucket import Bucket
from tests.support.spans import recorded

NOW_MS = 1_700_000_000_000


def job_of(bucket: Bucket, version: str = "v1") -> Job:
    return Job(cast(SparkSession, None), bucket, JobSettings(), StepLog(io.StringIO()), RunId(version, NOW_MS))


def curate(job: Job) -> None:
    with job.step_log.step("curate"):
        job.step_log.records = {"accepted": 7, "repeat": 1, "rejected": 2}


def report(bucket: Bucket, key: str = LATEST) -> dict[str, Any]:
    return dict(json.loads(bucket.objects[key]))


def decided(bucket: Bucket, verdict: str) -> None:
    bucket.objects[f"{GATE}v1.json"] = json.dumps({"verdict": verdict, "winner": "live", "rule": "…"}).encode()


def test_a_published_model() -> None:
    bucket = Bucket()

    def steps(job: Job, until: str) -> JobOutcome:
        curate(job)
        decided(bucket, "published")
        return JobOutcome("v1")

    assert run_reported(job_of(bucket), "publish", steps).model == "v1"
    left = report(bucket)
    assert (left["outcome"], left["records"]["accepted"], list(left["steps"])) == ("published", 7, ["curate"])
    assert left["gate"] == {"verdict": "published", "winner": "live"}
    assert left["started_at"] == "2023-11-14T22:13:20Z"
    assert report(bucket, f"{FOLDER}v1.json") == left


@pytest.mark.parametrize(
    ("verdict", "outcome"), [(None, "no_model"), ("published", "no_model"), ("refused", "refused")]
)
def test_no_model_and_why(verdict: str | None, outcome: str) -> None:
    bucket = Bucket()
    if verdict:
        decided(bucket, verdict)
    run_reported(job_of(bucket), "publish", lambda job, until: JobOutcome(None, "because"))
    assert (report(bucket)["outcome"], report(bucket)["reason"]) == (outcome, "because")


@pytest.mark.parametrize(
    ("error", "outcome"), [(ValueError("no space\nat line 1"), "failed"), (ModelRefused("no space"), "refused")]
)
def test_a_run_that_ends_with_an_error_names_the_step(error: Exception, outcome: str) -> None:
    bucket = Bucket()

    def steps(job: Job, until: str) -> JobOutcome:
        curate(job)
        with job.step_log.step("train"):
            raise error

    with pytest.raises(type(error)):
        run_reported(job_of(bucket), "publish", steps)
    left = report(bucket)
    assert (left["outcome"], left["reason"]) == (outcome, "train: no space")
    assert (left["records"]["rejected"], list(left["steps"])) == (2, ["curate"])


def test_an_earlier_run_that_ends_later_does_not_hide_the_newest() -> None:
    bucket = Bucket()
    run_reported(job_of(bucket, "v2"), "publish", lambda job, until: JobOutcome("v2"))
    run_reported(job_of(bucket, "v1"), "publish", lambda job, until: JobOutcome(None, "late"))
    assert report(bucket)["version"] == "v2"


def test_a_report_that_cannot_be_stored_does_not_end_the_run() -> None:
    bucket = Bucket()
    bucket.rivals = [b"{}"] * 99
    job = job_of(bucket)
    bucket.objects[LATEST] = b"{}"
    assert run_reported(job, "publish", lambda job, until: JobOutcome("v1")).model == "v1"


def test_the_steps_of_a_run_are_steps_of_its_trace() -> None:
    def steps(job: Job, until: str) -> JobOutcome:
        curate(job)
        with job.step_log.step("report"):
            pass
        return JobOutcome(None, "because")

    with recorded(ratio=0) as spans:
        run_reported(job_of(Bucket()), "publish", steps)
    assert spans.edges() == [(None, "batch job"), ("batch job", "curate"), ("batch job", "report")]
    assert (spans.named("batch job").attributes or {})["tillstream.run"] == "v1"
