"""The app: its stacks, in the order in which they are deployed."""

from pathlib import Path

from aws_cdk import App, Environment, Stack, Tags

from infra import batch, cache, cluster, identities, images, network, observability, storage, streaming
from infra.delivery import stack as delivery
from infra.rights import Resources, of_archiver, of_services
from infra.settings import InfraSettings

_CONTEXT = {
    # Access logs by a bucket policy: buckets whose owner is enforced have no ACLs.
    "@aws-cdk/aws-s3:serverAccessLogsUseBucketPolicy": True,
    # What CloudFormation's schemas forbid is an error, not a warning.
    "@aws-cdk/core:validateAgainstDefaultRules": True,
}


def build(settings: InfraSettings, function_package: Path, out: Path | None = None) -> App:
    """The app with all stacks. `function_package`: the code of the transformation function; `out`: cdk.out."""
    app = App(
        outdir=str(out) if out else None,
        analytics_reporting=False,
        auto_synth=False,
        stack_traces=False,
        tree_metadata=False,
        context=_CONTEXT,
    )
    stacks = _Stacks(app, settings)
    bucket = stacks.add("Storage", protected=True)
    storage.build(bucket, settings)
    vpc = network.build(stacks.add("Network"), settings)
    stream = streaming.build(stacks.add("Streaming", protected=True), settings, vpc)
    resources = Resources(stream.kafka, settings.bucket)
    if settings.archive_by == "firehose":
        archive = stacks.add("Delivery")
        archive.add_stack_dependency(bucket)
        delivery.build(archive, settings, stream, function_package)
    application_id = batch.build(stacks.add("Batch"), settings, resources)
    cache.build(stacks.add("Cache"), settings, vpc)
    images.build(stacks.add("Images"))
    kubernetes = stacks.add("Cluster")
    eks = cluster.build(kubernetes, settings, vpc)
    rights = dict(of_services(resources))
    if settings.archive_by == "archiver":
        rights["archiver"] = of_archiver(resources)
    identities.build(stacks.add("Identities"), eks, rights)
    observability.build(stacks.add("Observability"), settings, application_id)
    return app


def stack_name(settings: InfraSettings, name: str) -> str:
    """The name of a stack in an account."""
    return settings.name.title() + name


class _Stacks:
    """Makes stacks of one account and region, with names and tags of the installation."""

    def __init__(self, app: App, settings: InfraSettings) -> None:
        self._app = app
        self._settings = settings
        self._environment = Environment(account=settings.account, region=settings.region)
        Tags.of(app).add("installation", settings.name)

    def add(self, name: str, protected: bool = False) -> Stack:
        """A stack. A protected one is deleted only after its protection was switched off."""
        full_name = stack_name(self._settings, name)
        return Stack(self._app, full_name, env=self._environment, termination_protection=protected)
