"""The platform that `--to` names, ready to start the job: EMR's have its files in the bucket."""

from collections.abc import Callable, Mapping

from services.common.object_store import s3_client
from spark.submit.emr_on_ec2 import EmrOnEc2
from spark.submit.emr_on_eks import EmrOnEks
from spark.submit.emr_serverless import EmrServerless
from spark.submit.job_definition import JobDefinition
from spark.submit.kubernetes import Kubernetes
from spark.submit.local import Local
from spark.submit.runs import Platform, SubmitError
from spark.submit.settings import SubmitSettings
from spark.submit.upload import Upload

_NEEDED = {
    "local": (),
    "k8s": (),
    "emr-serverless": ("emr_application_id", "emr_role_arn"),
    "emr-eks": ("emr_virtual_cluster_id", "emr_role_arn", "emr_release"),
    "emr-ec2": ("emr_cluster_id",),
}
PLATFORMS = tuple(_NEEDED)


def platform(
    to: str,
    settings: SubmitSettings,
    arguments: tuple[str, ...],
    environment: Mapping[str, str],
) -> Platform:
    """The platform of this name. Raises SubmitError where a setting that it needs is missing."""
    missing = [name for name in _NEEDED[to] if not getattr(settings, name)]
    if missing:
        raise SubmitError(f"--to {to} needs {', '.join(f'TILLSTREAM_{name.upper()}' for name in missing)}")
    if to == "local":
        return Local(arguments, environment, settings.spark_dir)
    if to == "k8s":
        if len(arguments) > 1 or environment:
            raise SubmitError("--to k8s runs the CronJob as it is: change its settings in the kustomization")
        return Kubernetes(settings.kubectl, settings.kubernetes_namespace)
    job = JobDefinition(
        files=upload_to(settings).uri,
        bucket=settings.s3_bucket,
        region=settings.aws_region,
        arguments=arguments,
        max_vcpu=settings.job_max_vcpu,
        environment=environment,
    )
    if to == "emr-serverless":
        return EmrServerless(job, settings.emr_application_id, settings.emr_role_arn, settings.job_timeout_minutes)
    if to == "emr-eks":
        return EmrOnEks(job, settings.emr_virtual_cluster_id, settings.emr_role_arn, settings.emr_release)
    return EmrOnEc2(job, settings.emr_cluster_id)


def upload_files(to: str, settings: SubmitSettings, say: Callable[[str], None]) -> None:
    """Pack the job, and upload what EMR needs and does not have. Raises SubmitError."""
    if not to.startswith("emr-"):
        return
    upload = upload_to(settings)
    say(f"packing the job, uploading to {upload.uri}")
    done = upload.put(settings.job_folder)
    say(f"uploaded {', '.join(done)}" if done else "everything is there already")


def upload_to(settings: SubmitSettings) -> Upload:
    """The folder of the job's files."""
    return Upload(s3_client(settings), settings.s3_bucket, settings.job_version)
