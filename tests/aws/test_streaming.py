"""MSK, provisioned and serverless."""

import base64
from dataclasses import replace

from services.common.topics import ALL
from services.provision.plan import planned
from services.provision.settings import TopicSettings
from tests.aws.templates import Installation


def test_brokers_speak_tls_and_iam_only(installation: Installation) -> None:
    cluster = installation.only("AWS::MSK::Cluster")
    assert cluster["NumberOfBrokerNodes"] == 3
    assert cluster["EncryptionInfo"]["EncryptionInTransit"] == {"ClientBroker": "TLS", "InCluster": True}
    assert cluster["ClientAuthentication"] == {
        "Sasl": {"Iam": {"Enabled": True}},
        "Unauthenticated": {"Enabled": False},
    }
    connectivity = cluster["BrokerNodeGroupInfo"]["ConnectivityInfo"]
    assert connectivity["PublicAccess"] == {"Type": "DISABLED"}
    assert connectivity["VpcConnectivity"] == {"ClientAuthentication": {"Sasl": {"Iam": {"Enabled": True}}}}
    assert len(cluster["BrokerNodeGroupInfo"]["ClientSubnets"]) == 3


def test_a_write_is_in_two_of_three_replicas_before_it_is_acknowledged(installation: Installation) -> None:
    properties = installation.only("AWS::MSK::Configuration")["ServerProperties"].splitlines()
    assert {
        "auto.create.topics.enable=false",
        "default.replication.factor=3",
        "min.insync.replicas=2",
        "unclean.leader.election.enable=false",
    } <= set(properties)


def test_topics_are_those_that_provision_would_create(installation: Installation) -> None:
    """A difference would be reported by `python -m services.provision` on every deployment."""
    topics = {each["TopicName"]: each for each in installation.all("AWS::MSK::Topic")}
    assert set(topics) == {topic.name for topic in ALL}
    wanted = planned(TopicSettings(kafka_partitions=12, kafka_replication=3, kafka_retention_hours=168))
    for topic in wanted:
        found = topics[topic.name]
        config = dict(line.split("=") for line in base64.b64decode(found["Configs"]).decode().splitlines())
        assert replace(topic, partitions=found["PartitionCount"], config=config) == topic
        assert config["message.timestamp.type"] == "LogAppendTime"
        assert config["min.insync.replicas"] == "2"
        assert found["ReplicationFactor"] == 3


def test_topics_outlive_their_stack(installation: Installation) -> None:
    assert {each["DeletionPolicy"] for each in installation.resources("AWS::MSK::Topic")} == {"Retain"}


def test_only_firehose_may_connect_from_elsewhere(installation: Installation) -> None:
    (statement,) = installation.only("AWS::MSK::ClusterPolicy")["Policy"]["Statement"]
    assert statement["Principal"] == {"Service": "firehose.amazonaws.com"}
    assert statement["Action"] == "kafka:CreateVpcConnection"


def test_serverless_with_the_archiver_has_no_firehose(serverless: Installation) -> None:
    cluster = serverless.only("AWS::MSK::ServerlessCluster")
    assert cluster["ClientAuthentication"] == {"Sasl": {"Iam": {"Enabled": True}}}
    kinds = {each["Type"] for stack in serverless.stacks.values() for each in stack["Resources"].values()}
    assert not kinds & {"AWS::MSK::Cluster", "AWS::KinesisFirehose::DeliveryStream", "AWS::MSK::ClusterPolicy"}


def test_only_the_services_reach_brokers_and_valkey(installation: Installation) -> None:
    """From the nodes' security group, on these ports; from the VPC's addresses HTTPS to the endpoints."""
    from_groups = {
        (each["FromPort"], each["ToPort"])
        for each in installation.all("AWS::EC2::SecurityGroupIngress")
        if "SourceSecurityGroupId" in each
    }
    assert from_groups == {(9098, 9098), (11001, 11002), (6379, 6379)}
    inline = [
        rule for group in installation.all("AWS::EC2::SecurityGroup") for rule in group.get("SecurityGroupIngress", [])
    ]
    assert {(rule["CidrIp"], rule["FromPort"], rule["ToPort"]) for rule in inline} == {("10.40.0.0/16", 443, 443)}
