"""ECR repositories of the images that run on EKS."""

from aws_cdk import Duration, RemovalPolicy, Stack
from aws_cdk import aws_ecr as ecr

NAMES = ("aggregator", "archiver", "gateway", "producer", "recommender", "spark")


def build(stack: Stack) -> None:
    """One repository an image. A tag is never moved; untagged images are deleted after 30 days."""
    for name in NAMES:
        ecr.Repository(
            stack,
            name.title(),
            repository_name=f"tillstream/{name}",
            image_tag_mutability=ecr.TagMutability.IMMUTABLE,
            image_scan_on_push=True,
            lifecycle_rules=[ecr.LifecycleRule(tag_status=ecr.TagStatus.UNTAGGED, max_image_age=Duration.days(30))],
            removal_policy=RemovalPolicy.DESTROY,
            empty_on_delete=True,
        )
