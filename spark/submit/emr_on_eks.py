"""EMR on EKS: a virtual cluster, which is a namespace of a Kubernetes cluster."""

from typing import Any

import boto3
from botocore.exceptions import ClientError

from spark.submit.job_definition import KUBERNETES_DRIVER, JobDefinition
from spark.submit.runs import Fate, RunStatus, Started, refused, run_named, status_of

_FATES: dict[str, Fate] = {"COMPLETED": "succeeded", "FAILED": "failed", "CANCELLED": "cancelled"}


class EmrOnEks:
    """Runs in one virtual cluster."""

    def __init__(self, job: JobDefinition, virtual_cluster_id: str, role_arn: str, release: str) -> None:
        self._job = job
        self._cluster = virtual_cluster_id
        self._role = role_arn
        self._release = release
        self._client: Any = boto3.client("emr-containers", region_name=job.region)

    def start(self, name: str) -> Started:
        """See Platform."""
        try:
            return self._named(name) or Started(str(self._start(name)["id"]))
        except ClientError as error:
            raise refused(error, f"virtual cluster {self._cluster} does not start the job") from error

    def status(self, run: str) -> RunStatus:
        """See Platform."""
        try:
            found = self._client.describe_job_run(virtualClusterId=self._cluster, id=run)["jobRun"]
        except ClientError as error:
            if error.response["Error"]["Code"] in ("ResourceNotFoundException", "ValidationException"):
                raise refused(error, f"run {run} of virtual cluster {self._cluster}") from error
            raise
        return status_of(found["state"], _FATES, found.get("stateDetails"))

    def cancel(self, run: str) -> None:
        """See Platform."""
        try:
            self._client.cancel_job_run(virtualClusterId=self._cluster, id=run)
        except ClientError as error:
            raise refused(error, f"run {run} is not cancelled") from error

    def log(self, run: str) -> str:
        """See Platform."""
        return f"kubectl logs --selector=emr-containers.amazonaws.com/job.id={run} --container=spark-kubernetes-driver"

    def _named(self, name: str) -> Started | None:
        pages = self._client.get_paginator("list_job_runs").paginate(virtualClusterId=self._cluster)
        return run_named(pages, "jobRuns", name)

    def _start(self, name: str) -> Any:
        return self._client.start_job_run(
            virtualClusterId=self._cluster,
            clientToken=name,
            name=name,
            executionRoleArn=self._role,
            releaseLabel=self._release,
            jobDriver={
                "sparkSubmitJobDriver": {
                    "entryPoint": self._job.entry_point,
                    "entryPointArguments": list(self._job.arguments),
                    "sparkSubmitParameters": self._job.parameters(KUBERNETES_DRIVER),
                }
            },
        )
