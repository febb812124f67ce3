"""The CronJob's run, as `python -m spark.submit` starts it: a new model, swapped in while customers ask."""

import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

from local.cluster.kubectl import wait
from local.cluster.shop import NAMESPACE
from local.http import get_json
from local.layout import REPOSITORY
from tests.cluster.report import Report
from tests.cluster.shop_under_load import FRESH_WITHIN_S, ShopUnderLoad

_RUN_S = 1800  # two cores, and customers who ask meanwhile come first


def test_a_run_of_the_cron_job_swaps_the_model(busy_shop: ShopUnderLoad, report: Report, tmp_path: Path) -> None:
    name = f"batch-test-{int(time.time())}"
    before = _model(busy_shop)
    variables = {"TILLSTREAM_KUBECTL": str(_kubectl(busy_shop, tmp_path)), "TILLSTREAM_KUBERNETES_NAMESPACE": NAMESPACE}
    command = [sys.executable, "-m", "spark.submit", "--to", "k8s", "--name", name]

    def run() -> None:
        subprocess.run(command, cwd=REPOSITORY, env={**os.environ, **variables}, timeout=_RUN_S, check=True)
        wait("another model serves", lambda: _model(busy_shop) not in (None, before), 120)

    cost = busy_shop.disturb(run)
    report.add("Batch job", {**cost.row(name), "model before": before, "model after": _model(busy_shop)})
    assert cost.failures == {}
    assert cost.fallbacks == 0
    assert cost.stale_s <= FRESH_WITHIN_S


def _model(shop: ShopUnderLoad) -> str | None:
    version: str | None = get_json(f"{shop.page}/v1/stats/summary")["model_version"]
    return version


def _kubectl(shop: ShopUnderLoad, folder: Path) -> Path:
    """A program that is kubectl in the node's network."""
    program = folder / "kubectl"
    program.write_text(f'#!/bin/sh\nexec {shlex.join(shop.kubectl.argv())} "$@"\n')
    program.chmod(0o700)
    return program
