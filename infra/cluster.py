"""EKS: a cluster with a private API, nodes in isolated subnets, and the add-ons that the manifests need."""

import json

from aws_cdk import Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_eks as eks
from aws_cdk import aws_iam as iam

from infra.network import Network
from infra.settings import InfraSettings

_ADMIN_POLICY = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"
_NODE_VOLUME_GIB = 50
_LOGS = ("api", "audit", "authenticator", "controllerManager", "scheduler")
# Before the nodes: a node without a network is not ready. The others run on nodes.
_ADDONS_OF_NODES = ("vpc-cni", "kube-proxy", "eks-pod-identity-agent")
_ADDONS_ON_NODES = ("coredns", "metrics-server")


def build(stack: Stack, settings: InfraSettings, network: Network) -> eks.CfnCluster:
    """The cluster with nodes and add-ons."""
    cluster = _cluster(stack, settings, network)
    first = [_addon(stack, cluster, name) for name in _ADDONS_OF_NODES]
    nodes = _nodes(stack, settings, network, cluster)
    for addon in first:
        nodes.add_resource_dependency(addon)
    for name in _ADDONS_ON_NODES:
        _addon(stack, cluster, name).add_resource_dependency(nodes)
    if settings.admin_role_arn:
        _administrator(stack, cluster, settings.admin_role_arn)
    return cluster


def _cluster(stack: Stack, settings: InfraSettings, network: Network) -> eks.CfnCluster:
    role = _aws_role(stack, "ClusterRole", "eks.amazonaws.com", "AmazonEKSClusterPolicy")
    outside = settings.admin_networks
    kinds = [eks.CfnCluster.LoggingTypeConfigProperty(type=kind) for kind in _LOGS]
    return eks.CfnCluster(
        stack,
        "Cluster",
        name=settings.name,
        version=settings.kubernetes_version,
        role_arn=role.role_arn,
        bootstrap_self_managed_addons=False,
        access_config=eks.CfnCluster.AccessConfigProperty(
            authentication_mode="API", bootstrap_cluster_creator_admin_permissions=False
        ),
        resources_vpc_config=eks.CfnCluster.ResourcesVpcConfigProperty(
            subnet_ids=network.subnets,
            endpoint_private_access=True,
            endpoint_public_access=bool(outside),
            public_access_cidrs=outside or None,
        ),
        logging=eks.CfnCluster.LoggingProperty(
            cluster_logging=eks.CfnCluster.ClusterLoggingProperty(enabled_types=kinds)
        ),
    )


def _nodes(stack: Stack, settings: InfraSettings, network: Network, cluster: eks.CfnCluster) -> eks.CfnNodegroup:
    role = _aws_role(
        stack, "NodeRole", "ec2.amazonaws.com", "AmazonEKSWorkerNodePolicy", "AmazonEC2ContainerRegistryPullOnly"
    )
    template = _machine(stack, network, cluster)
    return eks.CfnNodegroup(
        stack,
        "Nodes",
        cluster_name=cluster.ref,
        node_role=role.role_arn,
        subnets=network.subnets,
        ami_type="BOTTLEROCKET_x86_64",
        instance_types=[settings.node_type],
        scaling_config=eks.CfnNodegroup.ScalingConfigProperty(
            min_size=settings.nodes, desired_size=settings.nodes, max_size=max(settings.nodes, settings.nodes_max)
        ),
        update_config=eks.CfnNodegroup.UpdateConfigProperty(max_unavailable=1),
        launch_template=eks.CfnNodegroup.LaunchTemplateSpecificationProperty(
            id=template.ref, version=template.attr_latest_version_number
        ),
    )


def _machine(stack: Stack, network: Network, cluster: eks.CfnCluster) -> ec2.CfnLaunchTemplate:
    """Encrypted volumes; the machine's own credentials are out of reach for pods (one hop)."""
    data = ec2.CfnLaunchTemplate
    return ec2.CfnLaunchTemplate(
        stack,
        "Machine",
        launch_template_data=data.LaunchTemplateDataProperty(
            security_group_ids=[cluster.attr_cluster_security_group_id, network.services.security_group_id],
            metadata_options=data.MetadataOptionsProperty(http_tokens="required", http_put_response_hop_limit=1),
            block_device_mappings=[
                data.BlockDeviceMappingProperty(
                    device_name="/dev/xvdb",  # images and containers, in Bottlerocket
                    ebs=data.EbsProperty(
                        encrypted=True, volume_size=_NODE_VOLUME_GIB, volume_type="gp3", delete_on_termination=True
                    ),
                )
            ],
        ),
    )


def _addon(stack: Stack, cluster: eks.CfnCluster, name: str) -> eks.CfnAddon:
    network = name == "vpc-cni"
    return eks.CfnAddon(
        stack,
        "Addon" + name.title().replace("-", ""),
        addon_name=name,
        cluster_name=cluster.ref,
        resolve_conflicts="OVERWRITE",
        configuration_values=json.dumps({"enableNetworkPolicy": "true"}) if network else None,
        pod_identity_associations=[_network_identity(stack)] if network else None,
    )


def _network_identity(stack: Stack) -> object:
    """The network add-on's own role, so that no other pod of a node can change network interfaces."""
    role = iam.Role(
        stack,
        "NetworkRole",
        assumed_by=iam.SessionTagsPrincipal(iam.ServicePrincipal("pods.eks.amazonaws.com")),
        managed_policies=[iam.ManagedPolicy.from_aws_managed_policy_name("AmazonEKS_CNI_Policy")],
    )
    return eks.CfnAddon.PodIdentityAssociationProperty(role_arn=role.role_arn, service_account="aws-node")


def _administrator(stack: Stack, cluster: eks.CfnCluster, role_arn: str) -> None:
    policy = eks.CfnAccessEntry.AccessPolicyProperty(
        policy_arn=_ADMIN_POLICY, access_scope=eks.CfnAccessEntry.AccessScopeProperty(type="cluster")
    )
    eks.CfnAccessEntry(
        stack, "Administrator", cluster_name=cluster.ref, principal_arn=role_arn, access_policies=[policy]
    )


def _aws_role(stack: Stack, name: str, service: str, *policies: str) -> iam.Role:
    managed = [iam.ManagedPolicy.from_aws_managed_policy_name(policy) for policy in policies]
    return iam.Role(stack, name, assumed_by=iam.ServicePrincipal(service), managed_policies=managed)
