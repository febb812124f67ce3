"""The overlays, each built once."""

import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from tests.k8s.manifests import ROOT, Object, build

OVERLAYS = ("local", "ha", "ha-demo", "aws")
# What an installation on AWS fills in: docs are in the example next to it.
AWS = {
    "KAFKA_BOOTSTRAP": "b-1.shop.kafka.eu-central-1.amazonaws.com:9098",
    "REGION": "eu-north-1",
    "BUCKET": "shop-purchases",
    "VPC_CIDR": "10.11.0.0/16",
}
PARAMETERS = "overlays/aws/managed-engines/parameters.env"


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of k8s/, next to what it takes from elsewhere, with the parameters of an installation on AWS."""
    copy = tmp_path_factory.mktemp("k8s") / "k8s"
    shutil.copytree(ROOT / "k8s", copy, ignore=shutil.ignore_patterns("parameters.env"))
    shutil.copytree(ROOT / "monitoring", copy.parent / "monitoring")  # rules and dashboards
    (copy / PARAMETERS).write_text("".join(f"{name}={value}\n" for name, value in AWS.items()))
    return copy


@pytest.fixture(scope="session")
def overlay(tree: Path) -> Callable[[str], list[Object]]:
    """The objects of an overlay by its name."""
    return cache(lambda name: build(tree / "overlays" / name))


@pytest.fixture(params=OVERLAYS)
def objects(request: pytest.FixtureRequest, overlay: Callable[[str], list[Object]]) -> list[Object]:
    """The objects of each overlay. Not to be changed."""
    return overlay(request.param)
