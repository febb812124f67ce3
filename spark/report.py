"""Curated purchases → the batch figures, with the meanings of the live tables. Money is summed as whole cents."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

from services.common.money import format_cents
from services.common.tables import UNKNOWN
from spark.curate import Curation

GRANULARITIES = ("month", "day", "hour")
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Top:
    """A top list: the column that names its entries, and how many it shows."""

    column: str
    length: int
    unknown: bool  # whether a null is an entry of its own (a category) or nobody (a buyer)


TOP_LISTS = {
    "spenders": Top("user_id", 10, unknown=False),
    "categories": Top("category_code", 15, unknown=True),
    "products": Top("product_id", 10, unknown=False),
    "brands": Top("brand", 10, unknown=True),
}


def figures(purchases: DataFrame, curation: Curation, time_zone: str) -> Json:
    """The report's figures. The session's time zone must be `time_zone`: it decides where a day begins."""
    zone = ZoneInfo(time_zone)
    return {
        "time_zone": time_zone,
        "totals": totals(purchases) | {"dead_letters_in_archive": curation.dead_letters},
        "sales": {granularity: sales(purchases, granularity, zone) for granularity in GRANULARITIES},
        "top": {name: top(purchases, spec) for name, spec in TOP_LISTS.items()},
        "offsets": curation.offsets,
        "curation": curation.counts(),
    }


def totals(purchases: DataFrame) -> Json:
    """Sums over everything; orders and buyers are distinct, `events` are accepted lines."""
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
    start = F.unix_seconds(F.date_trunc(granularity, F.timestamp_millis("event_time"))).alias("start")
    buckets = purchases.groupBy(start).agg(*_sums(), F.count_distinct("order_id").alias("orders"))
    return [_bucket(row, zone) for row in buckets.orderBy("start").collect()]


def top(purchases: DataFrame, spec: Top) -> list[Json]:
    """The entries with the highest revenue; equals by id, byte by byte."""
    entry = F.coalesce(F.col(spec.column), F.lit(UNKNOWN)) if spec.unknown else F.col(spec.column)
    named = purchases.select(entry.alias("id"), "revenue", "quantity").where(F.col("id").isNotNull())
    ranked = named.groupBy("id").agg(*_sums()).orderBy(F.desc("revenue"), F.asc("id")).limit(spec.length)
    return [{"id": row.id, "revenue": format_cents(row.revenue), "quantity": row.quantity} for row in ranked.collect()]


def bucket_start(epoch_seconds: int, zone: ZoneInfo) -> str:
    """A bucket's start as RFC 3339 in the shop's zone: `2020-04-01T00:00:00Z`, `2020-04-01T00:00:00+02:00`."""
    return datetime.fromtimestamp(epoch_seconds, zone).isoformat().replace("+00:00", "Z")


def _sums() -> tuple[Column, Column]:
    return (
        F.coalesce(F.sum("revenue"), F.lit(0)).alias("revenue"),
        F.coalesce(F.sum("quantity"), F.lit(0)).alias("quantity"),
    )


def _bucket(row: Row, zone: ZoneInfo) -> Json:
    return {
        "bucket": bucket_start(row.start, zone),
        "revenue": format_cents(row.revenue),
        "quantity": row.quantity,
        "orders": row.orders,
    }
