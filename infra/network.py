"""The VPC: isolated subnets in three zones, no gateway to the internet (docs/adr/0094)."""

from dataclasses import dataclass

from aws_cdk import Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_logs as logs

from infra.settings import InfraSettings

# What nodes and pods call apart from S3: images, tokens, roles, the API of EKS, logs.
_INTERFACES = ("ec2", "ecr.api", "ecr.dkr", "eks", "eks-auth", "logs", "sts")
# In two zones of three: each zone costs as much again, and the stream does not depend on them.
_ENDPOINT_ZONES = 2


@dataclass(frozen=True, slots=True)
class Network:
    """`services`: the security group of the nodes; MSK and Valkey admit it and nothing else."""

    vpc: ec2.Vpc
    services: ec2.SecurityGroup

    @property
    def subnets(self) -> list[str]:
        """Ids of the subnets, one a zone."""
        return [subnet.subnet_id for subnet in self.vpc.isolated_subnets]


def build(stack: Stack, settings: InfraSettings) -> Network:
    """The VPC, its endpoints and a log of refused connections."""
    vpc = ec2.Vpc(
        stack,
        "Vpc",
        ip_addresses=ec2.IpAddresses.cidr(str(settings.vpc_cidr)),
        availability_zones=settings.availability_zones,
        nat_gateways=0,
        subnet_configuration=[
            ec2.SubnetConfiguration(name="Isolated", subnet_type=ec2.SubnetType.PRIVATE_ISOLATED, cidr_mask=20)
        ],
        gateway_endpoints={"S3": ec2.GatewayVpcEndpointOptions(service=ec2.GatewayVpcEndpointAwsService.S3)},
    )
    services = ec2.SecurityGroup(stack, "Services", vpc=vpc, description="Nodes of the services")
    _endpoints(stack, vpc, settings)
    refused = logs.LogGroup(stack, "Refused", retention=logs.RetentionDays.ONE_MONTH)
    vpc.add_flow_log(
        "Refused",
        destination=ec2.FlowLogDestination.to_cloud_watch_logs(refused),
        traffic_type=ec2.FlowLogTrafficType.REJECT,
    )
    return Network(vpc, services)


def _endpoints(stack: Stack, vpc: ec2.Vpc, settings: InfraSettings) -> None:
    callers = ec2.SecurityGroup(stack, "Endpoints", vpc=vpc, description="Endpoints of AWS services")
    callers.add_ingress_rule(ec2.Peer.ipv4(str(settings.vpc_cidr)), ec2.Port.tcp(443), "HTTPS from the VPC")
    zones = ec2.SubnetSelection(availability_zones=settings.availability_zones[:_ENDPOINT_ZONES])
    for name in _INTERFACES:
        vpc.add_interface_endpoint(
            name.title().replace(".", "").replace("-", ""),
            service=ec2.InterfaceVpcEndpointAwsService(name),
            subnets=zones,
            security_groups=[callers],
            open=False,
        )


def admit(group: ec2.SecurityGroup, network: Network, ports: range, what: str) -> None:
    """Let the nodes of the services connect to a group's ports."""
    port = ec2.Port.tcp(ports.start) if len(ports) == 1 else ec2.Port.tcp_range(ports.start, ports.stop - 1)
    group.add_ingress_rule(network.services, port, what)
