"""The manifests describe the cluster wholly: applied again, they change nothing."""

import json
from typing import Any

from local.cluster.shop import Shop

Json = dict[str, Any]
# What the API server and the controllers write by themselves.
_NOT_OURS = ("managedFields", "resourceVersion")


def test_a_second_apply_changes_nothing(shop: Shop) -> None:
    """kubectl reports objects with a label selector as configured each time, so the objects themselves are compared."""
    before = _specifications(shop)
    shop.apply()
    assert _specifications(shop) == before


def test_the_cluster_is_as_the_manifests_say(shop: Shop) -> None:
    difference = shop.kubectl.run("diff", "-k", str(shop.overlay))
    assert (difference.returncode, difference.stdout) == (0, "")


def _specifications(shop: Shop) -> dict[str, Json]:
    """Everything of each object but its status, generation included."""
    objects = shop.kubectl("kustomize", str(shop.overlay))
    found = json.loads(shop.kubectl("get", "-f", "-", "-o", "json", text=objects))["items"]
    scaled = {each["spec"]["scaleTargetRef"]["name"] for each in found if each["kind"] == "HorizontalPodAutoscaler"}
    return {
        f"{each['kind']}/{each['metadata']['name']}": _without_pods(each)
        if each["kind"] == "Deployment" and each["metadata"]["name"] in scaled
        else _specification(each)
        for each in found
    }


def _without_pods(deployment: Json) -> Json:
    """The number of pods is the autoscaler's, which may change it at any time."""
    found = _specification(deployment)
    found["metadata"].pop("generation")
    return {**found, "spec": {name: value for name, value in found["spec"].items() if name != "replicas"}}


def _specification(entry: Json) -> Json:
    metadata = {name: value for name, value in entry["metadata"].items() if name not in _NOT_OURS}
    return {**{name: value for name, value in entry.items() if name != "status"}, "metadata": metadata}
