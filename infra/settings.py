"""Settings of the resources on AWS. Every field is set by `TILLSTREAM_INFRA_<FIELD>`."""

from ipaddress import IPv4Network
from typing import Literal

from pydantic import AliasChoices, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

_PREFIX = "TILLSTREAM_INFRA_"


class InfraSettings(BaseSettings):
    """One installation: one account, one region, everything named after `name`."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, frozen=True, populate_by_name=True)

    # The CDK command line sets the second one from the credentials in use.
    account: str = Field(pattern=r"^\d{12}$", validation_alias=AliasChoices(f"{_PREFIX}ACCOUNT", "CDK_DEFAULT_ACCOUNT"))
    region: str = Field(default="eu-central-1", pattern=r"^[a-z]{2}(-[a-z]+)+-\d$")
    name: str = Field(default="tillstream", pattern=r"^[a-z][a-z0-9-]{1,20}$")
    zones: str = Field(default="abc", pattern="^[a-f]{3}$", description="letters of three availability zones")
    vpc_cidr: IPv4Network = IPv4Network("10.40.0.0/16")
    alarm_email: str = Field(default="", description="who is sent alarms; empty: subscribe to the topic yourself")

    kafka: Literal["provisioned", "serverless"] = "provisioned"
    # A new cluster cannot have the connection that Firehose needs: create it with `archiver`, then change this.
    archive_by: Literal["firehose", "archiver"] = "firehose"
    kafka_version: str = "3.9.x"
    broker_type: str = "kafka.m7g.large"
    broker_volume_gib: int = Field(default=100, ge=1, le=16384)
    partitions: int = Field(default=12, ge=1)
    retention_hours: int = Field(default=168, ge=1)

    cache_node_type: str = "cache.r7g.large"
    cache_shards: int = Field(default=3, ge=1, le=90)
    cache_replicas: int = Field(default=1, ge=1, le=5)

    kubernetes_version: str = Field(default="1.34", pattern=r"^1\.\d+$")
    node_type: str = "m7i.large"  # the images are for x86-64
    nodes: int = Field(default=3, ge=1)
    nodes_max: int = Field(default=6, ge=1)
    admin_role_arn: str = Field(default="", description="the IAM role that administers Kubernetes")
    admin_cidrs: str = Field(default="", description="addresses, comma separated, that reach its API from outside")

    emr_release: str = "emr-spark-8.1.0"
    job_version: str = Field(default="0.2.0", description="folder of the job's files below artifacts/")
    job_max_vcpu: int = Field(default=16, ge=2)
    job_schedule: str = Field(default="cron(15 3 * * ? *)", description="EventBridge Scheduler's notation, in UTC")
    job_enabled: bool = True

    @property
    def bucket(self) -> str:
        """The bucket of archive, figures and models. Names of buckets are global."""
        return f"{self.name}-{self.account}-{self.region}"

    @property
    def availability_zones(self) -> list[str]:
        """The three zones in use."""
        return [self.region + letter for letter in self.zones]

    @property
    def admin_networks(self) -> list[str]:
        """The addresses that may reach Kubernetes from outside the VPC; none: its API is private."""
        return [cidr.strip() for cidr in self.admin_cidrs.split(",") if cidr.strip()]

    def arn(self, service: str) -> str:
        """What the ARNs of a service's resources in this account and region begin with."""
        return f"arn:aws:{service}:{self.region}:{self.account}"
