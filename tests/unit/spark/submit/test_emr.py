"""Starting the job on EMR, against moto, which knows EMR's requests and answers; nothing runs there."""

from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from spark.submit.emr_on_ec2 import EmrOnEc2
from spark.submit.emr_on_eks import EmrOnEks
from spark.submit.emr_serverless import EmrServerless
from spark.submit.job_definition import JobDefinition
from spark.submit.runs import Platform, Started, SubmitError

REGION = "eu-central-1"
ROLE = "arn:aws:iam::123456789012:role/job"
JOB = JobDefinition("s3://shop/artifacts/1.0", "shop", REGION, ("run", "--until", "report"), 12, {"TILLSTREAM_X": "1"})


@pytest.fixture(autouse=True)
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        yield


def serverless() -> Platform:
    client: Any = boto3.client("emr-serverless", region_name=REGION)
    made = client.create_application(name="a", type="SPARK", releaseLabel="emr-6.6.0")
    # moto lists nothing of an application that never ran a job.
    client.start_job_run(applicationId=made["applicationId"], clientToken="t", executionRoleArn=ROLE, name="another")
    return EmrServerless(JOB, made["applicationId"], ROLE, 60)


def on_eks() -> Platform:
    eks: Any = boto3.client("eks", region_name=REGION)
    eks.create_cluster(name="c", roleArn=ROLE, resourcesVpcConfig={})
    client: Any = boto3.client("emr-containers", region_name=REGION)
    provider = {"id": "c", "type": "EKS", "info": {"eksInfo": {"namespace": "n"}}}
    made = client.create_virtual_cluster(name="v", containerProvider=provider)
    return EmrOnEks(JOB, made["id"], ROLE, "emr-6.6.0-latest")


def on_ec2() -> Platform:
    client: Any = boto3.client("emr", region_name=REGION)
    instances = {"MasterInstanceType": "m5.xlarge", "InstanceCount": 1, "KeepJobFlowAliveWhenNoSteps": True}
    made = client.run_job_flow(
        Name="c", Instances=instances, JobFlowRole="j", ServiceRole="s", ReleaseLabel="emr-6.6.0"
    )
    return EmrOnEc2(JOB, made["JobFlowId"])


@pytest.mark.parametrize("make", [serverless, on_eks, on_ec2])
def test_one_name_is_one_run_with_a_status_and_a_log(make: Callable[[], Platform]) -> None:
    platform = make()
    run = platform.start("nightly-1").run
    assert platform.start("nightly-1") == Started(run, found=True)
    assert platform.start("nightly-2").run != run
    assert platform.status(run).word
    assert run in platform.log(run)
    with pytest.raises(SubmitError, match="not-there"):
        platform.status("not-there")


def test_what_emr_serverless_is_asked_for() -> None:
    platform = serverless()
    run = platform.start("nightly").run
    client: Any = boto3.client("emr-serverless", region_name=REGION)
    application = client.list_applications()["applications"][0]["id"]
    submitted = client.get_job_run(applicationId=application, jobRunId=run)["jobRun"]["jobDriver"]["sparkSubmit"]
    assert submitted["entryPoint"] == "s3://shop/artifacts/1.0/main.py"
    assert submitted["entryPointArguments"] == ["run", "--until", "report"]
    parameters = submitted["sparkSubmitParameters"]
    assert "--conf spark.emr-serverless.driverEnv.TILLSTREAM_X=1" in parameters
    assert "--conf spark.dynamicAllocation.maxExecutors=2" in parameters


def test_a_step_runs_spark_submit_on_the_cluster() -> None:
    platform = on_ec2()
    run = platform.start("nightly").run
    client: Any = boto3.client("emr", region_name=REGION)
    cluster = client.list_clusters()["Clusters"][0]["Id"]
    step = client.describe_step(ClusterId=cluster, StepId=run)["Step"]
    words = step["Config"]["Args"]
    assert words[:3] == ["spark-submit", "--deploy-mode", "cluster"]
    assert "spark.yarn.appMasterEnv.TILLSTREAM_S3_BUCKET=shop" in words
    assert words[-4:] == ["s3://shop/artifacts/1.0/main.py", "run", "--until", "report"]
