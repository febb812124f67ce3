"""The node's kubelet ends and is started again: containers and answers go on."""

import os
import signal

from local.cluster.kubectl import wait
from tests.cluster.report import Report
from tests.cluster.shop_under_load import FRESH_WITHIN_S, ShopUnderLoad


def test_a_restarted_kubelet_costs_no_answer(busy_shop: ShopUnderLoad, report: Report) -> None:
    node = busy_shop.shop.cluster.node
    before = busy_shop.restarts()

    def kill() -> None:
        pid = node.component_pid("kubelet")
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        wait("the kubelet runs again", lambda: node.component_pid("kubelet") not in (None, pid), 30)
        busy_shop.kubectl("wait", f"node/{node.address.name}", "--for=condition=Ready", "--timeout=60s")

    cost = busy_shop.disturb(kill)
    report.add("The node", cost.row("kubelet killed"))
    assert cost.failures == {}
    assert cost.stale_s <= FRESH_WITHIN_S
    assert busy_shop.restarts() == before
