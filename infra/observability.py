"""Alarms of the managed services, sent to one topic. What the services report themselves is in monitoring/."""

from collections.abc import Iterator
from dataclasses import dataclass

from aws_cdk import Duration, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_sns as sns

from infra.batch import unstarted_queue
from infra.delivery.stack import name_of_stream
from infra.settings import InfraSettings
from infra.streaming import BROKERS

_ABOVE = cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD
_RUNBOOK = "docs/aws.md#alarms"


@dataclass(frozen=True, slots=True)
class Watch:
    """An alarm: the statistic of a metric over five minutes is above `above`, `periods` times in a row."""

    name: str
    namespace: str
    metric: str
    dimensions: tuple[tuple[str, str], ...]
    above: float
    statistic: str = "Maximum"
    periods: int = 2


def watches(settings: InfraSettings) -> Iterator[Watch]:
    """All alarms of an installation."""
    if settings.archive_by == "firehose":
        yield from _delivery(settings)
    if settings.kafka == "provisioned":
        yield from _brokers(settings)
    yield from _cache(settings)
    queue = (("QueueName", unstarted_queue(settings)),)
    yield Watch("JobNotStarted", "AWS/SQS", "ApproximateNumberOfMessagesVisible", queue, 0, periods=1)


def _delivery(settings: InfraSettings) -> Iterator[Watch]:
    stream = (("DeliveryStreamName", name_of_stream(settings)),)
    yield Watch("ArchiveIsOld", "AWS/Firehose", "DeliveryToS3.DataFreshness", stream, 900)
    yield Watch("RecordsNotTransformed", "Tillstream", "ProcessingFailed", (), 0, "Sum", 1)
    yield Watch("FirehoseThrottled", "AWS/Firehose", "ThrottledRecords", stream, 0, "Sum")


def _brokers(settings: InfraSettings) -> Iterator[Watch]:
    cluster = (("Cluster Name", settings.name),)
    yield Watch("PartitionsOffline", "AWS/Kafka", "OfflinePartitionsCount", cluster, 0, periods=1)
    for broker in range(1, BROKERS + 1):
        each = (*cluster, ("Broker ID", str(broker)))
        yield Watch(f"Broker{broker}UnderReplicated", "AWS/Kafka", "UnderReplicatedPartitions", each, 0, periods=6)
        yield Watch(f"Broker{broker}DiskFills", "AWS/Kafka", "KafkaDataLogsDiskUsed", each, 80)


def _cache(settings: InfraSettings) -> Iterator[Watch]:
    for shard in range(1, settings.cache_shards + 1):
        for member in range(1, settings.cache_replicas + 2):
            node = f"{settings.name}-{shard:04d}-{member:03d}"
            each = (("CacheClusterId", node),)
            name = f"Valkey{shard}{'abcdef'[member - 1]}"
            yield Watch(f"{name}MemoryFills", "AWS/ElastiCache", "DatabaseMemoryUsagePercentage", each, 75)
            yield Watch(f"{name}Busy", "AWS/ElastiCache", "EngineCPUUtilization", each, 80, periods=3)


def build(stack: Stack, settings: InfraSettings, application_id: str) -> None:
    """The topic and the alarms."""
    topic = sns.Topic(stack, "Alarms", topic_name=f"{settings.name}-alarms", enforce_ssl=True)
    if settings.alarm_email:
        sns.Subscription(
            stack, "Email", topic=topic, protocol=sns.SubscriptionProtocol.EMAIL, endpoint=settings.alarm_email
        )
    for watch in watches(settings):
        _alarm(stack, watch).add_alarm_action(actions.SnsAction(topic))
    failed = events.EventPattern(
        source=["aws.emr-serverless"],
        detail_type=["EMR Serverless Job Run State Change"],
        detail={"applicationId": [application_id], "state": ["FAILED"]},
    )
    events.Rule(stack, "JobFailed", event_pattern=failed, targets=[targets.SnsTopic(topic)])


def _alarm(stack: Stack, watch: Watch) -> cloudwatch.Alarm:
    metric = cloudwatch.Metric(
        namespace=watch.namespace,
        metric_name=watch.metric,
        dimensions_map=dict(watch.dimensions),
        statistic=watch.statistic,
        period=Duration.minutes(5),
    )
    return cloudwatch.Alarm(
        stack,
        watch.name,
        alarm_description=f"{watch.name}: see {_RUNBOOK}",
        metric=metric,
        threshold=watch.above,
        comparison_operator=_ABOVE,
        evaluation_periods=watch.periods,
        treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
    )
