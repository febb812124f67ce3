"""Every NetworkPolicy is enforced: what it allows connects, and the same connection from another pod does not."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from local.cluster.shop import NAMESPACE, Shop
from local.cluster.templates import COREDNS_IMAGE
from tests.cluster.pod_network import PodNetwork
from tests.cluster.report import Report

_OUTSIDE = "policy-test"
_READY_PORT = 8181  # CoreDNS answers there

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One connection, and whether the policy allows it."""

    policy: str
    source: Json
    target: Json
    port: int
    allowed: bool

    def row(self, result: str) -> dict[str, str | int | float | None]:
        """A row of the report."""
        return {
            "policy": self.policy,
            "from": _name(self.source),
            "to": f"{_name(self.target)}:{self.port}",
            "allowed": "yes" if self.allowed else "no",
            "result": result,
        }


class Pods:
    """The running pods, with one of another namespace and one of this that no policy names."""

    def __init__(self, shop: Shop) -> None:
        every = shop.kubectl.items("pods", "--all-namespaces")
        self._pods = [pod for pod in every if pod["status"]["phase"] == "Running"]
        self.outsider = next(pod for pod in self._pods if _namespace(pod) == _OUTSIDE)
        self.bystander = next(pod for pod in self._pods if _name(pod) == "bystander")

    def of(self, namespace: str, labels: Json) -> list[Json]:
        """Pods that have all these labels."""
        return [
            pod
            for pod in self._pods
            if _namespace(pod) == namespace and labels.items() <= pod["metadata"].get("labels", {}).items()
        ]

    def peers(self, rules: list[Json]) -> list[Json]:
        """Pods that a rule's `from` or `to` names; the outsider where it names nobody, which means everybody."""
        if not rules:
            return [self.outsider]
        return [pod for rule in rules for pod in self._of_peer(rule)]

    def _of_peer(self, rule: Json) -> list[Json]:
        labels = rule.get("namespaceSelector", {}).get("matchLabels", {})
        namespace = labels.get("kubernetes.io/metadata.name", NAMESPACE)
        return self.of(namespace, rule.get("podSelector", {}).get("matchLabels", {}))


@pytest.fixture(scope="module")
def pods(shop: Shop) -> Iterator[Pods]:
    shop.kubectl("create", "namespace", _OUTSIDE)
    for namespace, name in ((_OUTSIDE, "outsider"), (NAMESPACE, "bystander")):
        shop.kubectl("apply", f"--namespace={namespace}", "-f", "-", text=json.dumps(_idle_pod(name)))
        shop.kubectl("wait", f"pod/{name}", f"--namespace={namespace}", "--for=condition=Ready", "--timeout=60s")
    yield Pods(shop)
    shop.kubectl("delete", "pod", "bystander", f"--namespace={NAMESPACE}", "--wait=false")
    shop.kubectl("delete", "namespace", _OUTSIDE, "--wait=false")


def _idle_pod(name: str) -> Json:
    """CoreDNS without a configuration: an image that every such cluster has, listening on a port."""
    secure = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    container = {"name": name, "image": COREDNS_IMAGE, "imagePullPolicy": "Never", "securityContext": secure}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": [container]}}


def attempts(policy: Json, pods: Pods) -> Iterator[Attempt]:
    """Each connection that the policy allows; the same from a pod that it does not name; none outside its rules."""
    name, spec = policy["metadata"]["name"], policy["spec"]
    chosen = pods.of(NAMESPACE, spec["podSelector"].get("matchLabels", {}))
    if not spec["podSelector"] and not spec.get("egress"):
        yield Attempt(name, pods.bystander, pods.outsider, 53, allowed=False)
        yield Attempt(name, pods.outsider, pods.bystander, 53, allowed=False)
    for rule in spec.get("ingress", []):
        yield from _edge(name, pods.peers(rule.get("from", [])), chosen, rule, pods)
    for rule in spec.get("egress", []):
        yield from _edge(name, chosen, pods.peers(rule.get("to", [])), rule, pods)


def _edge(name: str, sources: list[Json], targets: list[Json], rule: Json, pods: Pods) -> Iterator[Attempt]:
    for port in {port["port"]: None for port in rule["ports"] if port.get("protocol", "TCP") == "TCP"}:
        for source, target in zip(sources[:1], targets[:1], strict=False):
            if source is not target:
                yield Attempt(name, source, target, port, allowed=True)
            if pods.bystander not in sources:
                yield Attempt(name, pods.bystander, target, port, allowed=False)
            elif port == 53:
                yield Attempt(name, pods.bystander, target, _READY_PORT, allowed=False)


def test_without_a_policy_pods_connect(shop: Shop, pods: Pods) -> None:
    dns = pods.of("kube-system", {"k8s-app": "kube-dns"})[0]
    network = PodNetwork(shop)
    assert network.connect(pods.outsider, dns["status"]["podIP"], _READY_PORT) == "connected"
    assert network.connect(dns, pods.outsider["status"]["podIP"], 53) == "connected"


def test_every_policy_is_enforced(shop: Shop, pods: Pods, report: Report) -> None:
    network = PodNetwork(shop)
    policies = shop.kubectl.items("networkpolicies", f"--namespace={NAMESPACE}")
    wrong, refused = [], set()
    for attempt in (attempt for policy in policies for attempt in attempts(policy, pods)):
        result = network.connect(attempt.source, attempt.target["status"]["podIP"], attempt.port)
        report.add("NetworkPolicies", attempt.row(result))
        if (result == "connected") != attempt.allowed:
            wrong.append(attempt.row(result))
        elif not attempt.allowed:
            refused.add(attempt.policy)
    assert wrong == []
    assert {policy["metadata"]["name"] for policy in policies} == refused


def _name(pod: Json) -> str:
    return str(pod["metadata"]["name"])


def _namespace(pod: Json) -> str:
    return str(pod["metadata"]["namespace"])
