"""EMR on EC2: a step of a cluster that runs already."""

from typing import Any

import boto3
from botocore.exceptions import ClientError

from spark.submit.job_definition import YARN_DRIVER, JobDefinition
from spark.submit.runs import Fate, RunStatus, Started, SubmitError, refused, run_named, status_of

_FATES: dict[str, Fate] = {
    "COMPLETED": "succeeded",
    "FAILED": "failed",
    "INTERRUPTED": "failed",
    "CANCELLED": "cancelled",
}


class EmrOnEc2:
    """Steps of one cluster."""

    def __init__(self, job: JobDefinition, cluster_id: str) -> None:
        self._job = job
        self._cluster = cluster_id
        self._client: Any = boto3.client("emr", region_name=job.region)

    def start(self, name: str) -> Started:
        """See Platform. EMR knows no token here: two starts of one name at the same moment start two steps."""
        try:
            return self._named(name) or Started(str(self._start(name)["StepIds"][0]))
        except ClientError as error:
            raise refused(error, f"cluster {self._cluster} does not take the step") from error

    def status(self, run: str) -> RunStatus:
        """See Platform."""
        try:
            step = self._client.describe_step(ClusterId=self._cluster, StepId=run).get("Step")
        except self._client.exceptions.InvalidRequestException as error:
            raise refused(error, f"step {run} of cluster {self._cluster}") from error
        if step is None:
            raise SubmitError(f"cluster {self._cluster} has no step {run}")
        found = step["Status"]
        failure = found.get("FailureDetails", {})
        detail = failure.get("Message") or failure.get("Reason") or found.get("StateChangeReason", {}).get("Message")
        return status_of(found["State"], _FATES, detail)

    def cancel(self, run: str) -> None:
        """See Platform."""
        try:
            self._client.cancel_steps(
                ClusterId=self._cluster, StepIds=[run], StepCancellationOption="TERMINATE_PROCESS"
            )
        except ClientError as error:
            raise refused(error, f"step {run} is not cancelled") from error

    def log(self, run: str) -> str:
        """See Platform."""
        return f"the cluster's log folder in S3: {self._cluster}/steps/{run}/, and the first YARN container's output"

    def _named(self, name: str) -> Started | None:
        pages = self._client.get_paginator("list_steps").paginate(ClusterId=self._cluster)
        return run_named(pages, "Steps", name)

    def _start(self, name: str) -> Any:
        conf = [word for each in self._job.conf(YARN_DRIVER).items() for word in ("--conf", "=".join(each))]
        command = ["spark-submit", "--deploy-mode", "cluster", *conf, self._job.entry_point, *self._job.arguments]
        step = {
            "Name": name,
            "ActionOnFailure": "CONTINUE",
            "HadoopJarStep": {"Jar": "command-runner.jar", "Args": command},
        }
        return self._client.add_job_flow_steps(JobFlowId=self._cluster, Steps=[step])
