"""The policies permit exactly the connections of docs/architecture.md, and these are the edges of its picture."""

import re
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from tests.k8s.conftest import AWS
from tests.k8s.manifests import ROOT, Object, of_kind
from tests.k8s.network import Connection, egress_to_addresses, isolated, permitted

ARCHITECTURE = (ROOT / "docs/architecture.md").read_text()
# The nodes of the picture, by the pods that they are in a cluster.
PODS = {
    "csv": None,
    "shop": "outside",
    "page": "outside",
    "purchases": "kafka",
    "dlq": "kafka",
    "recommendations": "kafka",
    "raw": "s3",
    "models": "s3",
    "redis": "valkey",
    "spark": "batch",
}
# The demo sends like the producer and trains like the batch job.
DEMO = ("producer", "batch")


def documented() -> set[Connection]:
    """The table of connections."""
    section = ARCHITECTURE.partition("## Connections")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([\w ]+) \| ([\w ]+) \| ([\d, ]+) \|", section, re.MULTILINE)
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


def test_the_policies_permit_what_is_documented(overlay: Callable[[str], list[Object]]) -> None:
    assert permitted(overlay("local")) == documented()


def test_with_several_brokers_too(overlay: Callable[[str], list[Object]]) -> None:
    absent = {each for each in documented() if each.source == "demo" or each.target == "producer"}
    among = {Connection("valkey", "valkey", port) for port in (6379, 16379)}
    assert permitted(overlay("ha")) == documented() - absent - {c for c in documented() if c.source == "producer"} | among


def test_on_aws_only_managed_engines_are_reached(overlay: Callable[[str], list[Object]]) -> None:
    assert permitted(overlay("aws")) == {
        Connection("outside", "gateway", 8080),
        Connection("gateway", "recommender", 50051),
        Connection("gateway", "recommender", 9104),
        Connection("gateway", "aggregator", 9103),
    }
    everybody = ("aggregator", "batch", "gateway", "provision", "recommender")
    assert egress_to_addresses(overlay("aws")) == {
        *((app, AWS["VPC_CIDR"], 9098) for app in everybody if app != "batch"),
        *((app, AWS["VPC_CIDR"], 6379) for app in ("aggregator", "gateway")),
        *((app, "0.0.0.0/0", 443) for app in everybody),
        *((app, "169.254.170.23/32", 80) for app in everybody),
    }


def test_nobody_leaves_the_cluster(overlay: Callable[[str], list[Object]]) -> None:
    assert egress_to_addresses(overlay("local")) == set()


def test_every_pod_is_isolated(objects: list[Object]) -> None:
    assert list(isolated(objects)) == []


def test_every_connection_is_an_edge_of_the_picture() -> None:
    for each in documented():
        sources = DEMO if each.source == "demo" else (each.source,)
        assert each.source == each.target or any(frozenset((source, each.target)) in drawn() for source in sources), each


def test_every_edge_of_the_picture_is_a_connection() -> None:
    connected = {frozenset((each.source, each.target)) for each in documented()}
    assert {edge for edge in drawn() if len(edge) == 2} - connected == set()


@pytest.mark.parametrize(
    ("name", "change", "more", "less"),
    [
        ("default-deny", lambda it: it["spec"].update(policyTypes=["Egress"]), ("aggregator", "archiver", 9102), None),
        ("valkey", lambda it: it["spec"].update(ingress=[{}]), None, None),
        ("to-valkey", lambda it: it["spec"].update(podSelector={}), None, None),
        ("recommender", lambda it: it["spec"].update(ingress=[{}]), ("outside", "recommender", 50051), None),
        ("gateway", lambda it: it["spec"]["egress"].pop(0), None, ("gateway", "recommender", 50051)),
        ("to-kafka", lambda it: it["spec"].update(egress=[]), None, ("producer", "kafka", 9092)),
    ],
)
def test_a_changed_policy_changes_the_connections(
    overlay: Callable[[str], list[Object]],
    name: str,
    change: Callable[[Any], object],
    more: tuple[str, str, int] | None,
    less: tuple[str, str, int] | None,
) -> None:
    objects = deepcopy(overlay("local"))
    (policy,) = (each for each in of_kind(objects, "NetworkPolicy") if each["metadata"]["name"] == name)
    change(policy)
    found = permitted(objects)
    assert more is None or Connection(*more) in found
    assert less is None or Connection(*less) not in found
    if not more and not less:  # one side alone still forbids it
        assert found - documented() in (set(), {Connection("outside", "valkey", 6379)})


def test_a_pod_that_nothing_isolates_is_found(overlay: Callable[[str], list[Object]]) -> None:
    objects = [each for each in overlay("local") if each["metadata"]["name"] != "default-deny"]
    assert "Deployment/archiver: nothing limits its ingress" not in list(isolated(objects))
    assert "StatefulSet/valkey: nothing limits its egress" in list(isolated(objects))
