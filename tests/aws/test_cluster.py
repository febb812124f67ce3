"""Network, EKS and ElastiCache."""

import json

from tests.aws.templates import Installation
from tests.k8s.manifests import ROOT


def test_nothing_has_a_way_to_the_internet(installation: Installation) -> None:
    kinds = {each["Type"] for stack in installation.stacks.values() for each in stack["Resources"].values()}
    assert not kinds & {"AWS::EC2::InternetGateway", "AWS::EC2::NatGateway", "AWS::EC2::Route", "AWS::EC2::EIP"}
    assert {each["MapPublicIpOnLaunch"] for each in installation.all("AWS::EC2::Subnet")} == {False}


def test_s3_is_reached_for_free_and_what_nodes_need_in_two_zones(installation: Installation) -> None:
    endpoints = installation.all("AWS::EC2::VPCEndpoint")
    interfaces = [each for each in endpoints if each["VpcEndpointType"] == "Interface"]
    assert {each["ServiceName"].removeprefix("com.amazonaws.eu-central-1.") for each in interfaces} == {
        "ec2",
        "ecr.api",
        "ecr.dkr",
        "eks",
        "eks-auth",
        "logs",
        "sts",
    }
    assert {len(each["SubnetIds"]) for each in interfaces} == {2}
    (gateway,) = [each for each in endpoints if each["VpcEndpointType"] == "Gateway"]
    assert len(gateway["RouteTableIds"]) == 3


def test_the_api_of_kubernetes_is_private_unless_addresses_are_given(
    installation: Installation, serverless: Installation
) -> None:
    private = installation.only("AWS::EKS::Cluster")["ResourcesVpcConfig"]
    assert (private["EndpointPrivateAccess"], private["EndpointPublicAccess"]) == (True, False)
    opened = serverless.only("AWS::EKS::Cluster")["ResourcesVpcConfig"]
    assert opened["EndpointPublicAccess"] is True
    assert opened["PublicAccessCidrs"] == ["203.0.113.7/32", "198.51.100.0/24"]


def test_pods_cannot_take_the_machines_credentials(installation: Installation) -> None:
    machine = installation.only("AWS::EC2::LaunchTemplate")["LaunchTemplateData"]
    assert machine["MetadataOptions"] == {"HttpPutResponseHopLimit": 1, "HttpTokens": "required"}
    assert [each["Ebs"]["Encrypted"] for each in machine["BlockDeviceMappings"]] == [True]


def test_network_policies_are_enforced(installation: Installation) -> None:
    addons = {each["AddonName"]: each for each in installation.all("AWS::EKS::Addon")}
    assert set(addons) == {"vpc-cni", "kube-proxy", "coredns", "eks-pod-identity-agent", "metrics-server"}
    assert json.loads(addons["vpc-cni"]["ConfigurationValues"]) == {"enableNetworkPolicy": "true"}


def test_every_service_account_of_the_manifests_has_a_role(
    installation: Installation, serverless: Installation
) -> None:
    associations = installation.all("AWS::EKS::PodIdentityAssociation")
    assert {each["Namespace"] for each in associations} == {"tillstream"}
    base = {path.parent.name for path in (ROOT / "k8s" / "base").glob("*/serviceaccount.yaml")}
    assert {each["ServiceAccount"] for each in associations} == {*base, "tools"}
    others = {each["ServiceAccount"] for each in serverless.all("AWS::EKS::PodIdentityAssociation")}
    assert others == {*base, "tools", "archiver"}


def test_valkey_is_a_cluster_with_tls_and_a_user(installation: Installation) -> None:
    cluster = installation.only("AWS::ElastiCache::ReplicationGroup")
    assert (cluster["NumNodeGroups"], cluster["ReplicasPerNodeGroup"]) == (3, 1)
    assert cluster["TransitEncryptionEnabled"] is True
    assert cluster["TransitEncryptionMode"] == "required"
    assert cluster["AtRestEncryptionEnabled"] is True
    assert cluster["AutomaticFailoverEnabled"] is True
    assert cluster["UserGroupIds"]
    parameters = installation.only("AWS::ElastiCache::ParameterGroup")["Properties"]
    assert parameters == {"cluster-enabled": "yes", "maxmemory-policy": "noeviction"}


def test_the_password_is_in_no_template(installation: Installation) -> None:
    (password,) = installation.only("AWS::ElastiCache::User")["Passwords"]
    assert "{{resolve:secretsmanager:" in json.dumps(password)


def test_images_of_all_pods_have_a_repository(installation: Installation) -> None:
    repositories = installation.all("AWS::ECR::Repository")
    assert {each["ImageTagMutability"] for each in repositories} == {"IMMUTABLE"}
    names = {each["RepositoryName"] for each in repositories}
    images = {
        word
        for path in (ROOT / "k8s" / "base").rglob("*.yaml")
        for word in path.read_text().split()
        if word.startswith("tillstream/")
    }
    assert images <= names
