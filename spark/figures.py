"""Curated purchases → the batch figures, defined as those of the live tables. Money is summed in cents."""

from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

from services.common.calendar import bucket_time
from services.common.categories import UNKNOWN
from services.common.money import format_cents
from spark.curate import Curation

GRANULARITIES = ("month", "day", "hour")
TABLES = {"products": "product_id", "customers": "user_id"}
"""Parquet tables for figures that grow with the shop: name → id column."""
SUMMED = ("order_id", "revenue", "quantity")
REPORTED = ("event_time", "order_id", "product_id", "user_id", "category_code", "brand", "quantity", "revenue")
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Top:
    """A top list: its id column and its length."""

    column: str
    length: int
    unknown: bool  # whether null is an entry (a category) or is left out (a buyer)


TOP_LISTS = {
    "spenders": Top("user_id", 10, unknown=False),
    "categories": Top("category_code", 15, unknown=True),
    "products": Top("product_id", 10, unknown=False),
    "brands": Top("brand", 10, unknown=True),
}


def by_order(purchases: DataFrame) -> DataFrame:
    """The columns of the report, partitioned by order: distinct orders are then counted without a shuffle."""
    return purchases.select(*REPORTED).repartition("order_id")


def figures(purchases: DataFrame, curation: Curation, time_zone: str) -> Json:
    """The report's figures. The session's time zone must be `time_zone`: it defines the days."""
    zone = ZoneInfo(time_zone)
    return {
        "time_zone": time_zone,
        "totals": totals(purchases) | {"dead_letters_in_archive": curation.dead_letters},
        "sales": {granularity: sales(purchases, granularity, zone) for granularity in GRANULARITIES},
        "categories_by_month": categories_by_month(purchases, zone),
        "top": {name: top(purchases, spec) for name, spec in TOP_LISTS.items()},
        "brands": brands(purchases),
        "offsets": curation.offsets,
        "curation": curation.counts(),
    }


def totals(purchases: DataFrame) -> Json:
    """Sums over all lines; orders and buyers are distinct, `events` are accepted lines."""
    row = purchases.agg(
        *_sums(),
        F.count_distinct("order_id").alias("orders"),
        F.count_distinct("user_id").alias("buyers"),
        F.count(F.lit(1)).alias("events"),
    ).head()
    assert row is not None  # an aggregate without groups has one row
    return {
        "revenue": format_cents(row.revenue),
        "quantity": row.quantity,
        "orders": row.orders,
        "buyers": row.buyers,
        "events": row.events,
    }


def sales(purchases: DataFrame, granularity: str, zone: ZoneInfo) -> list[Json]:
    """The buckets with sales, oldest first."""
    buckets = _figures_of(purchases, start_of(granularity).alias("start"))
    return [_bucket(row, zone) for row in buckets.orderBy("start").collect()]


def categories_by_month(purchases: DataFrame, zone: ZoneInfo) -> dict[str, list[Json]]:
    """Category of every level → its months with sales, oldest first. A level includes those below it."""
    codes = purchases.select(_known("category_code").alias("code"))
    levels = codes.distinct().select("code", F.explode(category_levels(F.col("code"))).alias("level"))
    lines = purchases.select(_known("category_code").alias("code"), start_of("month").alias("start"), *SUMMED)
    lines = lines.join(F.broadcast(levels), "code")
    months: dict[str, list[Json]] = {}
    for row in _figures_of(lines, "level", "start").orderBy("level", "start").collect():
        months.setdefault(row.level, []).append(_bucket(row, zone))
    return months


def category_levels(code: Column) -> Column:
    """A code and its prefixes: `a.b.c` → `a`, `a.b`, `a.b.c`."""
    parts = F.split(code, r"\.")
    return F.transform(F.sequence(F.lit(1), F.size(parts)), lambda depth: F.array_join(F.slice(parts, 1, depth), "."))


def brands(purchases: DataFrame) -> list[Json]:
    """All brands, by descending revenue, then by id."""
    ranked = _figures_of(purchases, _known("brand").alias("id")).orderBy(F.desc("revenue"), F.asc("id"))
    return [{"id": row.id, **_amounts(row)} for row in ranked.collect()]


def table(purchases: DataFrame, column: str) -> DataFrame:
    """Every product or every known customer: (id column, revenue in cents, quantity, orders)."""
    return _figures_of(purchases.where(F.col(column).isNotNull()), column)


def top(purchases: DataFrame, spec: Top) -> list[Json]:
    """The entries with the highest revenue; ties by id, in byte order."""
    entry = _known(spec.column) if spec.unknown else F.col(spec.column)
    named = purchases.select(entry.alias("id"), "revenue", "quantity").where(F.col("id").isNotNull())
    ranked = named.groupBy("id").agg(*_sums()).orderBy(F.desc("revenue"), F.asc("id")).limit(spec.length)
    return [{"id": row.id, "revenue": format_cents(row.revenue), "quantity": row.quantity} for row in ranked.collect()]


def _figures_of(lines: DataFrame, *keys: Column | str) -> DataFrame:
    """Revenue, quantity and distinct orders of each key."""
    return lines.groupBy(*keys).agg(*_sums(), F.count_distinct("order_id").alias("orders"))


def _sums() -> tuple[Column, Column]:
    return (
        F.coalesce(F.sum("revenue"), F.lit(0)).alias("revenue"),
        F.coalesce(F.sum("quantity"), F.lit(0)).alias("quantity"),
    )


def start_of(granularity: str) -> Column:
    """A line's bucket, epoch seconds."""
    return F.unix_seconds(F.date_trunc(granularity, F.timestamp_millis("event_time")))


def _known(column: str) -> Column:
    return F.coalesce(F.col(column), F.lit(UNKNOWN))


def _bucket(row: Row, zone: ZoneInfo) -> Json:
    return {"bucket": bucket_time(row.start, zone), **_amounts(row)}


def _amounts(row: Row) -> Json:
    return {"revenue": format_cents(row.revenue), "quantity": row.quantity, "orders": row.orders}
