"""The page of permissions is what the templates say."""

from pathlib import Path

import pytest

from infra.permissions import PAGE, Role, permissions_page, roles
from infra.rights import KafkaArns, Resources, of_archiver, of_services

# What AWS cannot name more exactly, and why.
ARGUED = {
    ("kafka-cluster:DescribeGroup", "Firehose names its consumer group itself"),
    ("logs:CreateLogStream", "log streams are named when they are made"),
    ("logs:PutLogEvents", "log streams are named when they are made"),
}


@pytest.fixture(scope="module")
def found(synthesized: Path) -> list[Role]:
    return roles(synthesized / "default")


def test_the_page_is_up_to_date(found: list[Role]) -> None:
    assert PAGE.read_text() == permissions_page(found), (
        "run `python -m infra permissions --out cdk.out` after `make aws-synth`"
    )


def test_every_service_has_exactly_its_rights(synthesized: Path) -> None:
    """No more than infra/rights.py says, and no less: nothing is added on the way to the template."""
    in_templates = {role.name.rpartition(" ")[2].lower(): role for role in roles(synthesized / "serverless")}
    prefix = "arn:aws:kafka:us-east-1:111122223333"
    path = "<path of Cluster.Arn>"
    on = Resources(KafkaArns(prefix, path), "other-111122223333-us-east-1")
    for service, rights in {**of_services(on), "archiver": of_archiver(on)}.items():
        wanted = {(action, resource) for right in rights for action in right.actions for resource in right.resources}
        assert in_templates[service].rights == wanted


def test_no_role_may_do_anything_anywhere(found: list[Role]) -> None:
    for role in found:
        for action, resource in role.rights:
            assert "*" not in action, role.name
            assert resource != "*", (role.name, action)
            if resource.endswith("*") and "s3" not in action:
                assert action in {name for name, _why in ARGUED}, (role.name, action, resource)


def test_only_services_assume_roles(found: list[Role]) -> None:
    for role in found:
        for principal in role.principals:
            assert ".amazonaws.com" in principal
    pods = [principal for role in found for principal in role.principals if principal.startswith("pods.eks")]
    assert sum("kubernetes-service-account is" in principal for principal in pods) == len(pods) - 1  # aws-node
