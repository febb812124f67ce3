"""Reconciliation: batch figures computed from the archive as of a live snapshot, compared with it.

Lines are judged among the records that the snapshot covers only: of a line that came twice the live figures may have
seen only the second record.
"""

import functools
import logging
import operator
from collections.abc import Iterator
from typing import NamedTuple, cast

import msgspec
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from services.common import live_snapshot
from services.common.categories import UNKNOWN
from services.common.conditional_write import encode, put_once
from services.common.live_snapshot import BadSnapshot, LiveSnapshot
from services.common.object_store import ObjectStore
from services.common.reconciliation import FOLDER, LATEST, Reconciliation, Table
from services.common.storage_errors import NoSuchObject
from spark import publish
from spark.curate import Curation, judged_again
from spark.figure_diff import (
    HOUR_MS,
    FigureKey,
    Scope,
    ShopFigures,
    comparable_by_hours,
    comparable_by_offsets,
    join_partitions,
    live_figures,
    reconciliation,
)
from spark.figures import start_of
from spark.line_verdicts import ACCEPTED, REPEAT
from spark.versions import RunId

logger = logging.getLogger(__name__)


class Shop(NamedTuple):
    """What the figures of a shop depend on besides its records: the time zone, and how many customers were erased."""

    time_zone: str
    erased: int = 0


def find_scope(store: ObjectStore, checked: DataFrame, curation: Curation, shop: Shop) -> tuple[str, Scope] | None:
    """The newest comparable snapshot with its key and scope; None where there is none."""
    time_zone = shop.time_zone
    snapshots = newest_first(store)
    if curation.plain_lines:
        found = comparable_by_hours(snapshots, _archived_until(checked), time_zone)
        return found and (found[0], Scope("hours", found[1], shop.erased))
    offsets = {int(partition): offset for partition, offset in curation.offsets.items()}
    found = comparable_by_offsets(snapshots, offsets, time_zone)
    return found and (found[0], Scope("offsets", found[1], shop.erased))


def newest_first(store: ObjectStore) -> Iterator[tuple[str, LiveSnapshot]]:
    """The snapshots and their keys, newest first. Damaged and meanwhile deleted ones are skipped."""
    keys = [key for key, _size in store.list(live_snapshot.FOLDER) if live_snapshot.is_snapshot(key)]
    for key in reversed(keys):
        try:
            yield key, live_snapshot.decode(store.get(key))
        except (BadSnapshot, NoSuchObject) as error:
            logger.warning("skipping snapshot %s: %s", key, error)


def _archived_until(checked: DataFrame) -> int:
    row = checked.agg(F.max("arrived").alias("newest")).head()
    assert row is not None  # an aggregate without groups has one row
    return cast(int, row.newest)


class BatchFigures(NamedTuple):
    """Figures of the batch, and pairs of partitions that a line came by both of."""

    figures: ShopFigures
    linked: list[tuple[int, int]]


def batch_figures(checked: DataFrame, scope: Scope) -> BatchFigures:
    """Batch figures of the records that the scope's snapshot covers. `checked`: rows of `curate.check`."""
    judged = judged_lines(checked, seen(scope)).persist()
    lines = judged.where(F.col("outcome") == ACCEPTED)
    try:
        found: dict[FigureKey, dict[str, int]] = {
            (row.table, row.entry): row.asDict() for row in figures(lines).collect()
        }
        if ("totals", "") in found:
            found["totals", ""]["buyers"] = lines.select("user_id").where("user_id IS NOT NULL").distinct().count()
        repeats = judged.where((F.col("outcome") == REPEAT) & (F.col("partition") != F.col("counted_in")))
        linked = [
            (row.partition, row.counted_in) for row in repeats.select("partition", "counted_in").distinct().collect()
        ]
    finally:
        judged.unpersist()
    return BatchFigures(cast(ShopFigures, found), linked)


def seen(scope: Scope) -> Column:
    """Whether a record had been applied when the scope's snapshot was taken.

    Of a plain line only the hour of its arrival is known: it counts as applied if that hour had begun.
    """
    marks = [
        (F.col("partition") == partition) & (F.col("offset") < mark) for partition, mark in scope.snapshot.marks.items()
    ]
    below_marks = functools.reduce(operator.or_, marks)
    if scope.basis == "offsets":
        return below_marks
    plain = F.col("offset").isNull() & (F.col("arrived") - HOUR_MS <= scope.snapshot.taken_at)
    return below_marks | plain


def judged_lines(checked: DataFrame, seen: Column) -> DataFrame:
    """The valid lines among the records seen with their verdicts, partitioned by order."""
    columns = ("event_time", "order_id", "user_id", "category_code", "brand", "revenue", "quantity")
    valid = checked.where(F.col("reason").isNull() & seen)
    return judged_again(valid).select("outcome", "counted_in", "partition", *columns).repartition("order_id")


def figures(lines: DataFrame) -> DataFrame:
    """Rows of (table, entry, revenue, quantity, orders, events), all tables in one pass.

    Grouping by order and entry first counts distinct orders without a shuffle.
    """
    placed = lines.select("order_id", "revenue", "quantity", F.explode(F.array(*_figure_keys())).alias("place"))
    by_order = placed.groupBy("order_id", "place").agg(
        F.sum("revenue").alias("revenue"), F.sum("quantity").alias("quantity"), F.count(F.lit(1)).alias("events")
    )
    return (
        by_order.groupBy("place")
        .agg(
            F.sum("revenue").alias("revenue"),
            F.sum("quantity").alias("quantity"),
            F.count(F.lit(1)).alias("orders"),
            F.sum("events").alias("events"),
        )
        .select("place.table", "place.entry", "revenue", "quantity", "orders", "events")
    )


def _figure_keys() -> Iterator[Column]:
    def key(table: Table, entry: Column) -> Column:
        return F.struct(F.lit(table).alias("table"), entry.cast("string").alias("entry"))

    yield key("totals", F.lit(""))
    yield key("partition", F.coalesce(F.col("partition"), F.lit(-1)))
    yield key("month", start_of("month"))
    yield key("day", start_of("day"))
    yield key("hour", start_of("hour"))
    yield key("category", F.coalesce(F.col("category_code"), F.lit(UNKNOWN)))
    yield key("brand", F.coalesce(F.col("brand"), F.lit(UNKNOWN)))


def reconcile(
    store: ObjectStore, run_id: RunId, checked: DataFrame, curation: Curation, shop: Shop
) -> Reconciliation | None:
    """Compare and store the result; None, and nothing stored, where no snapshot is comparable."""
    found = find_scope(store, checked, curation, shop)
    if found is None:
        return None
    key, scope = found
    batch, linked = batch_figures(checked, scope)
    verdict = reconciliation(
        join_partitions(live_figures(scope.snapshot), linked),
        join_partitions(batch, linked),
        scope,
        version=run_id.version,
        checked_ms=run_id.started_ms,
        snapshot_key=key,
    )
    document = cast(dict[str, object], msgspec.to_builtins(verdict))
    put_once(store, f"{FOLDER}{run_id.version}.json", encode(document))
    publish.move_forward(store, LATEST, document)
    return verdict
