"""cdk-nag's rules (AWS Solutions) on all stacks, and the exceptions with their reasons."""

import json
from collections.abc import Iterator

from aws_cdk import Acknowledgment, App, Validations
from cdk_nag import AwsSolutionsChecks

from infra.app import stack_name
from infra.settings import InfraSettings

# Whoever may read or write objects names their prefix; who may do what is in docs/aws-permissions.md.
_PREFIXES = (
    "artifacts",
    "audit",
    "checkpoints",
    "curated",
    "models/als",
    "raw-errors/purchases",
    "raw/purchases",
    "reports",
    "reports/gate",
    "reports/live",
    "reports/reconciliation",
)
_POLICIES = (
    "AmazonEC2ContainerRegistryPullOnly",
    "AmazonEKSClusterPolicy",
    "AmazonEKSWorkerNodePolicy",
    "AmazonEKS_CNI_Policy",
)
# How cdk-nag writes the path of the MSK cluster, which another stack exports.
_EXPORT = "ExportsOutputFnGetAttClusterArn99ADC620"


def check(app: App, settings: InfraSettings) -> None:
    """Check the app while it is synthesized, which fails on a finding that is not listed here."""
    validations = Validations.of(app)
    validations.add_plugins(AwsSolutionsChecks(app))
    for finding, reason in exceptions(settings):
        validations.acknowledge(Acknowledgment(id=f"AwsSolutions::AwsSolutions-{finding}", reason=reason))


def exceptions(settings: InfraSettings) -> Iterator[tuple[str, str]]:
    """Findings that stay, and why."""
    for prefix in _PREFIXES:
        yield f"IAM5[Resource::arn:aws:s3:::{settings.bucket}/{prefix}/*]", "objects below one prefix"
    streams = f"{settings.arn('logs')}:log-group:<FunctionLog05E39BEF>:log-stream:*"
    yield f"IAM5[Resource::{streams}]", "Lambda names the streams of the function's own log group"
    group = f"{settings.arn('kafka')}:group/{_cluster_path(settings)}/*"
    yield f"IAM5[Resource::{group}]", "Firehose names its consumer group itself, and may only describe it"
    for policy in _POLICIES:
        yield (
            f"IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/{policy}]",
            "what EKS needs of its cluster and nodes changes with EKS; AWS maintains these policies for that",
        )
    if settings.admin_networks:
        yield "EKS1", "open to the given addresses only, and to who authenticates by IAM"
    yield "KDF1", "its source is MSK: there is no copy to encrypt between MSK and the encrypted bucket"
    yield "SQS3", "it is the dead-letter queue of the schedule, which the rule does not see"
    yield "SMG4", "pods read the password from a Secret of Kubernetes: both change together, by docs/aws.md"
    yield "AEC6", "the cluster has users with passwords instead of the one password that AUTH means"


def _cluster_path(settings: InfraSettings) -> str:
    imported = {"Fn::ImportValue": f"{stack_name(settings, 'Streaming')}:{_EXPORT}"}
    return json.dumps({"Fn::Select": [1, {"Fn::Split": [":cluster/", imported]}]}, separators=(",", ":"))
