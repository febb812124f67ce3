"""HorizontalPodAutoscalers scale gateway and recommender up under load, and down after it. metrics-server measures."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from local.cluster.kubectl import wait
from local.cluster.shop import IN_NAMESPACE
from local.process import stop_together
from tests.cluster.report import Report
from tests.cluster.shop_under_load import ShopUnderLoad

_SERVICES = ("gateway", "recommender")
_TIMES = 4  # so much more load
_WITHIN_S = 300
# Without the calm minutes before an autoscaler gives up a pod: a test waits for that.
_HASTY = {
    "scaleUp": {"stabilizationWindowSeconds": 0},
    "scaleDown": {
        "stabilizationWindowSeconds": 15,
        "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
    },
}


@pytest.fixture
def hasty_autoscalers(busy_shop: ShopUnderLoad) -> Iterator[None]:
    patch = json.dumps({"spec": {"behavior": _HASTY}})
    for service in _SERVICES:
        busy_shop.kubectl("patch", "hpa", service, IN_NAMESPACE, "--type=merge", "--patch", patch)
    yield
    busy_shop.shop.apply()


@pytest.mark.usefixtures("hasty_autoscalers")
def test_more_load_more_pods(busy_shop: ShopUnderLoad, report: Report, tmp_path: Path) -> None:
    busy_shop.calm()
    fewest = {service: _fewest_pods(busy_shop, service) for service in _SERVICES}
    _all_reach(busy_shop, time.monotonic(), lambda service: _pods(busy_shop, service) == fewest[service])
    began = time.monotonic()
    load = busy_shop.start_load(tmp_path / "more.jsonl", _TIMES * busy_shop.rate)
    ups = _all_reach(busy_shop, began, lambda service: _pods(busy_shop, service) > fewest[service])
    most = {service: _pods(busy_shop, service) for service in _SERVICES}
    stop_together([load])
    ended = time.monotonic()
    downs = _all_reach(busy_shop, ended, lambda service: _pods(busy_shop, service) == fewest[service])
    for service in _SERVICES:
        report.add(
            "Autoscaling",
            {
                "service": service,
                "pods before": fewest[service],
                "pods under load": most[service],
                "more after s": ups[service],
                "fewer after s": downs[service],
            },
        )


def _all_reach(shop: ShopUnderLoad, began: float, reached: Callable[[str], bool]) -> dict[str, float]:
    """Seconds until each service reached it."""
    seconds: dict[str, float] = {}

    def all_have() -> bool:
        for service in _SERVICES:
            if service not in seconds and reached(service):
                seconds[service] = round(time.monotonic() - began, 1)
        return len(seconds) == len(_SERVICES)

    wait("both services are scaled", all_have, _WITHIN_S)
    return seconds


def _fewest_pods(shop: ShopUnderLoad, service: str) -> int:
    return int(shop.kubectl.get("hpa", service, IN_NAMESPACE)["spec"]["minReplicas"])


def _pods(shop: ShopUnderLoad, service: str) -> int:
    return int(shop.kubectl.get("deployment", service, IN_NAMESPACE)["spec"]["replicas"])
