"""Alerts and dashboards ask for what exists; every alert is tested on both sides and has its section in the runbook."""

import json
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import promql_parser
import pytest
import yaml

from local.layout import REPOSITORY, RULES
from local.monitoring.__main__ import DASHBOARDS, outdated, prometheus_rule
from local.monitoring.programs import program
from services.common.metrics_docs import documented

TESTS = sorted((REPOSITORY / "monitoring" / "tests").glob("*.yml"))
RUNBOOK = (REPOSITORY / "docs" / "runbooks" / "alerts.md").read_text()
ALL_RULES: list[dict[str, Any]] = [rule for group in prometheus_rule()["spec"]["groups"] for rule in group["rules"]]
ALERTS = [rule for rule in ALL_RULES if "alert" in rule]
RECORDED = [rule for rule in ALL_RULES if "record" in rule]
BOARDS = {path.stem: json.loads(path.read_text()) for path in sorted(DASHBOARDS.glob("*.json"))}
# What Prometheus and its Python client add themselves, with their labels.
SCRAPED = {"service", "instance", "job"}
PROCESS = ("resident_memory_bytes", "cpu_seconds_total", "open_fds", "start_time_seconds")
PROMETHEUS = {
    "up": SCRAPED,
    "ALERTS": SCRAPED | {"alertname", "alertstate", "severity"},
    **{f"process_{name}": SCRAPED for name in PROCESS},
}
# SeaweedFS's own, of version 4.48, as its /metrics has them.
STORE = {
    "SeaweedFS_s3_request_total": SCRAPED | {"bucket", "code", "type"},
    "SeaweedFS_s3_request_seconds_bucket": SCRAPED | {"bucket", "type", "le"},
    "SeaweedFS_volumeServer_read_only_volumes": SCRAPED | {"collection", "type"},
    "SeaweedFS_volumeServer_file_write_failures": SCRAPED,
}


def known() -> dict[str, set[str]]:
    """The name of every series → its labels."""
    found = PROMETHEUS | STORE
    for metric in documented():
        labels = SCRAPED | {*metric.labels}
        if metric.kind == "histogram":
            found |= {f"{metric.name}_{part}": labels for part in ("sum", "count")}
            found[f"{metric.name}_bucket"] = labels | {"le"}
        else:
            found[metric.name] = labels
    # Recorded series have the labels of what they are made of; `slo` is given by the rule.
    return found | {rule["record"]: SCRAPED | {"slo", "version"} for rule in RECORDED}


KNOWN = known()


def unknown(expr: str) -> Iterator[str]:
    """Names and labels of an expression that nothing has."""
    asked = set[str]()
    for selector in selectors(promql_parser.parse(expr.replace("$__rate_interval", "1m"))):
        if selector.name not in KNOWN:
            yield f"{selector.name}: no such series"
            continue
        asked |= KNOWN[selector.name]
        yield from (
            f"{selector.name} has no label {matcher.name}"
            for matcher in selector.matchers.matchers
            if matcher.name not in KNOWN[selector.name]
        )
    for labels in re.findall(r"\b(?:by|on|group_left)\s*\(([^)]*)\)", expr):
        yield from (f"no series has {label}" for label in re.findall(r"\w+", labels) if label not in asked)


def selectors(node: object) -> Iterator[promql_parser.VectorSelector]:
    """Every selector of series below a node."""
    if isinstance(node, promql_parser.VectorSelector):
        yield node
    for child in ("expr", "lhs", "rhs", "args", "vector_selector", "param"):
        below = getattr(node, child, None)
        for each in below if isinstance(below, list) else [below]:
            if isinstance(each, promql_parser.Expr):
                yield from selectors(each)


def panels() -> Iterator[tuple[str, dict[str, Any]]]:
    """Dashboard and panel."""
    return ((name, panel) for name, board in BOARDS.items() for panel in board["panels"] if panel["type"] != "row")


def asked_by_panels() -> list[tuple[str, str]]:
    """Dashboard and expression."""
    return [(name, target["expr"]) for name, panel in panels() for target in panel["targets"]]


@pytest.mark.parametrize(
    ("expr", "complaint"),
    [
        ("sum(rate(tillstream_gateway_request_seconds[5m]))", "no such series"),
        ('1 - max(up{colour="gateway"})', "no label colour"),
        ("sum by (colour) (tillstream_gateway_lag_seconds)", "no series has colour"),
        ("histogram_quantile(0.9, sum by (le) (rate(nothing_bucket[1m])))", "no such series"),
    ],
)
def test_a_mistake_in_an_expression_is_found(expr: str, complaint: str) -> None:
    assert complaint in next(unknown(expr))


def test_every_expression_asks_for_what_exists() -> None:
    asked = [(rule.get("alert") or rule["record"], rule["expr"]) for rule in ALL_RULES] + asked_by_panels()
    assert [(where, problem) for where, expr in asked for problem in unknown(expr)] == []


def test_what_is_generated_is_up_to_date() -> None:
    assert outdated() == [], "run `make monitoring`"


def test_the_rules_are_valid_and_fire_when_they_must() -> None:
    for verb, files in (("check", sorted(RULES.glob("*.yml"))), ("test", TESTS)):
        done = subprocess.run([program("promtool"), verb, "rules", *files], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def sides_tested() -> dict[str, set[bool]]:
    """Alert → whether a test expects it to fire, to be silent, or both."""
    found: dict[str, set[bool]] = {}
    for path in TESTS:
        for test in yaml.safe_load(path.read_text())["tests"]:
            for case in test.get("promql_expr_test", []):
                firing = named(" ".join(sample["labels"] for sample in case.get("exp_samples", [])))
                for alert in (named(case["expr"]) or firing) if case["expr"].startswith("ALERTS{") else ():
                    found.setdefault(alert, set()).add(alert in firing)
    return found


def named(text: str) -> set[str]:
    """The alerts that an expression or a series names."""
    return {*re.findall(r'alertname="(\w+)"', text)}


def test_every_alert_is_tested_on_both_sides() -> None:
    found = sides_tested()
    sides = {rule["alert"]: {True, False} for rule in ALERTS} | {"Watchdog": {True}}
    assert found == sides


def test_every_alert_says_what_users_feel_and_where_its_runbook_is() -> None:
    for rule in ALERTS:
        assert rule["labels"]["severity"] in ("page", "ticket", "none")
        assert rule["annotations"]["summary"].endswith(".")
        assert rule["annotations"]["runbook"] == f"docs/runbooks/alerts.md#{rule['alert'].lower()}"


def test_the_runbook_has_a_section_for_every_alert_and_no_other() -> None:
    sections = dict(re.findall(r"^## (\w+)\n\n(?:`(?:page|ticket)`\. )?(\w+)", RUNBOOK, re.MULTILINE))
    assert {*sections} == {rule["alert"] for rule in ALERTS}
    for rule in ALERTS:
        severity = rule["labels"]["severity"]
        assert severity == "none" or f"## {rule['alert']}\n\n`{severity}`. " in RUNBOOK


def test_every_metric_is_on_a_dashboard_or_in_a_rule() -> None:
    asked = " ".join(expr for _, expr in asked_by_panels()) + " ".join(rule["expr"] for rule in ALL_RULES)
    assert [metric.name for metric in documented() if metric.name not in asked] == []


def test_the_dashboards_are_what_grafana_reads() -> None:
    """The fields of Grafana's dashboard model that a panel cannot do without."""
    uids = [board["uid"] for board in BOARDS.values()]
    assert len({*uids}) == len(uids)
    for board in BOARDS.values():
        assert (board["schemaVersion"], board["title"].split(":")[0]) == (39, "Tillstream")
        assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
        cells = [cell for panel in board["panels"] for cell in covered(panel["gridPos"])]
        assert len({*cells}) == len(cells), "two panels overlap"
    for _, panel in panels():
        assert panel["type"] in ("timeseries", "stat", "table")
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert [target["refId"] for target in panel["targets"]] == [*"ABCDEF"[: len(panel["targets"])]]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert sum(len(json.dumps(board)) for board in BOARDS.values()) < 200_000, "too long for one ConfigMap"


def covered(at: dict[str, int]) -> Iterator[tuple[int, int]]:
    """The cells of the grid of 24 columns."""
    assert at["x"] + at["w"] <= 24
    return ((at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"]))


def test_every_dashboard_is_in_the_config_map() -> None:
    (config_map,) = yaml.safe_load((DASHBOARDS / "kustomization.yaml").read_text())["configMapGenerator"]
    assert config_map["files"] == sorted(path.name for path in DASHBOARDS.glob("*.json"))
