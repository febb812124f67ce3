"""EMR Serverless: an application that costs nothing while no job runs."""

from typing import Any

import boto3
from botocore.exceptions import ClientError

from spark.submit.job_definition import SERVERLESS_DRIVER, JobDefinition
from spark.submit.runs import Fate, RunStatus, Started, refused, run_named, status_of

_FATES: dict[str, Fate] = {"SUCCESS": "succeeded", "FAILED": "failed", "CANCELLED": "cancelled"}


class EmrServerless:
    """Runs of one application."""

    def __init__(self, job: JobDefinition, application_id: str, role_arn: str, timeout_minutes: int) -> None:
        self._job = job
        self._application = application_id
        self._role = role_arn
        self._timeout_minutes = timeout_minutes
        self._client: Any = boto3.client("emr-serverless", region_name=job.region)

    def start(self, name: str) -> Started:
        """See Platform. The token is for requests that are sent twice; a later one is found by its name."""
        try:
            return self._named(name) or Started(str(self._start(name)["jobRunId"]))
        except ClientError as error:
            raise refused(error, f"application {self._application} does not start the job") from error

    def status(self, run: str) -> RunStatus:
        """See Platform."""
        try:
            found = self._client.get_job_run(applicationId=self._application, jobRunId=run)["jobRun"]
        except self._client.exceptions.ResourceNotFoundException as error:
            raise refused(error, f"run {run} of application {self._application}") from error
        return status_of(found["state"], _FATES, found.get("stateDetails"))

    def cancel(self, run: str) -> None:
        """See Platform."""
        try:
            self._client.cancel_job_run(applicationId=self._application, jobRunId=run)
        except ClientError as error:
            raise refused(error, f"run {run} is not cancelled") from error

    def log(self, run: str) -> str:
        """See Platform."""
        return f"EMR Studio, application {self._application}, run {run}: Spark's pages and the driver's output, 30 days"

    def _named(self, name: str) -> Started | None:
        pages = self._client.get_paginator("list_job_runs").paginate(applicationId=self._application)
        return run_named(pages, "jobRuns", name)

    def _start(self, name: str) -> Any:
        return self._client.start_job_run(
            applicationId=self._application,
            clientToken=name,
            name=name,
            executionRoleArn=self._role,
            executionTimeoutMinutes=self._timeout_minutes,
            jobDriver={
                "sparkSubmit": {
                    "entryPoint": self._job.entry_point,
                    "entryPointArguments": list(self._job.arguments),
                    "sparkSubmitParameters": self._job.parameters(SERVERLESS_DRIVER),
                }
            },
        )
