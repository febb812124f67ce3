"""Every panel and every rule, asked of a real Prometheus that scrapes the real stack while it is busy."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from local.http import get_json
from local.monitoring.__main__ import DASHBOARDS, prometheus_rule
from local.steps import wait_settled
from tests.support.live_shop import LiveShop
from tests.support.prometheus import prometheus
from tests.support.shop import seed_rows

pytestmark = pytest.mark.timeout(600)

ROWS = 1_200
RATE = 150
# Nothing is wrong and no purchase is posted, so that these have no series: metrics by what they are asked with.
EMPTY = (
    'ALERTS{alertstate="firing",alertname!="Watchdog"}',
    "tillstream_health_check == 0",
    "tillstream:state_age:seconds",  # not in a recommender's first two minutes
    "tillstream_gateway_intake_events_total",
    "tillstream_gateway_key_used_timestamp_seconds",
    "tillstream_aggregator_dead_letters_total",
    "tillstream_aggregator_other_lines_total",
    "tillstream_gateway_stream_dropped_total",
    'code!="OK"',
    "tillstream_recommender_model_refusals_total",
    "tillstream_job_gate_info",  # this shop is too small for an evaluation
)
MAX_SERIES = 1_000


def expressions() -> list[tuple[str, str]]:
    """Where it is asked, and the expression."""
    found = []
    for path in sorted(DASHBOARDS.glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            found += [(f"{path.stem}: {panel['title']}", target["expr"]) for target in panel.get("targets", [])]
    return found


def use(shop: LiveShop) -> None:
    """Requests that are answered, refused and wrong."""
    for path in ("/v1/stats/summary", "/v1/users?limit=5", "/v1/nothing"):
        get_json(f"{shop.url}{path}")
    for user in get_json(f"{shop.url}/v1/users?limit=5")[:5]:
        get_json(f"{shop.url}/v1/users/{user}/recommendations?k=3")
    get_json(f"{shop.url}/v1/users/nobody/recommendations?k=0")


def test_every_panel_shows_something_of_a_busy_stack(stack: LiveShop, tmp_path: Path) -> None:
    run = stack.prepare(seed_rows(77, ROWS), rate=str(RATE))
    with prometheus(tmp_path, stack.settings) as server:
        producer = stack.start_producer(run)
        try:
            until = time.monotonic() + ROWS / RATE - 1
            while time.monotonic() < until:
                use(stack)
            asked = {(where, expr): server.query(expr) for where, expr in expressions()}
            fired = server.query('ALERTS{alertstate="firing"}')
            recorded = [rule["record"] for rule in rules() if "record" in rule and server.query(rule["record"]) == []]
        finally:
            assert producer.wait(60)
            wait_settled(stack.stack)
    silent = [(where, expr) for (where, expr), series in asked.items() if not series]
    assert [each for each in silent if not any(known in each[1] for known in EMPTY)] == []
    assert [where for where, series in asked.items() if len(series) > MAX_SERIES] == []
    assert recorded in ([], ["tillstream:state_age:seconds"])
    assert [each["metric"]["alertname"] for each in fired] == ["Watchdog"]


def rules() -> list[dict[str, Any]]:
    """All rules."""
    return [rule for group in prometheus_rule()["spec"]["groups"] for rule in group["rules"]]
