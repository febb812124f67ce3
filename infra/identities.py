"""A role for each service account of Kubernetes, by EKS Pod Identity."""

from collections.abc import Iterable, Mapping

from aws_cdk import Stack
from aws_cdk import aws_eks as eks
from aws_cdk import aws_iam as iam

from infra.policies import document
from infra.rights import Right

NAMESPACE = "tillstream"


def build(stack: Stack, cluster: eks.CfnCluster, rights: Mapping[str, Iterable[Right]]) -> None:
    """One role a service account, which only pods of that account in the namespace can assume."""
    for account, allowed in rights.items():
        role = iam.Role(
            stack,
            account.title(),
            assumed_by=_pods_of(account),
            inline_policies={"Rights": document(allowed)},
        )
        eks.CfnPodIdentityAssociation(
            stack,
            account.title() + "Pods",
            cluster_name=cluster.ref,
            namespace=NAMESPACE,
            service_account=account,
            role_arn=role.role_arn,
        )


def _pods_of(account: str) -> iam.IPrincipal:
    tags = {
        "aws:RequestTag/kubernetes-namespace": NAMESPACE,
        "aws:RequestTag/kubernetes-service-account": account,
    }
    pods = iam.ServicePrincipal("pods.eks.amazonaws.com")
    return iam.SessionTagsPrincipal(pods.with_conditions({"StringEquals": tags}))
