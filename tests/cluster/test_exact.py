"""After all disturbances: every figure equals the one computed from the file, to the cent."""

import json
import re
from typing import Any

from local import verify
from local.cluster.shop import IN_NAMESPACE, Shop
from local.producer_run import demo_data
from tests.cluster.report import Report

_SEND_S = 900
_WAIT_S = 120
_OF_A_JOB = re.compile(r"job-name|controller-uid")

Json = dict[str, Any]


def test_the_figures_are_exact(shop: Shop, page: str, report: Report) -> None:
    """The stream is stopped somewhere, and the whole file sent again: what was counted before must not count twice."""
    stream = shop.kubectl.get("job", "demo-stream", IN_NAMESPACE)
    shop.kubectl("delete", "job", "demo-stream", IN_NAMESPACE)
    shop.kubectl("apply", "-f", "-", text=json.dumps(_whole_file(stream)))
    shop.kubectl("wait", "job/whole-file", "--for=condition=Complete", IN_NAMESPACE, f"--timeout={_SEND_S}s")
    status = verify.main(["--csv", str(demo_data()), "--gateway", page, "--no-report", "--wait", str(_WAIT_S)])
    report.add("Figures", {"compared with": demo_data().name, "differences": status})
    assert status == 0


def _whole_file(stream: Json) -> Json:
    """The demo's job, sending all rows at full speed."""
    pod = stream["spec"]["template"]
    # Network policies let the pod through by its labels; a Job has some of its own.
    labels: dict[str, str] = pod["metadata"]["labels"]
    pod["metadata"]["labels"] = {name: value for name, value in labels.items() if not _OF_A_JOB.search(name)}
    [container] = pod["spec"]["containers"]
    arguments: list[str] = container["args"]
    rows, rate = arguments.index("--rows"), arguments.index("--rate")
    arguments[rate + 1] = "max"
    del arguments[rows : rows + 2]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "whole-file", "namespace": stream["metadata"]["namespace"]},
        "spec": {"backoffLimit": 3, "template": pod},
    }
