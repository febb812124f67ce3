"""Compare every live figure with the shop's CSV files: `python -m local.verify --csv kz.csv.gz`.

`local.reference` computes the figures from the files; it shares no code with the services. They are compared to the
cent with the gateway's responses and, if TILLSTREAM_S3_* name an object store, with the newest batch report.
A table shows what was compared and each difference. Exit status: 0 all equal, 1 any difference, 2 could not compare.
"""

import argparse
import json
import math
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ParamSpec, TypeVar

import duckdb
import httpx
from botocore.exceptions import BotoCoreError, ClientError
from pydantic import ValidationError

from local.mapping import seed_copy
from local.reference import ReferenceFigures, Section, Sections, UnusableFile, Value
from local.served_figures import Get, Json, details, live_sections, report_sections
from local.stack import StackError
from services.common.object_store import ObjectStore
from services.common.settings import EventSettings, S3Settings, ShopSettings, explain
from services.common.storage_errors import NoSuchObject

SHARE_TOLERANCE = 1e-6  # shares are quotients, not money
DIFFERENCES_SHOWN = 20
POLL_S = 0.2

P = ParamSpec("P")
T = TypeVar("T")


class NoAnswer(Exception):
    """The gateway or the object store could not be read; the message says why."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One figure that differs from the files; None if one side does not have it."""

    name: str
    expected: Value
    found: Value


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was compared in one section."""

    section: str
    compared: int
    differences: list[Difference]


def main(arguments: list[str] | None = None) -> int:
    """Compare as the command line says; returns the exit status."""
    try:
        options = _options(arguments)
        reference = _reference(options)
        store = S3Settings()
    except ValidationError as error:
        print(explain(error), file=sys.stderr)
        return 2
    except (UnusableFile, StackError, duckdb.Error) as error:
        print(error, file=sys.stderr)
        return 2
    try:
        with httpx.Client(base_url=options.gateway, timeout=60) as client:
            report = None if options.no_report else _stored_report(store)
            return verify(reference, _getter(client), report, options.wait)
    except NoAnswer as error:
        print(error, file=sys.stderr)
        return 2
    finally:
        reference.close()


def _reference(options: argparse.Namespace) -> ReferenceFigures:
    """The figures of the files; where a mapping reads them, of what it reads. Raises UnusableFile, StackError."""
    if options.mapping is None:
        return _computed(options.csv, options.time_zone)
    with tempfile.TemporaryDirectory() as folder:
        copies = [seed_copy(file, options.mapping, Path(folder)) for file in options.csv]
        return _computed(copies, options.time_zone)


def _computed(files: Sequence[Path], time_zone: str) -> ReferenceFigures:
    """The figures of files in our layout, by the shop's rules. Raises UnusableFile."""
    rules = EventSettings()
    max_line_cents = int(rules.max_line_amount * 100)
    return ReferenceFigures(files, time_zone, no_customer=rules.no_customer, max_line_cents=max_line_cents)


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m local.verify", description="Compare live figures with CSV files.")
    parser.add_argument(
        "--csv", type=Path, action="append", required=True, metavar="FILE", help="plain or .gz; repeat for more files"
    )
    parser.add_argument(
        "--mapping", type=Path, metavar="FILE", help="how the files are read; what is compared is what it reads"
    )
    parser.add_argument("--gateway", default="http://127.0.0.1:8080", metavar="URL")
    parser.add_argument("--time-zone", default=ShopSettings().time_zone, help="the shop's zone (default: its setting)")
    parser.add_argument("--wait", type=float, default=10, metavar="SECONDS", help="timeout for the lag to reach 0")
    parser.add_argument("--no-report", action="store_true", help="do not compare the batch report")
    return parser.parse_args(arguments)


def verify(reference: ReferenceFigures, get: Get, report: Json | None = None, wait: float = 0) -> int:
    """Print what was compared with the gateway and, where there is one, the batch report; 1 on any difference.

    Raises NoAnswer.
    """
    print(_describe(reference))
    behind = _as_documented(wait_until_applied, get, wait)
    live = _as_documented(live_sections, get, reference)
    comparisons = compare(reference.sections() | details(reference), live)
    if report is not None:
        comparisons += compare_report(reference, report)
    print(render(comparisons))
    if behind:
        print(f"The aggregator still lags by {behind:,} records: expect differences.")
    if report is not None and report["totals"]["events"] < live["totals"]["events"]:
        print("The batch report has fewer events than the live tables: `make train` computes a new one.")
    return int(any(comparison.differences for comparison in comparisons))


def compare_report(reference: ReferenceFigures, report: Json) -> list[Comparison]:
    """A batch report's figures against the files'. Raises NoAnswer."""
    comparisons = compare(report_expected(reference), _as_documented(report_sections, report))
    return [replace(each, section=f"report: {each.section}") for each in comparisons]


def report_expected(reference: ReferenceFigures) -> Sections:
    """The figures of a batch report as the files have them."""
    return _without_live_only(reference.sections()) | _report_only(reference)


def _without_live_only(sections: Sections) -> Sections:
    """A report has no shares and no dead letters of the producer: those rows are not in the archive."""
    return {
        section: {
            name: value for name, value in figures.items() if name != "dead_letters" and not name.endswith(" share")
        }
        for section, figures in sections.items()
    }


def _report_only(reference: ReferenceFigures) -> Sections:
    return {"categories by month": reference.categories_by_month(), "brands": reference.brands()}


def _as_documented(read: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    try:
        return read(*arguments, **named)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise NoAnswer(f"a response does not match its documented schema: {error!r}") from error


def _stored_report(settings: S3Settings) -> Json | None:
    """The figures of the newest batch report; None where there is none, or no object store is named."""
    if settings.s3_endpoint is None and settings.s3_access_key is None:
        print("No object store is set (TILLSTREAM_S3_ENDPOINT): the batch report is not compared.")
        return None
    store = ObjectStore(settings)
    try:
        version = json.loads(store.get("reports/latest.json"))["version"]
        print(f"The batch report is {version}.")
        return json.loads(store.get(f"reports/{version}/figures.json"))
    except NoSuchObject:
        print("There is no batch report yet: not compared.")
        return None
    except (BotoCoreError, ClientError) as error:
        raise NoAnswer(f"object store {settings.s3_endpoint}: {error}") from None
    finally:
        store.close()


def compare(expected: Sections, found: Sections) -> list[Comparison]:
    """Each section's figures against those found; a figure that only one side has is a difference."""
    return [_compare_section(section, expected[section], found.get(section, {})) for section in expected]


def _compare_section(section: str, expected: Section, found: Section) -> Comparison:
    names = [*expected, *(name for name in found if name not in expected)]
    differences = [
        Difference(name, expected.get(name), found.get(name))
        for name in names
        if not _equal(expected.get(name), found.get(name))
    ]
    return Comparison(section, len(names), differences)


def _equal(expected: Value, found: Value) -> bool:
    if isinstance(expected, float) and isinstance(found, float):
        return math.isclose(expected, found, abs_tol=SHARE_TOLERANCE)
    return expected == found


def wait_until_applied(get: Get, seconds: float, poll_s: float = POLL_S) -> int:
    """Wait until fresh totals have no lag, at most `seconds`; returns the remaining lag in records."""
    first = summary = get("/v1/stats/summary")
    until = time.monotonic() + seconds
    while (summary["lag"] or summary["as_of"] == first["as_of"]) and time.monotonic() < until:
        time.sleep(poll_s)
        summary = get("/v1/stats/summary")
    return int(summary["lag"] or 0)


def render(comparisons: Iterable[Comparison]) -> str:
    """The table of what was compared, each difference below its section."""
    comparisons = list(comparisons)
    width = max(len(each.section) for each in comparisons)
    lines = [f"{'section':<{width}}  compared  differences"]
    for each in comparisons:
        lines.append(f"{each.section:<{width}}  {each.compared:>8,}  {len(each.differences):>11,}")
        lines += [_line(difference) for difference in each.differences[:DIFFERENCES_SHOWN]]
        if len(each.differences) > DIFFERENCES_SHOWN:
            lines.append(f"    and {len(each.differences) - DIFFERENCES_SHOWN:,} more")
    compared = sum(each.compared for each in comparisons)
    differences = sum(len(each.differences) for each in comparisons)
    lines.append(f"{'all':<{width}}  {compared:>8,}  {differences:>11,}")
    return "\n".join(lines)


def _line(difference: Difference) -> str:
    return f"    {difference.name}: the files say {difference.expected}, found {difference.found}"


def _describe(reference: ReferenceFigures) -> str:
    counts = reference.counts
    refused = ", ".join(f"{number:,} {reason}" for reason, number in counts.refused.items()) or "none"
    return (
        f"{counts.rows:,} rows = {counts.accepted:,} events ({counts.repaired:,} of them repaired from six fields)"
        f" + {counts.dead_letters:,} dead letters ({refused})"
    )


def _getter(client: httpx.Client) -> Get:
    def get(path: str) -> Json:
        try:
            answer = client.get(path)
            answer.raise_for_status()
            return answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise NoAnswer(f"{client.base_url}{path.lstrip('/')}: {error}") from None

    return get


if __name__ == "__main__":
    sys.exit(main())
