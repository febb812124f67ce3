"""What every pod has, in every overlay; and that each rule finds what breaks it."""

import tomllib
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from tests.k8s import pods
from tests.k8s.manifests import ROOT, Object, flat, of_kind

VERSION: str = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
# Cores of a node of two that are left for pods, after the node's own: overlays/local must fit.
LOCAL_CORES = 1.6

Change = Callable[[Any], object]


@pytest.mark.parametrize("check", pods.CHECKS, ids=lambda check: check.__name__)
def test_every_pod(objects: list[Object], check: Callable[[list[Object]], list[str]]) -> None:
    assert list(check(objects)) == []


def test_images_are_of_this_version(objects: list[Object]) -> None:
    assert list(pods.images(objects, VERSION)) == []


def test_the_local_overlay_fits_a_node_of_two_cores(overlay: Callable[[str], list[Object]]) -> None:
    assert 1.0 < pods.cpu_requested(overlay("local")) <= LOCAL_CORES


def _pod(it: Object) -> Object:
    spec: Object = it["spec"]["template"]["spec"]
    return spec


def _container(it: Object) -> Object:
    container: Object = _pod(it)["containers"][0]
    return container


def _context(it: Object) -> Object:
    context: Object = _container(it)["securityContext"]
    return context


# kind, name, how it is broken, the words of the complaint
BROKEN: list[tuple[str, str, Change, str]] = [
    ("Deployment", "gateway", lambda it: _pod(it)["securityContext"].pop("runAsNonRoot"), "runAsNonRoot"),
    ("Deployment", "gateway", lambda it: _pod(it)["securityContext"].update(runAsUser=0), "runAsUser"),
    ("Deployment", "gateway", lambda it: _pod(it)["securityContext"].pop("seccompProfile"), "seccompProfile"),
    ("Deployment", "gateway", lambda it: _pod(it).update(hostNetwork=True), "namespace of the node"),
    ("Deployment", "gateway", lambda it: _pod(it)["volumes"].append({"name": "x", "hostPath": {}}), "volume x"),
    ("Deployment", "gateway", lambda it: _context(it).pop("allowPrivilegeEscalation"), "allowPrivilegeEscalation"),
    ("Deployment", "gateway", lambda it: _context(it).update(privileged=True), "allowPrivilegeEscalation"),
    ("Deployment", "gateway", lambda it: _context(it)["capabilities"].update(add=["NET_RAW"]), "capabilities"),
    ("Deployment", "gateway", lambda it: _context(it).pop("readOnlyRootFilesystem"), "root file system"),
    ("Deployment", "gateway", lambda it: _context(it).update(runAsUser=0), "another user"),
    ("Deployment", "gateway", lambda it: _container(it)["ports"][0].update(hostPort=80), "port of the node"),
    ("StatefulSet", "kafka", lambda it: _pod(it)["initContainers"][0].pop("securityContext"), "format: "),
    ("Deployment", "gateway", lambda it: _pod(it).update(serviceAccountName="nobody"), "no ServiceAccount"),
    ("Deployment", "gateway", lambda it: _pod(it).pop("automountServiceAccountToken"), "mounts a token"),
    ("ServiceAccount", "gateway", lambda it: it.pop("automountServiceAccountToken"), "mounts a token"),
    ("Deployment", "gateway", lambda it: _pod(it).pop("enableServiceLinks"), "addresses of all Services"),
    ("Deployment", "gateway", lambda it: _container(it).pop("startupProbe"), "startupProbe is missing"),
    ("Deployment", "gateway", lambda it: _container(it).pop("livenessProbe"), "livenessProbe is missing"),
    ("Deployment", "gateway", lambda it: _container(it)["readinessProbe"]["httpGet"].update(port="web"), "web"),
    ("Deployment", "gateway", lambda it: _container(it)["readinessProbe"]["httpGet"].update(port=81), "81"),
    ("Deployment", "recommender", lambda it: _container(it)["readinessProbe"]["grpc"].update(port="grpc"), "grpc"),
    ("Deployment", "gateway", lambda it: _container(it)["livenessProbe"]["httpGet"].update(path="/readyz"), "outage"),
    ("Deployment", "gateway", lambda it: _container(it)["livenessProbe"].update(failureThreshold=1), "busy node"),
    ("Job", "provision", lambda it: it["spec"].pop("activeDeadlineSeconds"), "no deadline"),
    ("Job", "provision", lambda it: it["spec"].pop("backoffLimit"), "limit of tries"),
    ("Deployment", "gateway", lambda it: _pod(it).update(terminationGracePeriodSeconds=15), "above 15"),
    ("Deployment", "gateway", lambda it: _container(it)["resources"]["requests"].pop("cpu"), "requests of cpu"),
    ("Deployment", "gateway", lambda it: _container(it)["resources"].pop("limits"), "limit of memory"),
    ("Deployment", "gateway", lambda it: _container(it)["resources"]["limits"].update(cpu="1"), "limit of memory"),
    (
        "Deployment",
        "gateway",
        lambda it: _container(it)["resources"]["requests"].update(memory="9Gi"),
        "than its limit",
    ),
    ("Deployment", "gateway", lambda it: _pod(it)["volumes"][0].update(emptyDir={}), "fill the node's disk"),
    ("PodDisruptionBudget", "gateway", lambda it: it["spec"].update(selector={"matchLabels": {}}), "one workload"),
    ("PodDisruptionBudget", "gateway", lambda it: it["spec"].update(maxUnavailable=0), "one pod at a time"),
    ("PodDisruptionBudget", "gateway", lambda it: it["metadata"].update(deleted=True), "no PodDisruptionBudget"),
    ("HorizontalPodAutoscaler", "gateway", lambda it: it["spec"].update(minReplicas=1), "users notice"),
    ("Deployment", "gateway", lambda it: _pod(it).pop("topologySpreadConstraints"), "not spread"),
    ("Deployment", "gateway", lambda it: it["spec"].update(replicas=2), "replicas and an autoscaler"),
    (
        "HorizontalPodAutoscaler",
        "gateway",
        lambda it: it["spec"]["scaleTargetRef"].update(name="recommender"),
        "two autoscalers",
    ),
    ("Deployment", "gateway", lambda it: _pod(it).pop("priorityClassName"), "no priority class"),
    ("Deployment", "gateway", lambda it: _pod(it).update(priorityClassName="high"), "no priority class"),
]


@pytest.mark.parametrize(("kind", "name", "change", "complaint"), BROKEN)
def test_what_breaks_a_rule_is_found(
    overlay: Callable[[str], list[Object]], kind: str, name: str, change: Change, complaint: str
) -> None:
    objects = deepcopy(overlay("local"))
    (broken,) = (each for each in of_kind(objects, kind) if each["metadata"]["name"] == name)
    change(broken)
    objects = [each for each in objects if not each["metadata"].get("deleted")]
    complaints = flat(check(objects) for check in pods.CHECKS)
    assert any(complaint in each for each in complaints), complaints


@pytest.mark.parametrize(
    ("image", "right"),
    [
        (f"tillstream/gateway:{VERSION}", True),
        ("tillstream/gateway@sha256:" + 64 * "a", True),
        (f"registry.example:5000/shop/tillstream/gateway:{VERSION}@sha256:" + 64 * "a", True),
        ("tillstream/gateway", False),
        ("tillstream/gateway:latest", False),
        ("tillstream/gateway@sha256:abc", False),
        (f"gateway:{VERSION}", False),
    ],
)
def test_images_by_version_or_digest(overlay: Callable[[str], list[Object]], image: str, right: bool) -> None:
    gateway = deepcopy(
        next(each for each in of_kind(overlay("local"), "Deployment") if each["metadata"]["name"] == "gateway")
    )
    _container(gateway)["image"] = image
    assert (list(pods.images([gateway], VERSION)) == []) is right


def test_images_are_not_pulled_again(overlay: Callable[[str], list[Object]]) -> None:
    gateway = deepcopy(next(of_kind(overlay("local"), "Deployment")))
    _container(gateway)["imagePullPolicy"] = "Always"
    assert "imagePullPolicy" in flat([pods.images([gateway], VERSION)])[0]


def test_the_cpu_of_a_pod_is_the_most_of_before_and_beside(overlay: Callable[[str], list[Object]]) -> None:
    (job,) = (deepcopy(each) for each in of_kind(overlay("local"), "Job") if each["metadata"]["name"] == "demo-model")
    before = pods.cpu_requested([job])
    _pod(job)["initContainers"][0]["resources"]["requests"]["cpu"] = "3"
    assert pods.cpu_requested([job]) == 3.0 > before
    _pod(job)["containers"][0]["resources"]["requests"]["cpu"] = "3500m"
    assert pods.cpu_requested([job]) == 3.5
