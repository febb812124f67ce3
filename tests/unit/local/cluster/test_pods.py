"""What `up` says about pods that are not ready."""

from typing import Any

import pytest

from local.cluster.shop import pod_problem

Json = dict[str, Any]
READY: Json = {"name": "gateway", "ready": True, "started": True, "state": {"running": {}}}


@pytest.mark.parametrize(
    ("status", "problem"),
    [
        ({"phase": "Running", "containerStatuses": [READY]}, ""),
        ({"phase": "Succeeded", "containerStatuses": [{**READY, "ready": False}]}, ""),
        ({"phase": "Pending"}, "Pending"),
        ({"phase": "Running", "containerStatuses": [{**READY, "ready": False}]}, "gateway is not ready"),
        ({"phase": "Running", "containerStatuses": [{**READY, "ready": False, "started": False}]}, "gateway starts"),
        (
            {"phase": "Pending", "containerStatuses": [{**READY, "state": {"waiting": {"reason": "ErrImagePull"}}}]},
            "ErrImagePull",
        ),
    ],
)
def test_the_problem_of_a_pod(status: Json, problem: str) -> None:
    assert pod_problem({"status": status}) == problem
