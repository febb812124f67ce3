"""Each pod killed once, without grace, and each process once (SIGKILL), while customers ask and purchases arrive."""

import pytest

from local.cluster.kubectl import wait
from local.cluster.shop import IN_NAMESPACE
from tests.cluster.pod_network import container_pid, node_of
from tests.cluster.report import Report
from tests.cluster.shop_under_load import FRESH_WITHIN_S, READY_WITHIN_S, ShopUnderLoad

PODS = [
    ("gateway", 0),
    ("gateway", 1),
    ("recommender", 0),
    ("recommender", 1),
    ("aggregator", 0),
    ("aggregator", 1),
    ("archiver", 0),
    ("valkey", 0),
    ("kafka", 0),
    ("s3", 0),
]


@pytest.mark.parametrize(("service", "number"), PODS)
def test_a_killed_pod_costs_no_answer(busy_shop: ShopUnderLoad, report: Report, service: str, number: int) -> None:
    pod = busy_shop.pods_of(service)[number]
    cost = busy_shop.disturb(
        lambda: busy_shop.kubectl("delete", "pod", pod, IN_NAMESPACE, "--grace-period=0", "--force", "--wait=false")
    )
    report.add("Pods killed", cost.row(pod))
    assert cost.failures == {}
    assert cost.stale_s <= FRESH_WITHIN_S


@pytest.mark.parametrize(("service", "number"), PODS)
def test_a_crashed_process_costs_no_answer(busy_shop: ShopUnderLoad, report: Report, service: str, number: int) -> None:
    """The kernel ends the process at once, as when memory runs out: nobody is warned, and the pod stays."""
    pod = busy_shop.kubectl.get("pod", busy_shop.pods_of(service)[number], IN_NAMESPACE)
    before = busy_shop.restarts()

    def crash() -> None:
        node = node_of(busy_shop.shop, pod)
        node.call("kill", "-KILL", container_pid(node, pod))
        wait("the kubelet starts it again", lambda: busy_shop.restarts() > before, READY_WITHIN_S)

    cost = busy_shop.disturb(crash)
    report.add("Processes killed", cost.row(pod["metadata"]["name"]))
    assert cost.failures == {}
    assert cost.stale_s <= FRESH_WITHIN_S


def test_every_kind_of_pod_is_killed(busy_shop: ShopUnderLoad) -> None:
    assert {service for service, _ in PODS} == busy_shop.services()
