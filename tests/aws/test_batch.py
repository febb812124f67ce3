"""The batch job's application and schedule."""

import json
import shlex
from typing import Any

import boto3
import pytest
from botocore.validate import ParamValidator

from infra.permissions import Texts
from spark.settings import JobSettings
from spark.submit.packing import job_files
from tests.aws.templates import Installation

BUCKET = "tillstream-111122223333-eu-central-1"


@pytest.fixture(scope="module")
def start(installation: Installation) -> dict[str, Any]:
    """The request that Scheduler sends, with a value in place of each resource's."""
    target = installation.only("AWS::Scheduler::Schedule")["Target"]
    parsed: dict[str, Any] = json.loads(Texts(installation.stacks).of("TillstreamBatch", target["Input"]))
    return parsed


def conf(start: dict[str, Any]) -> dict[str, str]:
    words = shlex.split(start["JobDriver"]["SparkSubmit"]["SparkSubmitParameters"])
    assert set(words[::2]) == {"--conf"}
    return dict(word.split("=", 1) for word in words[1::2])


def camel(value: Any) -> Any:
    """Scheduler's names as those of the API: it has a capital first letter only."""
    if isinstance(value, dict):
        return {name[0].lower() + name[1:]: camel(each) for name, each in value.items()}
    return value


def test_the_request_is_one_that_emr_serverless_knows(start: dict[str, Any]) -> None:
    client = boto3.client("emr-serverless", region_name="eu-central-1")
    shape = client.meta.service_model.operation_model("StartJobRun").input_shape
    role = {"executionRoleArn": "arn:aws:iam::111122223333:role/job"}
    report = ParamValidator().validate({**camel(start), **role}, shape)
    assert not report.has_errors(), report.generate_report()


def test_a_repeated_start_starts_no_second_job(installation: Installation, start: dict[str, Any]) -> None:
    assert start["ClientToken"] == "<aws.scheduler.execution-id>"
    target = installation.only("AWS::Scheduler::Schedule")["Target"]
    assert target["Arn"] == "arn:aws:scheduler:::aws-sdk:emrserverless:startJobRun"
    assert target["RetryPolicy"]["MaximumRetryAttempts"] == 2  # 185 by default
    assert "Arn" in target["DeadLetterConfig"]


def test_driver_and_executors_use_the_packed_python_and_code(start: dict[str, Any]) -> None:
    given = conf(start)
    archives = given["spark.archives"].split(",")
    folder = f"s3://{BUCKET}/artifacts/0.2.0"
    assert archives == [f"{folder}/environment.tar.gz#environment", f"{folder}/tillstream.tar.gz#tillstream"]
    assert start["JobDriver"]["SparkSubmit"]["EntryPoint"] == f"{folder}/main.py"
    driver = {name.rpartition(".")[2]: value for name, value in given.items() if ".driverEnv." in name}
    assert driver["PYSPARK_DRIVER_PYTHON"] == driver["PYSPARK_PYTHON"] == given["spark.executorEnv.PYSPARK_PYTHON"]
    assert driver["PYTHONPATH"] == given["spark.executorEnv.PYTHONPATH"] == "./tillstream"
    names = {path.as_posix() for path in job_files()}
    assert {"spark/__main__.py", "recsys/evaluation/html_report.css", "services/common/events.py"} <= names


def test_the_jobs_settings_are_settings_of_the_job(start: dict[str, Any]) -> None:
    prefix = "spark.emr-serverless.driverEnv.TILLSTREAM_"
    given = {name.removeprefix(prefix).lower(): value for name, value in conf(start).items() if name.startswith(prefix)}
    assert given == {"aws_region": "eu-central-1", "s3_bucket": BUCKET, "spark_master": ""}
    assert set(given) <= set(JobSettings.model_fields)


def test_the_application_costs_nothing_while_no_job_runs(installation: Installation) -> None:
    application = installation.only("AWS::EMRServerless::Application")
    assert "InitialCapacity" not in application
    assert application["AutoStopConfiguration"] == {"Enabled": True, "IdleTimeoutMinutes": 1}
    assert application["MaximumCapacity"]["Cpu"] == "16 vCPU"


def test_a_schedule_can_be_off(installation: Installation, serverless: Installation) -> None:
    assert installation.only("AWS::Scheduler::Schedule")["State"] == "ENABLED"
    assert serverless.only("AWS::Scheduler::Schedule")["State"] == "DISABLED"
