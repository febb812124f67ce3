"""Which connections the NetworkPolicies permit."""

from collections.abc import Iterator
from typing import NamedTuple

from tests.k8s.manifests import Object, Objects, Workload, of_kind, selects, workloads

ANYBODY = "outside"


class Connection(NamedTuple):
    """`source` and `target` by app.kubernetes.io/name; `outside` is not of this namespace."""

    source: str
    target: str
    port: int


def permitted(objects: Objects) -> set[Connection]:
    """All connections between the project's pods, and from the outside, that no policy forbids."""
    policies = list(of_kind(objects, "NetworkPolicy"))
    pods = workloads(objects)
    found = set()
    for target in pods:
        for port in _ports(target):
            if _admits(policies, target, None, port):
                found.add(Connection(ANYBODY, target.app, port))
            found |= {
                Connection(source.app, target.app, port)
                for source in pods
                if _admits(policies, target, source, port) and _lets_out(policies, source, target, port)
            }
    return found


def egress_to_addresses(objects: Objects) -> set[tuple[str, str, int]]:
    """Pods → CIDR and port that they may reach outside of the cluster."""
    return {
        (pod.app, peer["ipBlock"]["cidr"], port["port"])
        for policy in of_kind(objects, "NetworkPolicy")
        for pod in workloads(objects)
        if selects(policy["spec"]["podSelector"], pod.labels)
        for rule in policy["spec"].get("egress", [])
        for peer in rule["to"]
        if "ipBlock" in peer
        for port in rule["ports"]
    }


def isolated(objects: Objects) -> Iterator[str]:
    """Pods that no policy isolates in a direction."""
    policies = list(of_kind(objects, "NetworkPolicy"))
    for pod in workloads(objects):
        for direction in ("Ingress", "Egress"):
            if not _policies_of(policies, pod, direction):
                yield f"{pod.title}: nothing limits its {direction.lower()}"


def _ports(workload: Workload) -> set[int]:
    return {port["containerPort"] for container in workload.containers for port in container.get("ports", [])}


def _admits(policies: list[Object], target: Workload, source: Workload | None, port: int) -> bool:
    ours = _policies_of(policies, target, "Ingress")
    return not ours or any(
        _has(rule, port) and ("from" not in rule or (source is not None and _is_peer(rule["from"], source)))
        for policy in ours
        for rule in policy["spec"].get("ingress", [])
    )


def _lets_out(policies: list[Object], source: Workload, target: Workload, port: int) -> bool:
    ours = _policies_of(policies, source, "Egress")
    return not ours or any(
        _has(rule, port) and ("to" not in rule or _is_peer(rule["to"], target))
        for policy in ours
        for rule in policy["spec"].get("egress", [])
    )


def _policies_of(policies: list[Object], pod: Workload, direction: str) -> list[Object]:
    return [
        each
        for each in policies
        if direction in each["spec"]["policyTypes"] and selects(each["spec"]["podSelector"], pod.labels)
    ]


def _has(rule: Object, port: int) -> bool:
    return "ports" not in rule or any(each["port"] == port for each in rule["ports"])


def _is_peer(peers: list[Object], pod: Workload) -> bool:
    """Whether one of the peers is the pod. Peers of other namespaces are none of ours."""
    return any(
        "podSelector" in peer and "namespaceSelector" not in peer and selects(peer["podSelector"], pod.labels)
        for peer in peers
    )
