"""Each node of three drained once, as for its maintenance, while customers ask and purchases arrive."""

import time

import pytest

from local.cluster.kubectl import wait
from tests.cluster.report import Report
from tests.cluster.shop_under_load import FRESH_WITHIN_S, READY_WITHIN_S, ShopUnderLoad

_AWAY_S = 30.0


@pytest.mark.parametrize("node", ["node2", "node3", "node1"])
def test_a_drained_node_costs_no_answer(busy_shop: ShopUnderLoad, report: Report, node: str) -> None:
    def drain() -> None:
        flags = ("--ignore-daemonsets", "--delete-emptydir-data", f"--timeout={READY_WITHIN_S:.0f}s")
        busy_shop.kubectl("drain", node, *flags)
        wait(f"{node} is empty", lambda: node not in busy_shop.nodes_in_use(), READY_WITHIN_S)
        time.sleep(_AWAY_S)  # long enough that whoever watches it has noticed
        busy_shop.kubectl("uncordon", node)

    cost = busy_shop.disturb(drain)
    report.add("Nodes drained", cost.row(node) | {"longest stale s": round(cost.longest_stale_s, 1)})
    assert cost.failures == {}
    # Not from its beginning: a drain ends one pod after the other.
    assert cost.longest_stale_s <= FRESH_WITHIN_S
