"""The policies permit exactly the connections of docs/architecture.md, and these are the edges of its picture."""

import re
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from tests.k8s import combinations
from tests.k8s.conftest import AWS
from tests.k8s.manifests import ROOT, Object, build, of_kind, workloads
from tests.k8s.network import ANYBODY, Connection, egress_to_addresses, isolated, permitted

ARCHITECTURE = (ROOT / "docs/architecture.md").read_text()
# The nodes of the picture, by the pods that they are in a cluster.
PODS = {
    "csv": None,
    "shop": "outside",
    "page": "outside",
    "purchases": "kafka",
    "dlq": "kafka",
    "recommendations": "kafka",
    "products": "kafka",
    "raw": "s3",
    "models": "s3",
    "redis": "valkey",
    "spark": "batch",
}
# The demo sends like the producer and trains like the batch job; the members of a cluster are joined by provisioning;
# erased customers are removed from what the batch job reads and writes.
DRAWN_AS = {"demo": ("producer", "batch"), "privacy": ("batch",), "valkey-cluster": ("provision",)}


def documented() -> set[Connection]:
    """The table of connections."""
    section = ARCHITECTURE.partition("## Connections")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([\w-]+) \| ([\w-]+) \| ([\d, ]+) \|", section, re.MULTILINE)
    return {Connection(source, target, int(port)) for source, target, ports in rows for port in ports.split(",")}


def drawn() -> set[frozenset[str]]:
    """The edges of the picture between pods, without their directions: data may flow against the connection."""
    picture = ARCHITECTURE.partition("```mermaid")[2].partition("```")[0]
    edges = set()
    for line in picture.splitlines():
        if parts := re.fullmatch(r"\s+(.+?) (?:-->|<-->|-\..+?\.->)(?:\|.+?\|)? (.+)", line):
            for source in _nodes(parts[1]):
                edges |= {frozenset((source, target)) for target in _nodes(parts[2]) if source and target}
    return edges


def _nodes(text: str) -> list[str | None]:
    found = [re.match(r"\w+", each.strip()) for each in text.split(" & ")]
    return [PODS.get(each[0], each[0]) for each in found if each]


def documented_for(objects: list[Object]) -> set[Connection]:
    """The rows whose two ends are there. A single Valkey talks to nobody."""
    apps = {each.app for each in workloads(objects)} | {ANYBODY}
    single = "valkey-cluster" not in apps
    return {
        each
        for each in documented()
        if {each.source, each.target} <= apps and not (single and each.source == each.target == "valkey")
    }


@pytest.mark.parametrize("name", ["local", "ha"])
def test_the_policies_permit_what_is_documented(overlay: Callable[[str], list[Object]], name: str) -> None:
    assert permitted(overlay(name)) == documented_for(overlay(name))


def test_every_row_is_of_an_overlay(overlay: Callable[[str], list[Object]]) -> None:
    assert documented_for(overlay("local")) | documented_for(overlay("ha")) == documented()


def test_on_aws_only_managed_engines_are_reached(overlay: Callable[[str], list[Object]]) -> None:
    assert permitted(overlay("aws")) == {
        Connection("outside", "gateway", 8080),
        Connection("gateway", "recommender", 50051),
        Connection("gateway", "recommender", 9104),
        Connection("gateway", "aggregator", 9103),
    }
    everybody = ("aggregator", "batch", "gateway", "privacy", "provision", "recommender")
    assert egress_to_addresses(overlay("aws")) == {
        *((app, AWS["VPC_CIDR"], 9098) for app in everybody if app not in ("batch", "privacy")),
        *((app, AWS["VPC_CIDR"], 6379) for app in ("aggregator", "gateway")),
        *((app, "0.0.0.0/0", 443) for app in everybody),
        *((app, "169.254.170.23/32", 80) for app in everybody),
    }


def test_nobody_leaves_the_cluster(overlay: Callable[[str], list[Object]]) -> None:
    assert egress_to_addresses(overlay("local")) == set()


def test_only_the_gateway_reaches_the_provider_of_the_login(tree: Path) -> None:
    before, after = (build(combinations.write(tree, ("network-policies", *more))) for more in ((), ("login-egress",)))
    assert egress_to_addresses(after) - egress_to_addresses(before) == {("gateway", "0.0.0.0/0", 443)}
    assert permitted(after) == permitted(before)


def test_every_pod_is_isolated(objects: list[Object]) -> None:
    assert list(isolated(objects)) == []


def test_every_connection_is_an_edge_of_the_picture() -> None:
    for each in documented():
        sources = DRAWN_AS.get(each.source, (each.source,))
        assert each.source == each.target or any(frozenset((source, each.target)) in drawn() for source in sources), (
            each
        )


def test_every_edge_of_the_picture_is_a_connection() -> None:
    connected = {
        frozenset((source, each.target))
        for each in documented()
        for source in DRAWN_AS.get(each.source, (each.source,))
    }
    assert drawn() - connected == set()


# policy, how it is changed, a connection that this permits, one that it forbids
CHANGES: list[tuple[str, Callable[[Any], object], tuple[str, str, int] | None, tuple[str, str, int] | None]] = [
    ("recommender", lambda it: it["spec"].update(ingress=[{}]), ("outside", "recommender", 50051), None),
    ("valkey", lambda it: it["spec"].update(ingress=[{}]), ("outside", "valkey", 6379), None),
    ("s3", lambda it: it["spec"]["ingress"][0].update(ports=[{"port": 1}]), None, ("batch", "s3", 8333)),
    ("gateway", lambda it: it["spec"]["egress"].pop(0), None, ("gateway", "recommender", 50051)),
    ("to-kafka", lambda it: it["spec"].update(egress=[]), None, ("producer", "kafka", 9092)),
    ("to-kafka", lambda it: it["spec"].update(podSelector={}), None, None),
]


@pytest.mark.parametrize(("name", "change", "more", "less"), CHANGES)
def test_a_changed_policy_changes_the_connections(
    overlay: Callable[[str], list[Object]],
    name: str,
    change: Callable[[Any], object],
    more: tuple[str, str, int] | None,
    less: tuple[str, str, int] | None,
) -> None:
    """Where only one side permits a connection, it stays forbidden."""
    objects = deepcopy(overlay("local"))
    before = permitted(objects)
    (policy,) = (each for each in of_kind(objects, "NetworkPolicy") if each["metadata"]["name"] == name)
    change(policy)
    after = permitted(objects)
    assert (Connection(*more) in after - before) if more else not after - before
    assert (Connection(*less) in before - after) if less else not before - after


def test_a_pod_that_nothing_isolates_is_found(overlay: Callable[[str], list[Object]]) -> None:
    objects = [each for each in overlay("local") if each["metadata"]["name"] != "default-deny"]
    assert "CronJob/batch: nothing limits its ingress" in list(isolated(objects))
