"""Settings of `python -m spark.submit`. Every field is set by `TILLSTREAM_<FIELD>`."""

from pathlib import Path

from pydantic import Field

from services.common.settings import S3Settings
from services.common.version import running_version
from spark.settings import STATE


class SubmitSettings(S3Settings):
    """Where the job's files are, and which application, cluster or namespace runs it."""

    job_version: str = Field(
        default_factory=lambda: running_version().number,
        pattern=r"^[\w.+-]{1,64}$",
        description="folder of the job's files below artifacts/",
    )
    job_folder: Path = Field(default=STATE / "aws" / "job", description="where they are packed")
    job_max_vcpu: int = Field(default=16, ge=2, description="of driver and executors together")
    job_timeout_minutes: int = Field(default=360, ge=5)

    emr_role_arn: str = Field(default="", description="the role that the job runs as")
    emr_application_id: str = Field(default="", description="of EMR Serverless")
    emr_virtual_cluster_id: str = Field(default="", description="of EMR on EKS")
    emr_release: str = Field(default="", description="of EMR on EKS, e.g. emr-7.14.0-latest")
    emr_cluster_id: str = Field(default="", description="of EMR on EC2")

    kubectl: str = "kubectl"
    kubernetes_namespace: str = "tillstream"
    spark_dir: Path = STATE / "spark"
