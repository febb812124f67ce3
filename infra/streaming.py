"""The MSK cluster with its topics, provisioned or serverless (docs/adr/0093)."""

import base64
from dataclasses import dataclass

from aws_cdk import Fn, RemovalPolicy, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_logs as logs
from aws_cdk import aws_msk as msk

from infra.network import Network, admit
from infra.rights import KafkaArns
from infra.settings import InfraSettings
from services.common.topics import Topic
from services.provision.plan import planned
from services.provision.settings import TopicSettings

BROKERS = 3
IAM_PORT = 9098
_EXPORTERS = range(11001, 11003)  # Prometheus metrics of the brokers and of their machines

_PROPERTIES = """\
auto.create.topics.enable=false
default.replication.factor=3
min.insync.replicas=2
unclean.leader.election.enable=false
offsets.topic.replication.factor=3
transaction.state.log.replication.factor=3
transaction.state.log.min.isr=2
"""


@dataclass(frozen=True, slots=True)
class Streaming:
    """The cluster and what ARNs of its topics begin with."""

    cluster_arn: str
    kafka: KafkaArns


def build(stack: Stack, settings: InfraSettings, network: Network) -> Streaming:
    """The cluster. IAM is the only way to authenticate, TLS the only way to connect."""
    group = ec2.SecurityGroup(stack, "Kafka", vpc=network.vpc, description="Brokers of the stream")
    admit(group, network, range(IAM_PORT, IAM_PORT + 1), "Kafka with IAM")
    if settings.kafka == "serverless":
        cluster_arn = _serverless(stack, settings, network, group)
    else:
        admit(group, network, _EXPORTERS, "Prometheus")
        cluster_arn = _provisioned(stack, settings, network, group)
    path = Fn.select(1, Fn.split(":cluster/", cluster_arn))
    if settings.archive_by == "firehose":
        _let_firehose_connect(stack, cluster_arn)
    return Streaming(cluster_arn, KafkaArns(settings.arn("kafka"), path))


def topics(settings: InfraSettings) -> list[Topic]:
    """The topics as `python -m services.provision` creates them with three brokers."""
    plan = TopicSettings(
        kafka_partitions=settings.partitions,
        kafka_replication=BROKERS,
        kafka_retention_hours=settings.retention_hours,
        kafka_retention_bytes=None,
    )
    return planned(plan)


def _serverless(stack: Stack, settings: InfraSettings, network: Network, group: ec2.SecurityGroup) -> str:
    """A serverless cluster. CloudFormation cannot create its topics: the provision job does."""
    iam = msk.CfnServerlessCluster.IamProperty(enabled=True)
    cluster = msk.CfnServerlessCluster(
        stack,
        "Cluster",
        cluster_name=settings.name,
        client_authentication=msk.CfnServerlessCluster.ClientAuthenticationProperty(
            sasl=msk.CfnServerlessCluster.SaslProperty(iam=iam)
        ),
        vpc_configs=[
            msk.CfnServerlessCluster.VpcConfigProperty(
                subnet_ids=network.subnets, security_groups=[group.security_group_id]
            )
        ],
    )
    return cluster.attr_arn


def _provisioned(stack: Stack, settings: InfraSettings, network: Network, group: ec2.SecurityGroup) -> str:
    configuration = msk.CfnConfiguration(stack, "Configuration", name=settings.name, server_properties=_PROPERTIES)
    log_group = logs.LogGroup(
        stack, "BrokerLog", retention=logs.RetentionDays.ONE_MONTH, removal_policy=RemovalPolicy.DESTROY
    )
    cluster = msk.CfnCluster(
        stack,
        "Cluster",
        cluster_name=settings.name,
        kafka_version=settings.kafka_version,
        number_of_broker_nodes=BROKERS,
        broker_node_group_info=_brokers(settings, network, group),
        client_authentication=_iam_only(),
        configuration_info=msk.CfnCluster.ConfigurationInfoProperty(
            arn=configuration.attr_arn, revision=configuration.attr_latest_revision_revision
        ),
        encryption_info=msk.CfnCluster.EncryptionInfoProperty(
            encryption_in_transit=msk.CfnCluster.EncryptionInTransitProperty(client_broker="TLS", in_cluster=True)
        ),
        enhanced_monitoring="PER_BROKER",
        logging_info=_log_to(log_group),
        open_monitoring=_exporters(),
    )
    for topic in topics(settings):
        _topic(stack, cluster, topic)
    return cluster.attr_arn


def _brokers(settings: InfraSettings, network: Network, group: ec2.SecurityGroup) -> object:
    volume = msk.CfnCluster.EBSStorageInfoProperty(volume_size=settings.broker_volume_gib)
    return msk.CfnCluster.BrokerNodeGroupInfoProperty(
        instance_type=settings.broker_type,
        client_subnets=network.subnets,
        security_groups=[group.security_group_id],
        storage_info=msk.CfnCluster.StorageInfoProperty(ebs_storage_info=volume),
        connectivity_info=_connectivity(settings),
    )


def _connectivity(settings: InfraSettings) -> object:
    """Nothing public; over PrivateLink where Firehose reads."""
    by_iam = msk.CfnCluster.VpcConnectivityIamProperty(enabled=True)
    private_link = msk.CfnCluster.VpcConnectivityProperty(
        client_authentication=msk.CfnCluster.VpcConnectivityClientAuthenticationProperty(
            sasl=msk.CfnCluster.VpcConnectivitySaslProperty(iam=by_iam)
        )
    )
    return msk.CfnCluster.ConnectivityInfoProperty(
        public_access=msk.CfnCluster.PublicAccessProperty(type="DISABLED"),
        vpc_connectivity=private_link if settings.archive_by == "firehose" else None,
    )


def _iam_only() -> object:
    return msk.CfnCluster.ClientAuthenticationProperty(
        sasl=msk.CfnCluster.SaslProperty(iam=msk.CfnCluster.IamProperty(enabled=True)),
        unauthenticated=msk.CfnCluster.UnauthenticatedProperty(enabled=False),
    )


def _log_to(log_group: logs.LogGroup) -> object:
    destination = msk.CfnCluster.CloudWatchLogsProperty(enabled=True, log_group=log_group.log_group_name)
    return msk.CfnCluster.LoggingInfoProperty(
        broker_logs=msk.CfnCluster.BrokerLogsProperty(cloud_watch_logs=destination)
    )


def _exporters() -> object:
    return msk.CfnCluster.OpenMonitoringProperty(
        prometheus=msk.CfnCluster.PrometheusProperty(
            jmx_exporter=msk.CfnCluster.JmxExporterProperty(enabled_in_broker=True),
            node_exporter=msk.CfnCluster.NodeExporterProperty(enabled_in_broker=True),
        )
    )


def _topic(stack: Stack, cluster: msk.CfnCluster, topic: Topic) -> None:
    lines = "".join(f"{name}={value}\n" for name, value in sorted(topic.config.items()))
    resource = msk.CfnTopic(
        stack,
        "Topic" + topic.name.title().replace(".", ""),
        cluster_arn=cluster.attr_arn,
        topic_name=topic.name,
        partition_count=topic.partitions,
        replication_factor=BROKERS,
        configs=base64.b64encode(lines.encode()).decode(),
    )
    resource.apply_removal_policy(RemovalPolicy.RETAIN)


def _let_firehose_connect(stack: Stack, cluster_arn: str) -> None:
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "firehose.amazonaws.com"},
        "Action": "kafka:CreateVpcConnection",
        "Resource": cluster_arn,
    }
    msk.CfnClusterPolicy(
        stack, "ClusterPolicy", cluster_arn=cluster_arn, policy={"Version": "2012-10-17", "Statement": [statement]}
    )
