"""Writes what follows from other files: `python -m local.monitoring [--check]`.

Grafana's dashboards from local/monitoring/dashboards.py, and the operator's PrometheusRule from monitoring/rules.
"""

import argparse
import json
import sys
from pathlib import Path

import yaml

from local.layout import REPOSITORY, RULES
from local.monitoring.dashboards import ALL
from local.monitoring.panels import Json, dashboard_json

DASHBOARDS = REPOSITORY / "monitoring" / "grafana" / "dashboards"
PROMETHEUS_RULE = REPOSITORY / "k8s" / "components" / "monitoring" / "operator" / "prometheusrule.yaml"
_GENERATED = "# Written by `make monitoring` from monitoring/rules; do not edit.\n"


def files() -> dict[Path, str]:
    """Path → content."""
    dashboards = {DASHBOARDS / f"{each.name}.json": _json(dashboard_json(each)) for each in ALL}
    return {**dashboards, PROMETHEUS_RULE: _GENERATED + yaml.safe_dump(prometheus_rule(), sort_keys=False, width=110)}


def prometheus_rule() -> Json:
    """The rules as an object of the Prometheus operator. kube-prometheus-stack selects rules by the label `release`."""
    groups = [group for path in sorted(RULES.glob("*.yml")) for group in yaml.safe_load(path.read_text())["groups"]]
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "tillstream", "labels": {"release": "kube-prometheus-stack"}},
        "spec": {"groups": groups},
    }


def _json(document: Json) -> str:
    return json.dumps(document, indent=1) + "\n"


def outdated() -> list[Path]:
    """The files that differ from what would be written, and dashboards that nothing writes."""
    wanted = files()
    stray = [path for path in sorted(DASHBOARDS.glob("*.json")) if path not in wanted]
    return [path for path, text in wanted.items() if not path.exists() or path.read_text() != text] + stray


def main(arguments: list[str] | None = None) -> int:
    """Write the files, or with --check compare them; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m local.monitoring", description="Write dashboards and rules.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 where a file is out of date")
    if parser.parse_args(arguments).check:
        found = outdated()
        for path in found:
            print(f"{path.relative_to(REPOSITORY)} is out of date: run `make monitoring`", file=sys.stderr)
        return 1 if found else 0
    for path, text in files().items():
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
