"""Tillstream in the cluster: images in, manifests applied, until customers are served; and all of it gone again."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from local.cluster.bare import BareCluster
from local.cluster.images import import_archive, names
from local.cluster.node import NodeError
from local.console import Ticker, say
from local.http import NoAnswer, get_json
from local.layout import REPOSITORY, STATE

NAMESPACE = "tillstream"
IN_NAMESPACE = f"--namespace={NAMESPACE}"
OVERLAYS = REPOSITORY / "k8s" / "overlays"
IMAGES = STATE / "images" / "images.json"
HA_NODES = 3
_SERVING_S = 1800
_DELETED_S = 180
_POLL_S = 1.0

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ProjectImage:
    """One of the images of `make images`."""

    reference: str
    digest: str
    archive: Path


class Shop:
    """The objects of the cluster's overlay."""

    def __init__(self, cluster: BareCluster) -> None:
        self.cluster = cluster
        self.kubectl = cluster.kubectl

    def import_images(self) -> None:
        """Import the archives of `make images` that a node does not have. Raises NodeError."""
        present = {node: names(node) for node in self.cluster.nodes}
        for image in project_images():
            lacking = [node for node, found in present.items() if f"{image.reference}@{image.digest}" not in found]
            if lacking:
                say(f"importing {image.reference}")
            for node in lacking:
                import_archive(node, image.archive, image.reference, image.digest)

    @property
    def overlay(self) -> Path:
        """What the cluster's nodes have room for: one of each engine, or three brokers and a Valkey of six."""
        return OVERLAYS / ("ha-demo" if len(self.cluster.nodes) >= HA_NODES else "local")

    def apply(self) -> str:
        """`kubectl apply -k`; its output. Raises KubectlError."""
        return self.kubectl("apply", "-k", str(self.overlay))

    def delete(self) -> None:
        """`kubectl delete -k`, and check that nothing is left. Raises KubectlError, NodeError."""
        objects = self.kubectl("kustomize", str(self.overlay))
        self.kubectl("delete", "-f", "-", "--ignore-not-found", f"--timeout={_DELETED_S}s", text=objects)
        deadline = time.monotonic() + _DELETED_S
        while left := self.leftovers(objects):
            if time.monotonic() > deadline:
                raise NodeError(f"kubectl delete -k left {', '.join(left)}")
            time.sleep(_POLL_S)

    def leftovers(self, objects: str) -> list[str]:
        """What is still there of the objects, and of what they brought: the namespace's volumes."""
        found = self.kubectl("get", "-f", "-", "--ignore-not-found", "-o", "name", text=objects).split()
        volumes = self.kubectl.items("persistentvolumes")
        return found + [
            each["metadata"]["name"] for each in volumes if each["spec"]["claimRef"]["namespace"] == NAMESPACE
        ]

    def gateway_address(self) -> tuple[str, int]:
        """Address and port of the gateway's Service in the node's network. Raises KubectlError."""
        spec = self.kubectl.get("service", "gateway", IN_NAMESPACE)["spec"]
        return spec["clusterIP"], spec["ports"][0]["port"]

    def wait_serving(self, page: str) -> str:
        """Wait for a personal recommendation; in words. Raises NodeError if a Job fails, or after half an hour."""
        tick, deadline = Ticker(every_s=10), time.monotonic() + _SERVING_S
        while not (answer := _personal_recommendation(page)):
            if failed := self._failed_jobs():
                raise NodeError(f"{', '.join(failed)} failed: kubectl logs --all-containers {failed[0]}")
            if time.monotonic() > deadline:
                raise NodeError(f"no personal recommendation within {_SERVING_S} s: {self.waiting_for()}")
            tick(self.waiting_for())
            time.sleep(_POLL_S)
        return answer

    def _failed_jobs(self) -> list[str]:
        return [
            f"job/{job['metadata']['name']}"
            for job in self.kubectl.items("jobs", IN_NAMESPACE)
            if any(each["type"] == "Failed" for each in job["status"].get("conditions", []))
        ]

    def waiting_for(self) -> str:
        """Pods that are not ready or done yet, with the reason that Kubernetes gives."""
        pods = self.kubectl.items("pods", IN_NAMESPACE)
        waiting = [f"{pod['metadata']['name']} ({state})" for pod in pods if (state := pod_problem(pod))]
        return f"waiting for {', '.join(waiting)}" if waiting else "all pods are ready; waiting for a recommendation"


def project_images() -> list[ProjectImage]:
    """What `make images` recorded. Raises NodeError where it did not run."""
    try:
        entries: dict[str, Json] = json.loads(IMAGES.read_text())
    except FileNotFoundError:
        raise NodeError(f"{IMAGES} is missing: make images") from None
    return [
        ProjectImage(f"docker.io/{each['name']}:{each['tag']}", each["digest"], REPOSITORY / each["archive"])
        for each in entries.values()
    ]


def pod_problem(pod: Json) -> str:
    """Why a pod is neither ready nor done; empty if it is."""
    status = pod["status"]
    if status["phase"] == "Succeeded":
        return ""
    states = [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]
    for state in states:
        if waiting := state["state"].get("waiting"):
            return str(waiting["reason"])
        if not state["ready"] and "running" in state["state"]:
            return f"{state['name']} is not ready" if state.get("started", True) else f"{state['name']} starts"
    return "" if states else status["phase"]


def _personal_recommendation(page: str) -> str:
    """Three products for the biggest spender; empty while there is no personal answer."""
    try:
        users = get_json(f"{page}/v1/users?limit=1", timeout_s=5)
        if not isinstance(users, list) or not users:
            return ""
        answer = get_json(f"{page}/v1/users/{quote(users[0], safe='')}/recommendations?k=3", timeout_s=5)
    except NoAnswer:
        return ""
    if answer.get("strategy") != "personal":
        return ""
    products = ", ".join(item["product_name"] or item["product_id"] for item in answer["items"])
    return f"recommended to customer {users[0]}: {products}"
