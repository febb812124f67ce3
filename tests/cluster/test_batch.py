"""The CronJob's run: reconciled figures and a new model, swapped in while customers ask."""

import time

from local.cluster.kubectl import wait
from local.cluster.shop import IN_NAMESPACE
from local.http import get_json
from tests.cluster.report import Report
from tests.cluster.shop_under_load import FRESH_WITHIN_S, ShopUnderLoad

_RUN_S = 1800  # two cores, and customers who ask meanwhile come first


def test_a_run_of_the_cron_job_swaps_the_model(busy_shop: ShopUnderLoad, report: Report) -> None:
    name = f"batch-test-{int(time.time())}"
    before = _model(busy_shop)

    def run() -> None:
        busy_shop.kubectl("create", "job", name, "--from=cronjob/batch", IN_NAMESPACE)
        busy_shop.kubectl("wait", f"job/{name}", "--for=condition=Complete", IN_NAMESPACE, f"--timeout={_RUN_S}s")
        wait("another model serves", lambda: _model(busy_shop) not in (None, before), 120)

    cost = busy_shop.disturb(run)
    report.add("Batch job", {**cost.row(name), "model before": before, "model after": _model(busy_shop)})
    assert cost.failures == {}
    assert cost.fallbacks == 0
    assert cost.stale_s <= FRESH_WITHIN_S


def _model(shop: ShopUnderLoad) -> str | None:
    version: str | None = get_json(f"{shop.page}/v1/stats/summary")["model_version"]
    return version
