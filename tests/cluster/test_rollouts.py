"""Rolling updates while customers ask and purchases arrive."""

import pytest

from local.cluster.shop import IN_NAMESPACE
from tests.cluster.report import Report
from tests.cluster.shop_under_load import FRESH_WITHIN_S, ShopUnderLoad

WORKLOADS = [
    "deployment/gateway",
    "deployment/recommender",
    "deployment/aggregator",
    "deployment/archiver",
    "statefulset/valkey",
    "statefulset/kafka",
    "statefulset/s3",
]


@pytest.mark.parametrize("workload", WORKLOADS)
def test_a_rolling_restart_costs_no_answer(busy_shop: ShopUnderLoad, report: Report, workload: str) -> None:
    def restart() -> None:
        busy_shop.kubectl("rollout", "restart", workload, IN_NAMESPACE)
        busy_shop.kubectl("rollout", "status", workload, IN_NAMESPACE, "--timeout=240s")

    cost = busy_shop.disturb(restart)
    report.add("Rolling restarts", cost.row(workload))
    assert cost.failures == {}
    assert cost.stale_s <= FRESH_WITHIN_S


def test_every_workload_is_restarted(busy_shop: ShopUnderLoad) -> None:
    assert {workload.partition("/")[2] for workload in WORKLOADS} == busy_shop.services()


@pytest.mark.parametrize("service", ["gateway", "recommender", "aggregator"])
def test_a_bad_image_is_held_back_and_undone(busy_shop: ShopUnderLoad, report: Report, service: str) -> None:
    deployment = f"deployment/{service}"

    def bad_image_then_undo() -> None:
        busy_shop.kubectl("set", "image", deployment, f"{service}=tillstream/{service}:none", IN_NAMESPACE)
        status = busy_shop.kubectl.run("rollout", "status", deployment, IN_NAMESPACE, "--timeout=20s")
        assert status.returncode != 0
        assert busy_shop.ready_pods(service) >= 1
        busy_shop.kubectl("rollout", "undo", deployment, IN_NAMESPACE)
        busy_shop.kubectl("rollout", "status", deployment, IN_NAMESPACE, "--timeout=240s")

    cost = busy_shop.disturb(bad_image_then_undo)
    report.add("Bad image, then undo", cost.row(deployment))
    assert cost.failures == {}
    assert cost.stale_s <= FRESH_WITHIN_S
