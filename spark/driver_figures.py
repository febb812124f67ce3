"""The report's figures on the driver: all lines of a shop in one process, in Arrow. Defined as in `spark/figures.py`.

For shops whose lines fit (docs/adr/0126-model-tables-on-the-driver.md): each of the figures is a job of Spark's there.
"""

from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys.topk import Int64s
from services.common.calendar import Calendar, bucket_time
from services.common.categories import UNKNOWN, levels
from services.common.money import format_cents
from spark.curate import Curation
from spark.figures import GRANULARITIES, TABLES, TOP_LISTS, Json, Top

QUARTER_HOUR_MS = 900_000
SUMS: list[Any] = [("revenue", "sum"), ("quantity", "sum")]
SUMS_AND_ORDERS: list[Any] = [*SUMS, ("order", "count_distinct")]


def figures(lines: pa.Table, curation: Curation, time_zone: str) -> Json:
    """The report's figures, of lines that `coded` gave."""
    zone = ZoneInfo(time_zone)
    return {
        "time_zone": time_zone,
        "totals": totals(lines) | {"dead_letters_in_archive": curation.dead_letters},
        "sales": {granularity: sales(lines, granularity, zone) for granularity in GRANULARITIES},
        "categories_by_month": categories_by_month(lines, zone),
        "top": {name: top(lines, spec) for name, spec in TOP_LISTS.items()},
        "brands": brands(lines),
        "offsets": curation.offsets,
        "curation": curation.counts(),
    }


def coded(purchases: pa.Table, time_zone: str) -> pa.Table:
    """Lines (`figures.REPORTED`, in any order) with the starts of their buckets, epoch seconds.

    Orders are numbers, and no category or brand is null.
    """
    columns: dict[str, Any] = {name: purchases[name] for name in ("product_id", "user_id", "revenue", "quantity")}
    columns["order"] = pc.index_in(purchases["order_id"], pc.unique(purchases["order_id"]))
    for name in ("category_code", "brand"):
        columns[name] = pc.fill_null(purchases[name], pa.scalar(UNKNOWN))
    return pa.table(columns | bucket_starts(purchases["event_time"].to_numpy(), time_zone))


def bucket_starts(event_ms: Int64s, time_zone: str) -> dict[str, Int64s]:
    """Granularity → the start of each event's bucket, by the calendar of the live tables."""
    calendar = Calendar(time_zone)
    quarters, places = np.unique(event_ms // QUARTER_HOUR_MS, return_inverse=True)
    found = [calendar.quarter_hour(number * QUARTER_HOUR_MS) for number in quarters.tolist()]
    starts = {
        "month": [int(one.month[1]) for one in found],
        "day": [int(one.day[1]) for one in found],
        "hour": [int(one.hour[1]) for one in found],
    }
    return {name: np.array(each, np.int64)[places] for name, each in starts.items()}


def totals(lines: pa.Table) -> Json:
    """Sums over all lines; orders and buyers are distinct, `events` are accepted lines."""
    return {
        "revenue": format_cents(_sum(lines["revenue"])),
        "quantity": _sum(lines["quantity"]),
        "orders": pc.count_distinct(lines["order"]).as_py(),
        "buyers": pc.count_distinct(lines["user_id"]).as_py(),
        "events": len(lines),
    }


def _sum(column: "pa.ChunkedArray[Any]") -> int:
    return pc.sum(column).as_py() or 0


def sales(lines: pa.Table, granularity: str, zone: ZoneInfo) -> list[Json]:
    """The buckets with sales, oldest first."""
    found = lines.group_by(granularity).aggregate(SUMS_AND_ORDERS).sort_by(granularity)
    return [_bucket(row[granularity], row, zone) for row in found.to_pylist()]


def categories_by_month(lines: pa.Table, zone: ZoneInfo) -> dict[str, list[Json]]:
    """Category of every level → its months with sales, oldest first. A level includes those below it."""
    codes = pc.unique(lines["category_code"])
    named = [(place, level) for place, code in enumerate(codes.to_pylist()) for level in levels(str(code))]
    places, names = (
        pa.array([place for place, _ in named], pa.int32()),
        pa.array([name for _, name in named], pa.string()),
    )
    with_code = lines.append_column("code", pc.index_in(lines["category_code"], codes))
    of_levels = with_code.join(pa.table({"code": places, "level": names}), "code", join_type="inner")
    found = of_levels.group_by(["level", "month"]).aggregate(SUMS_AND_ORDERS)
    months: dict[str, list[Json]] = {}
    for row in found.sort_by([("level", "ascending"), ("month", "ascending")]).to_pylist():
        months.setdefault(row["level"], []).append(_bucket(row["month"], row, zone))
    return months


def brands(lines: pa.Table) -> list[Json]:
    """All brands, by descending revenue, then by id."""
    found = _ranked(lines.group_by("brand").aggregate(SUMS_AND_ORDERS), "brand")
    return [{"id": row["brand"], **_amounts(row)} for row in found.to_pylist()]


def top(lines: pa.Table, spec: Top) -> list[Json]:
    """The entries with the highest revenue; ties by id, in byte order."""
    named = lines if spec.unknown else lines.filter(pc.is_valid(lines[spec.column]))
    ranked = _ranked(named.group_by(spec.column).aggregate(SUMS), spec.column).slice(0, spec.length)
    return [
        {"id": row[spec.column], "revenue": format_cents(row["revenue_sum"]), "quantity": row["quantity_sum"]}
        for row in ranked.to_pylist()
    ]


def tables(lines: pa.Table) -> dict[str, pa.Table]:
    """Every product and every known customer: (id column, revenue in cents, quantity, orders)."""
    return {name: _table(lines, column) for name, column in TABLES.items()}


def _table(lines: pa.Table, column: str) -> pa.Table:
    found = lines.filter(pc.is_valid(lines[column])).group_by(column).aggregate(SUMS_AND_ORDERS)
    names = {column: column, "revenue_sum": "revenue", "quantity_sum": "quantity", "order_count_distinct": "orders"}
    return found.select([*names]).rename_columns([*names.values()])


def _ranked(found: pa.Table, column: str) -> pa.Table:
    return found.sort_by([("revenue_sum", "descending"), (column, "ascending")])


def _bucket(start_s: int, row: Json, zone: ZoneInfo) -> Json:
    return {"bucket": bucket_time(start_s, zone), **_amounts(row)}


def _amounts(row: Json) -> Json:
    return {
        "revenue": format_cents(row["revenue_sum"]),
        "quantity": row["quantity_sum"],
        "orders": row["order_count_distinct"],
    }
