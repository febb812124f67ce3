"""The bucket of archive, figures and models, and a bucket for the log of who read it."""

from aws_cdk import Duration, RemovalPolicy, Stack
from aws_cdk import aws_s3 as s3

from infra.settings import InfraSettings


def build(stack: Stack, settings: InfraSettings) -> s3.Bucket:
    """The buckets. They stay when the stack is deleted: the archive is the source of everything."""
    access_log = _bucket(
        stack,
        "AccessLog",
        f"{settings.bucket}-access",
        lifecycle_rules=[s3.LifecycleRule(expiration=Duration.days(90)), _unfinished()],
    )
    return _bucket(
        stack,
        "Shop",
        settings.bucket,
        versioned=True,
        server_access_logs_bucket=access_log,
        server_access_logs_prefix="shop/",
        lifecycle_rules=[
            _unfinished(),
            # The earlier pointers to a model, and what was deleted by mistake.
            s3.LifecycleRule(
                noncurrent_version_expiration=Duration.days(30),
                expired_object_delete_marker=True,
                id="earlier-versions",
            ),
            s3.LifecycleRule(prefix="checkpoints/", expiration=Duration.days(7), id="checkpoints"),
        ],
    )


def _unfinished() -> s3.LifecycleRule:
    return s3.LifecycleRule(abort_incomplete_multipart_upload_after=Duration.days(3), id="unfinished-uploads")


def _bucket(stack: Stack, name: str, bucket_name: str, **options: object) -> s3.Bucket:
    return s3.Bucket(
        stack,
        name,
        bucket_name=bucket_name,
        encryption=s3.BucketEncryption.S3_MANAGED,
        block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
        object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
        enforce_ssl=True,
        minimum_tls_version=1.2,
        removal_policy=RemovalPolicy.RETAIN,
        **options,
    )
