"""Rights as IAM documents and roles."""

from collections.abc import Iterable

from aws_cdk import aws_iam as iam
from constructs import Construct

from infra.rights import Right


def document(rights: Iterable[Right]) -> iam.PolicyDocument:
    """A policy that allows exactly these rights."""
    return iam.PolicyDocument(
        statements=[
            iam.PolicyStatement(actions=list(right.actions), resources=list(right.resources)) for right in rights
        ]
    )


def service_role(scope: Construct, name: str, service: str, rights: Iterable[Right], account: str = "") -> iam.Role:
    """A role for an AWS service. `account`: it acts for this account's resources only, where the service says so."""
    principal = iam.ServicePrincipal(service)
    limited = principal.with_conditions({"StringEquals": {"aws:SourceAccount": account}}) if account else principal
    return iam.Role(scope, name, assumed_by=limited, inline_policies={"Rights": document(rights)})
