"""HorizontalPodAutoscalers scale gateway and recommender up under load, and down after it. metrics-server measures."""

import copy
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from local.cluster.kubectl import Kubectl, wait
from local.cluster.shop import IN_NAMESPACE
from local.layout import REPOSITORY
from local.process import stop_together
from tests.cluster.report import Report
from tests.cluster.shop_under_load import ShopUnderLoad

_AUTOSCALING = REPOSITORY / "k8s" / "components" / "autoscaling"
_SERVICES = ("gateway", "recommender")
_MOST = 4  # as many as two cores carry
_TARGET_PERCENT = 120
_RATE = 400
_WITHIN_S = 300

Json = dict[str, Any]


@pytest.fixture
def autoscalers(busy_shop: ShopUnderLoad) -> Iterator[None]:
    """Those of the component, with fewer pods at most and without the calm five minutes before they scale down."""
    kubectl = busy_shop.kubectl
    for service in _SERVICES:
        kubectl("apply", IN_NAMESPACE, "-f", "-", text=json.dumps(_hasty(kubectl, _AUTOSCALING / f"{service}.yaml")))
    yield
    for service in _SERVICES:
        kubectl("delete", "hpa", service, IN_NAMESPACE)
        kubectl("scale", f"deployment/{service}", "--replicas=2", IN_NAMESPACE)


def _hasty(kubectl: Kubectl, file: Path) -> Json:
    found: Json = json.loads(kubectl("create", "--dry-run=client", "-o", "json", "-f", str(file)))
    scaler = copy.deepcopy(found)
    scaler["spec"]["maxReplicas"] = _MOST
    scaler["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"] = _TARGET_PERCENT
    scaler["spec"]["behavior"] = {
        "scaleUp": {"stabilizationWindowSeconds": 0},
        "scaleDown": {
            "stabilizationWindowSeconds": 15,
            "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
        },
    }
    return scaler


@pytest.mark.usefixtures("autoscalers")
def test_more_load_more_pods(busy_shop: ShopUnderLoad, report: Report, tmp_path: Path) -> None:
    busy_shop.calm()
    before = {service: _pods(busy_shop, service) for service in _SERVICES}
    began = time.monotonic()
    load = busy_shop.start_load(tmp_path / "more.jsonl", _RATE)
    ups = _all_reach(busy_shop, began, lambda service: _pods(busy_shop, service) > before[service])
    most = {service: _pods(busy_shop, service) for service in _SERVICES}
    stop_together([load])
    ended = time.monotonic()
    downs = _all_reach(busy_shop, ended, lambda service: _pods(busy_shop, service) == before[service])
    for service in _SERVICES:
        report.add(
            "Autoscaling",
            {
                "service": service,
                "pods before": before[service],
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


def _pods(shop: ShopUnderLoad, service: str) -> int:
    return int(shop.kubectl.get("deployment", service, IN_NAMESPACE)["spec"]["replicas"])
