"""A PodDisruptionBudget refuses the eviction that would take a service below what it needs."""

import pytest

from local.cluster.kubectl import wait
from tests.cluster.report import Report
from tests.cluster.shop_under_load import READY_WITHIN_S, ShopUnderLoad


@pytest.mark.parametrize("service", ["gateway", "recommender", "aggregator"])
def test_a_second_eviction_is_refused(busy_shop: ShopUnderLoad, report: Report, service: str) -> None:
    busy_shop.calm()
    first, second = busy_shop.pods_of(service)[:2]
    assert busy_shop.evict(first).returncode == 0
    refused = busy_shop.evict(second)
    report.add("Evictions", {"service": service, "second eviction": refused.stderr.strip()})
    assert refused.returncode != 0
    assert "disruption budget" in refused.stderr
    wait(f"{service} is complete again", busy_shop.all_ready, READY_WITHIN_S)
