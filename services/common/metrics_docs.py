"""Writes docs/metrics.md from services/common/metrics.py: `python -m services.common.metrics_docs [--check]`."""

import argparse
import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import Counter, Gauge, Histogram

from services.common import metrics

PAGE = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"
_HEAD = """# Metrics

Generated from `services/common/metrics.py`, the one list of all metrics; do not edit. `make metrics`
writes this page, and a test fails where it differs. Every service serves its metrics at `/metrics`; `python_*` and
`process_*` come from the Prometheus client. A histogram is exposed as `_bucket`, `_sum` and `_count`.
"""
_COLUMNS = "| metric | type | unit | labels | meaning |\n|---|---|---|---|---|\n"
_UNITS = ("seconds", "bytes", "records", "ratio", "cents", "events", "lines", "rows", "objects", "entries")
_TYPES = {Counter: "counter", Gauge: "gauge", Histogram: "histogram"}

Metric = Counter | Gauge | Histogram


@dataclass(frozen=True, slots=True)
class Documented:
    """One metric with what the page says of it."""

    section: str
    name: str
    kind: str
    unit: str
    labels: tuple[str, ...]
    meaning: str


def documented() -> Iterator[Documented]:
    """Every metric of the module in its order; the comment lines above a metric are its meaning."""
    source = Path(metrics.__file__).read_text()
    lines = source.splitlines()
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and isinstance(target := node.targets[0], ast.Name):
            metric = getattr(metrics, target.id)
            if isinstance(metric, Metric):
                above = lines[: node.lineno - 1]
                yield _documented(metric, _section(above), _comment(above))


def _documented(metric: Metric, section: str, meaning: str) -> Documented:
    (family,) = metric.describe()
    kind = next(name for cls, name in _TYPES.items() if isinstance(metric, cls))
    name = f"{family.name}_total" if kind == "counter" else family.name
    unit = next((unit for unit in _UNITS if family.name.endswith(f"_{unit}")), "")
    return Documented(section, name, kind, unit, tuple(metric._labelnames), meaning or family.documentation)


def _section(above: list[str]) -> str:
    """The newest heading: `# --- name ----`."""
    return next(line.strip("#- ") for line in reversed(above) if line.startswith("# ---"))


def _comment(above: list[str]) -> str:
    """The comment lines right above, joined."""
    found: list[str] = []
    for line in reversed(above):
        if not line.startswith("# ") or line.startswith("# ---"):
            break
        found.append(line.removeprefix("# "))
    return " ".join(reversed(found))


def page() -> str:
    """The whole page as Markdown."""
    parts, section = [_HEAD], ""
    for metric in documented():
        if metric.section != section:
            section = metric.section
            parts.append(f"\n## {section[0].upper()}{section[1:]}\n\n{_COLUMNS}")
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        meaning = metric.meaning.replace("|", "\\|")
        parts.append(f"| `{metric.name}` | {metric.kind} | {metric.unit} | {labels} | {meaning} |\n")
    return "".join(parts)


def main(arguments: list[str] | None = None) -> int:
    """Write the page, or with --check compare it; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m services.common.metrics_docs", description="Write docs/metrics.md."
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 where the page is out of date")
    if not parser.parse_args(arguments).check:
        PAGE.write_text(page())
    elif not PAGE.exists() or PAGE.read_text() != page():
        print("docs/metrics.md is out of date: run `make metrics`", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
