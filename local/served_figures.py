"""Figures as the gateway and the batch report serve them, under the names of `local.reference`, for `local.verify`."""

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

from local.reference import (
    GRANULARITIES,
    TOP_LENGTHS,
    ReferenceFigures,
    Section,
    Sections,
    sales_section,
    top_section,
)

TOTALS = ("revenue", "quantity", "orders", "buyers", "events", "dead_letters")

Json = Any
Get = Callable[[str], Json]
"""The parsed JSON that the gateway answers to a path with its query."""


def live_sections(get: Get, reference: ReferenceFigures) -> Sections:
    """The gateway's figures under the names of `ReferenceFigures.sections` and `details`."""
    summary = get("/v1/stats/summary")
    found = {"totals": _totals(summary, TOTALS)}
    for granularity in GRANULARITIES:
        found[f"sales by {granularity}"] = _live_sales(get, granularity, _years(reference))
    for kind, length in TOP_LENGTHS.items():
        found[f"top {kind}"] = _top(get(f"/v1/stats/top/{kind}?n={length}"), "share")
    return found | _live_details(get, reference)


def _live_sales(get: Get, granularity: str, years: Sequence[int]) -> Section:
    """All buckets, requested year by year and open at both ends, because a response is limited."""
    ends = [f"{year}-01-01T00:00:00Z" for year in years[1:]]
    found: Section = {}
    for start, end in zip(["", *ends], [*ends, ""], strict=True):
        window = f"&from={start}" * bool(start) + f"&to={end}" * bool(end)
        found |= _sales(get(f"/v1/stats/sales?granularity={granularity}{window}"))
    return found


def _years(reference: ReferenceFigures) -> list[int]:
    return sorted({int(name[:4]) for name in reference.sales("month")})


def details(reference: ReferenceFigures) -> Sections:
    """Figures of single customers and categories: the ten top spenders, the best-selling category."""
    found = {f"customer {user}": reference.customer(user) for user in _top_ids(reference, "spenders")}
    for category in _categories(reference):
        for granularity in ("month", "day"):
            found[f"{category} by {granularity}"] = reference.sales(granularity, category)
    return found


def _live_details(get: Get, reference: ReferenceFigures) -> Sections:
    found = {
        f"customer {user}": _customer(get(f"/v1/users/{quote(user, safe='')}"))
        for user in _top_ids(reference, "spenders")
    }
    for category in _categories(reference):
        for granularity in ("month", "day"):
            found[f"{category} by {granularity}"] = _sales(
                get(f"/v1/stats/sales?granularity={granularity}&category={quote(category)}")
            )
    return found


def _categories(reference: ReferenceFigures) -> list[str]:
    """The best-selling named category, and the level above it."""
    named = [category for category in _top_ids(reference, "categories") if category != "unknown"][:1]
    return [*named, *(category.split(".")[0] for category in named if "." in category)]


def _top_ids(reference: ReferenceFigures, kind: str) -> list[str]:
    return [str(value) for name, value in reference.top(kind, TOP_LENGTHS[kind]).items() if name.endswith(" id")]


def report_sections(report: Json) -> Sections:
    """A batch report's figures under the names of `local.verify.report_expected`."""
    totals = _totals(report["totals"], TOTALS[:-1])
    sales = {f"sales by {granularity}": _sales(report["sales"][granularity]) for granularity in GRANULARITIES}
    tops = {f"top {kind}": _top(report["top"][kind][:length]) for kind, length in TOP_LENGTHS.items()}
    more = {"categories by month": _categories_by_month(report["categories_by_month"]), "brands": _brands(report)}
    return {"totals": totals, **sales, **tops, **more}


def _categories_by_month(categories: Json) -> Section:
    found: Section = {}
    for category, months in categories.items():
        found |= {f"{category} {name}": value for name, value in _sales(months).items()}
    return found


def _brands(report: Json) -> Section:
    return sales_section((b["id"], cents(b["revenue"]), b["quantity"], b["orders"]) for b in report["brands"])


def _sales(buckets: Json) -> Section:
    return sales_section((_instant(b["bucket"]), cents(b["revenue"]), b["quantity"], b["orders"]) for b in buckets)


def _top(entries: Json, *more: str) -> Section:
    return top_section((e["id"], cents(e["revenue"]), e["quantity"], *(e[name] for name in more)) for e in entries)


def _customer(answer: Json) -> Section:
    return {
        "revenue": cents(answer["revenue"]),
        "quantity": answer["quantity"],
        "orders": answer["orders"],
        "first_seen": _instant(answer["first_seen"]),
        "last_seen": _instant(answer["last_seen"]),
    }


def _totals(answer: Json, names: Iterable[str]) -> Section:
    return {name: cents(answer[name]) if name == "revenue" else answer[name] for name in names}


def cents(text: str) -> int:
    """Cents of a decimal string with exactly two places. Raises ValueError for anything else, numbers included."""
    if not isinstance(text, str) or re.fullmatch(r"-?\d+\.\d\d", text, re.ASCII) is None:
        raise ValueError(f"{text!r} is not a decimal string with two places")
    return int(text.replace(".", ""))


def _instant(text: str) -> str:
    return datetime.fromisoformat(text).isoformat()
