"""Every overlay and every choice of components builds, and is valid to the API server's own schemas."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from pathlib import Path

import pytest

from tests.k8s import combinations
from tests.k8s.conftest import AWS, PARAMETERS
from tests.k8s.manifests import BuildFailed, Object, build, of_kind
from tests.k8s.schemas import invalid


def test_every_overlay_is_valid(objects: list[Object]) -> None:
    assert list(invalid(objects)) == []


def test_components_combine(tree: Path) -> None:
    picked = combinations.chosen(tree, combinations.components(tree))
    folders = [combinations.write(tree, each) for each in picked]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        built = list(pool.map(build, folders))
    assert [error for objects in built for error in invalid(objects)] == []


def test_every_component_is_found(tree: Path) -> None:
    found = combinations.components(tree)
    assert {"archiver", "engines/kafka", "demo", "network-policies", "keda", "strimzi", "ingress"} <= set(found)
    assert "engines" not in found


def test_pairs_are_those_of_which_one_changes_the_other(tree: Path) -> None:
    picked = combinations.chosen(tree, combinations.components(tree))
    assert ("autoscaling", "keda") in picked
    assert ("engines/s3", "strimzi") in picked
    assert ("archiver", "images") in picked
    assert ("archiver", "demo") not in picked


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda it: it["spec"].update(replicaz=2), "replicaz"),
        (lambda it: it["spec"].update(replicas="two"), "two"),
        (lambda it: it.update(kind="Deploymend"), "unknown kind"),
        (lambda it: it.update(apiVersion="keda.sh/v1alpha1", kind="ScaledJob"), "unknown kind"),
    ],
)
def test_a_mistake_is_found(
    overlay: Callable[[str], list[Object]], change: Callable[[Object], object], complaint: str
) -> None:
    deployment = deepcopy(next(of_kind(overlay("local"), "Deployment")))
    assert list(invalid([deployment])) == []
    change(deployment)
    (error,) = invalid([deployment])
    assert complaint in error


def test_a_mistake_in_a_custom_resource_is_found(tree: Path) -> None:
    objects = build(combinations.write(tree, ["keda"]))
    (scaled,) = of_kind(objects, "ScaledObject")
    scaled["spec"]["maxReplicas"] = 3
    (error,) = invalid(objects)
    assert "maxReplicas" in error


def test_two_components_with_one_name_do_not_build(tree: Path) -> None:
    folder = combinations.write(tree, ["archiver", "archiver"])
    with pytest.raises(BuildFailed, match="archiver"):
        build(folder)


@pytest.mark.parametrize("missing", AWS)
def test_on_aws_a_missing_parameter_stops_the_build(tree: Path, missing: str) -> None:
    parameters = tree / PARAMETERS
    before = parameters.read_text()
    try:
        parameters.write_text("".join(f"{name}={value}\n" for name, value in AWS.items() if name != missing))
        with pytest.raises(BuildFailed, match=missing):
            build(tree / "overlays" / "aws")
    finally:
        parameters.write_text(before)


def test_on_aws_without_parameters_the_build_names_the_file(tree: Path) -> None:
    parameters = tree / PARAMETERS
    before = parameters.read_text()
    parameters.unlink()
    try:
        with pytest.raises(BuildFailed, match=r"parameters\.env: no such file"):
            build(tree / "overlays" / "aws")
    finally:
        parameters.write_text(before)
