"""Every panel and every rule, asked of the stack's own Prometheus while the stack is busy."""

import json
import time
from typing import Any
from urllib.parse import quote

import pytest

from local.http import get_json
from local.monitoring.__main__ import DASHBOARDS, prometheus_rule
from local.process import stop_together
from tests.support.live_shop import LiveShop
from tests.support.shop import seed_rows

pytestmark = pytest.mark.timeout(600)

ROWS = 2_000
RATE = 40
PATIENCE_S = 120
MAX_SERIES = 1_000
# Nothing is wrong, nobody posts or writes a product, and there are no keys, webhooks or canaries: these have no series.
EMPTY = (
    'ALERTS{alertstate="firing",alertname!="Watchdog"}',
    "tillstream_health_check == 0",
    "tillstream:state_age:seconds",  # not in a recommender's first two minutes
    "tillstream_gateway_intake_events_total",
    "tillstream_gateway_hook_deliveries_total",
    "tillstream_gateway_key_used_timestamp_seconds",
    "tillstream_gateway_logins_total",
    "tillstream_gateway_rate_limited_total",
    "tillstream_gateway_rates_shared",
    "tillstream_gateway_products_total",
    "tillstream_products_records_total",
    "tillstream_gateway_canaries_lost_total",
    "tillstream_gateway_canary_seconds",
    "tillstream_gateway_stream_dropped_total",
    'tillstream_gateway_recommender_call_seconds_count{code!="OK"}',
    "tillstream_aggregator_dead_letters_total",
    "tillstream_aggregator_other_lines_total",
    "tillstream_producer_dead_letters_total",
    "tillstream_recommender_model_refusals_total",
    "tillstream_job_gate_info",  # this shop is too small for an evaluation
)


def expressions() -> list[tuple[str, str]]:
    """Where it is asked, and the expression: of every panel, and every recorded series."""
    found = [(f"rule {rule['record']}", rule["record"]) for rule in rules() if "record" in rule]
    for path in sorted(DASHBOARDS.glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            found += [(f"{path.stem}: {panel['title']}", target["expr"]) for target in panel.get("targets", [])]
    return found


def rules() -> list[dict[str, Any]]:
    return [rule for group in prometheus_rule()["spec"]["groups"] for rule in group["rules"]]


class Prometheus:
    """The stack's own."""

    def __init__(self, shop: LiveShop) -> None:
        self._address = f"http://127.0.0.1:{shop.settings.prometheus_port}"

    def query(self, expr: str) -> list[dict[str, Any]]:
        """The series of an expression, now. `$__rate_interval` is what Grafana would put in, or a little longer."""
        asked = quote(expr.replace("$__rate_interval", "15s"))
        answer = get_json(f"{self._address}/api/v1/query?query={asked}")
        assert answer["status"] == "success", (expr, answer)
        return list(answer["data"]["result"])

    def unhealthy_rules(self) -> list[str]:
        """Rules whose evaluation failed."""
        groups = get_json(f"{self._address}/api/v1/rules")["data"]["groups"]
        return [rule["name"] for group in groups for rule in group["rules"] if rule["health"] == "err"]


def use(shop: LiveShop) -> None:
    """Requests that are answered, refused and wrong."""
    for path in ("/v1/stats/summary", "/v1/nothing"):
        shop.get(path)
    for user in shop.get("/v1/users?limit=3"):
        shop.get(f"/v1/users/{user}/recommendations?k=3")
    shop.get("/v1/users/nobody/recommendations?k=0")


def test_every_panel_and_every_rule_has_something_to_say_of_a_busy_stack(stack: LiveShop) -> None:
    prometheus = Prometheus(stack)
    silent = {where_expr for where_expr in expressions() if not any(known in where_expr[1] for known in EMPTY)}
    run = stack.prepare(seed_rows(92, ROWS), rate=str(RATE))
    producer = stack.start_producer(run)
    try:
        until = time.monotonic() + PATIENCE_S
        while silent and time.monotonic() < until:
            use(stack)
            silent = {(where, expr) for where, expr in silent if not prometheus.query(expr)}
        large = [where for where, expr in expressions() if len(prometheus.query(expr)) > MAX_SERIES]
    finally:
        stop_together([producer])
        stack.resume(run)
    assert (sorted(silent), large, prometheus.unhealthy_rules()) == ([], [], [])


def test_what_may_be_empty_is_still_asked() -> None:
    """An entry that nothing needs any longer would hide a panel that broke."""
    assert [known for known in EMPTY if not any(known in expr for _, expr in expressions())] == []
