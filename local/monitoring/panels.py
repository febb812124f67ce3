"""Grafana dashboards from a few words: a title, panels in rows, a PromQL expression a line.

The JSON is Grafana's dashboard model (schema version 39, read by Grafana 10 and later). Only fields that differ from
Grafana's defaults are written.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Literal

Json = dict[str, Any]
Kind = Literal["timeseries", "stat", "table"]

_SCHEMA = 39
_COLUMNS = 24
# The data source is chosen at the top of the dashboard; the first Prometheus is the default.
_DATA_SOURCE = {"type": "prometheus", "uid": "${datasource}"}


@dataclass(frozen=True, slots=True)
class Query:
    """One PromQL expression. `legend`: Grafana's template, such as `{{route}}`."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Limits:
    """From which value on a figure is yellow, and red. `red` below `yellow`: small values are bad."""

    yellow: float
    red: float


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel. `unit`: Grafana's name of it; `width`: of 24 columns."""

    title: str
    queries: Sequence[Query]
    unit: str = "short"
    kind: Kind = "timeseries"
    limits: Limits | None = None
    about: str = ""
    width: int = 8
    height: int = 7


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under one heading."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True, slots=True)
class Dashboard:
    """`name` is its file, and its address in Grafana: `/d/tillstream-<name>`."""

    name: str
    title: str
    rows: Sequence[Row]


def lines(title: str, *queries: Query, unit: str = "short", about: str = "", width: int = 8) -> Panel:
    """A graph over time."""
    return Panel(title, queries, unit, about=about, width=width)


def figure(title: str, expr: str, unit: str, limits: Limits | None = None, about: str = "") -> Panel:
    """One number, in the colour of its limits."""
    return Panel(title, [Query(expr)], unit, "stat", limits, about, width=4, height=5)


def table(title: str, expr: str, about: str = "", width: int = 24) -> Panel:
    """The series of an expression as rows."""
    return Panel(title, [Query(expr)], kind="table", about=about, width=width)


def dashboard_json(dashboard: Dashboard) -> Json:
    """As Grafana reads it."""
    return {
        "uid": f"tillstream-{dashboard.name}",
        "title": f"Tillstream: {dashboard.title}",
        "tags": ["tillstream"],
        "schemaVersion": _SCHEMA,
        "editable": False,
        "graphTooltip": 1,  # one cross hair over all panels
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "links": [{"type": "dashboards", "title": "Tillstream", "tags": ["tillstream"], "asDropdown": True}],
        "templating": {
            "list": [{"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}]
        },
        "panels": list(_placed(dashboard.rows)),
    }


def _placed(rows: Sequence[Row]) -> Iterator[Json]:
    """Rows from top to bottom, the panels of each from left to right."""
    ids, y = count(1), 0
    for row in rows:
        yield {"id": next(ids), "type": "row", "title": row.title, "gridPos": _at(0, y, _COLUMNS, 1), "panels": []}
        x, y, lowest = 0, y + 1, 0
        for panel in row.panels:
            if x + panel.width > _COLUMNS:
                x, y, lowest = 0, y + lowest, 0
            yield {"id": next(ids), **_panel(panel), "gridPos": _at(x, y, panel.width, panel.height)}
            x, lowest = x + panel.width, max(lowest, panel.height)
        y += lowest


def _at(x: int, y: int, width: int, height: int) -> Json:
    return {"x": x, "y": y, "w": width, "h": height}


def _panel(panel: Panel) -> Json:
    return {
        "type": panel.kind,
        "title": panel.title,
        **({"description": panel.about} if panel.about else {}),
        "datasource": _DATA_SOURCE,
        "targets": [_target(panel, number, query) for number, query in enumerate(panel.queries)],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": _OPTIONS[panel.kind],
    }


def _target(panel: Panel, number: int, query: Query) -> Json:
    now = panel.kind != "timeseries"
    return {
        "refId": chr(ord("A") + number),
        "datasource": _DATA_SOURCE,
        "expr": query.expr,
        "instant": now,
        "range": not now,
        **({"legendFormat": query.legend} if query.legend else {}),
        **({"format": "table"} if panel.kind == "table" else {}),
        **({"exemplar": True} if not now and query.expr.startswith("histogram_quantile(") else {}),
    }


def _defaults(panel: Panel) -> Json:
    found: Json = {"unit": panel.unit}
    if panel.kind == "timeseries":
        found |= {"min": 0, "custom": {"fillOpacity": 8, "showPoints": "never"}}
    if panel.limits is not None:
        found["thresholds"] = {"mode": "absolute", "steps": _steps(panel.limits)}
    return found


def _steps(limits: Limits) -> list[Json]:
    """The first step has no lower end."""
    if limits.red < limits.yellow:
        colours = (("red", None), ("yellow", limits.red), ("green", limits.yellow))
    else:
        colours = (("green", None), ("yellow", limits.yellow), ("red", limits.red))
    return [{"color": colour, "value": value} for colour, value in colours]


_OPTIONS: dict[Kind, Json] = {
    "timeseries": {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    "stat": {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "background",
        "graphMode": "none",
    },
    "table": {"showHeader": True},
}
