"""Valkey on ElastiCache for the live tables: a cluster with TLS and one user."""

from aws_cdk import RemovalPolicy, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_elasticache as elasticache
from aws_cdk import aws_secretsmanager as secrets

from infra.network import Network, admit
from infra.rights import VALKEY_ACCESS
from infra.settings import InfraSettings

PORT = 6379


def build(stack: Stack, settings: InfraSettings, network: Network) -> None:
    """The cluster. It refuses writes where its memory is full, since evicted keys would falsify figures."""
    group = ec2.SecurityGroup(stack, "Valkey", vpc=network.vpc, description="Members of the Valkey cluster")
    admit(group, network, range(PORT, PORT + 1), "Valkey with TLS")
    subnets = elasticache.CfnSubnetGroup(
        stack,
        "Subnets",
        cache_subnet_group_name=settings.name,
        description="Zones of the live tables",
        subnet_ids=network.subnets,
    )
    parameters = elasticache.CfnParameterGroup(
        stack,
        "Parameters",
        cache_parameter_group_family="valkey8",
        description="A cluster that never evicts",
        properties={"cluster-enabled": "yes", "maxmemory-policy": "noeviction"},
    )
    users = _users(stack, settings)
    cluster = elasticache.CfnReplicationGroup(
        stack,
        "Cluster",
        replication_group_id=settings.name,
        replication_group_description="Live tables of Tillstream",
        engine="valkey",
        engine_version="8.1",
        cache_node_type=settings.cache_node_type,
        cache_parameter_group_name=parameters.ref,
        cache_subnet_group_name=subnets.cache_subnet_group_name,
        security_group_ids=[group.security_group_id],
        port=PORT,
        num_node_groups=settings.cache_shards,
        replicas_per_node_group=settings.cache_replicas,
        automatic_failover_enabled=True,
        multi_az_enabled=True,
        at_rest_encryption_enabled=True,
        transit_encryption_enabled=True,
        transit_encryption_mode="required",
        user_group_ids=[users.user_group_id],
        snapshot_retention_limit=1,
    )
    cluster.add_resource_dependency(subnets)
    cluster.add_resource_dependency(users)


def _users(stack: Stack, settings: InfraSettings) -> elasticache.CfnUserGroup:
    password = secrets.Secret(
        stack,
        "Password",
        secret_name=f"{settings.name}/valkey",
        description="Password of the services' user in Valkey",
        generate_secret_string=secrets.SecretStringGenerator(password_length=64, exclude_punctuation=True),
        removal_policy=RemovalPolicy.DESTROY,
    )
    user = elasticache.CfnUser(
        stack,
        "Services",
        engine="valkey",
        user_id=f"{settings.name}-services",
        user_name="services",
        access_string=VALKEY_ACCESS,
        passwords=[password.secret_value.unsafe_unwrap()],  # a reference: the password is in no template
    )
    users = elasticache.CfnUserGroup(
        stack, "Users", engine="valkey", user_group_id=settings.name, user_ids=[user.user_id]
    )
    users.add_resource_dependency(user)
    return users
