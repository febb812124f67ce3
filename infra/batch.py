"""The batch job on EMR Serverless, and the schedule that starts it once a day."""

from typing import Any

from aws_cdk import Duration, Stack
from aws_cdk import aws_emrserverless as emr
from aws_cdk import aws_iam as iam
from aws_cdk import aws_scheduler as scheduler
from aws_cdk import aws_sqs as sqs

from infra.policies import service_role
from infra.rights import GET, Resources, Right, of_job
from infra.settings import InfraSettings
from spark.submit.job_definition import SERVERLESS_DRIVER, JobDefinition

_GIB_A_VCPU = 8
_JOB_MINUTES = 360
_RETRIES = 2  # of starting it; by default Scheduler tries 185 times


def build(stack: Stack, settings: InfraSettings, resources: Resources) -> str:
    """The application, which costs nothing while no job runs, and its schedule; returns the application's id."""
    application = emr.CfnApplication(
        stack,
        "Application",
        name=settings.name,
        type="Spark",
        release_label=settings.emr_release,
        auto_start_configuration=emr.CfnApplication.AutoStartConfigurationProperty(enabled=True),
        auto_stop_configuration=emr.CfnApplication.AutoStopConfigurationProperty(enabled=True, idle_timeout_minutes=1),
        maximum_capacity=emr.CfnApplication.MaximumAllowedResourcesProperty(
            cpu=f"{settings.job_max_vcpu} vCPU", memory=f"{settings.job_max_vcpu * _GIB_A_VCPU} GB"
        ),
    )
    reads_files = resources.objects(GET, "artifacts/*")
    job_role = service_role(stack, "JobRole", "emr-serverless.amazonaws.com", [*of_job(resources), reads_files])
    _schedule(stack, settings, application, job_role)
    return application.attr_application_id


def _schedule(stack: Stack, settings: InfraSettings, application: emr.CfnApplication, job_role: iam.Role) -> None:
    unstarted = sqs.Queue(
        stack,
        "Unstarted",
        queue_name=unstarted_queue(settings),
        retention_period=Duration.days(14),
        encryption=sqs.QueueEncryption.SQS_MANAGED,
        enforce_ssl=True,
    )
    rights = [
        Right(("emr-serverless:StartJobRun",), (application.attr_arn,)),
        Right(("iam:PassRole",), (job_role.role_arn,)),
        Right(("sqs:SendMessage",), (unstarted.queue_arn,)),
    ]
    role = service_role(stack, "ScheduleRole", "scheduler.amazonaws.com", rights, settings.account)
    scheduler.CfnSchedule(
        stack,
        "Schedule",
        name=f"{settings.name}-batch",
        state="ENABLED" if settings.job_enabled else "DISABLED",
        schedule_expression=settings.job_schedule,
        schedule_expression_timezone="UTC",
        flexible_time_window=scheduler.CfnSchedule.FlexibleTimeWindowProperty(mode="OFF"),
        target=scheduler.CfnSchedule.TargetProperty(
            arn="arn:aws:scheduler:::aws-sdk:emrserverless:startJobRun",
            role_arn=role.role_arn,
            input=stack.to_json_string(job_run(settings, application.attr_application_id, job_role.role_arn)),
            dead_letter_config=scheduler.CfnSchedule.DeadLetterConfigProperty(arn=unstarted.queue_arn),
            retry_policy=scheduler.CfnSchedule.RetryPolicyProperty(
                maximum_retry_attempts=_RETRIES, maximum_event_age_in_seconds=3600
            ),
        ),
    )


def unstarted_queue(settings: InfraSettings) -> str:
    """The queue of starts that failed."""
    return f"{settings.name}-batch-unstarted"


def job_run(settings: InfraSettings, application_id: str, role_arn: str) -> dict[str, Any]:
    """The request StartJobRun. The token is of the schedule's execution: a repeated one starts no second job."""
    job = job_definition(settings)
    return {
        "ApplicationId": application_id,
        "ClientToken": "<aws.scheduler.execution-id>",
        "ExecutionRoleArn": role_arn,
        "ExecutionTimeoutMinutes": _JOB_MINUTES,
        "Name": "batch",
        "JobDriver": {
            "SparkSubmit": {
                "EntryPoint": job.entry_point,
                "EntryPointArguments": list(job.arguments),
                "SparkSubmitParameters": job.parameters(SERVERLESS_DRIVER),
            }
        },
    }


def job_definition(settings: InfraSettings) -> JobDefinition:
    """The job: its files in S3, and its settings."""
    return JobDefinition(
        files=f"s3://{settings.bucket}/artifacts/{settings.job_version}",
        bucket=settings.bucket,
        region=settings.region,
        max_vcpu=settings.job_max_vcpu,
    )
