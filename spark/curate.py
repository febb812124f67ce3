"""Archive → curated purchases: validated and deduplicated lines, and counts of all outcomes."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from recsys.stream_apply import SOURCES
from services.common.events import DEFAULT_NO_CUSTOMER, MAX_ROW_DIGITS
from services.common.object_store import ObjectStore
from spark.records import CHECKED, ORIGIN, PURCHASE, checker, ddl

CURATED = (*ORIGIN, *PURCHASE, ("month", "string"))
"""Columns of the curated purchases; partitioned by `month` (`2020-04`, in the shop's time zone)."""

SOURCE_ROW = rf"(?s)^(.+):([0-9]{{1,{MAX_ROW_DIGITS}}})$"
"""An event id that consists of a source and a row."""


@dataclass(frozen=True, slots=True)
class Curation:
    """The outcomes of the archived records. `records` = `accepted` + `repeats` + all of `rejected`.

    Positions: `offsets`, partition → the offset after the last record; `rows`, partition → source → the highest row.
    """

    records: int
    accepted: int
    repeats: int
    rejected: dict[str, int]
    unknown_category: int
    unknown_brand: int
    anonymous: int
    plain_lines: int
    offsets: dict[str, int]
    rows: dict[str, dict[str, int]]

    @property
    def dead_letters(self) -> int:
        """Distinct records that were rejected."""
        return sum(self.rejected.values())

    def counts(self) -> dict[str, object]:
        """The counts without the positions, for the report and the manifest."""
        return {name: value for name, value in asdict(self).items() if name not in ("offsets", "rows")}


def read_archive(spark: SparkSession, folder: str | None) -> DataFrame:
    """The lines of all objects below a folder: (line: binary, path: string). None: the archive is empty."""
    if folder is None:
        return spark.createDataFrame([], "line binary, path string")
    objects = spark.read.option("recursiveFileLookup", True).option("lineSep", "\n").text(folder)
    return objects.select(F.col("value").cast("binary").alias("line"), F.col("_metadata.file_path").alias("path"))


def check(lines: DataFrame, job_ms: int, no_customer: frozenset[str] = DEFAULT_NO_CUSTOMER) -> DataFrame:
    """Rows of `CHECKED`, `identity`, and `repeat`: whether an earlier record has the same identity."""
    checked = lines.where(F.length("line") > 0).mapInArrow(checker(job_ms, no_customer), ddl(CHECKED))
    same_line = Window.partitionBy("identity").orderBy(*arrival_order())
    marked = checked.withColumn("identity", _identity())
    return marked.withColumn("repeat", F.row_number().over(same_line) > 1)


def _identity() -> Column:
    """The key of deduplication: the event_id, else the position in the topic, else a unique number.

    The broker time is part of the position: a recreated topic has the same offsets again.
    """
    accepted_event = F.when(F.col("reason").isNull(), F.col("event_id"))
    place = F.when(F.col("offset").isNotNull(), F.concat_ws("/", "partition", "offset", "timestamp"))
    return F.coalesce(
        F.concat(F.lit("event "), accepted_event),
        F.concat(F.lit("record "), place),
        F.concat(F.lit("line "), F.monotonically_increasing_id().cast("string")),
    )


def arrival_order() -> list[Column]:
    """The order of deduplication: as in the stream, the first record counts; lines without an offset come last."""
    return [F.col(name).asc_nulls_last() for name, _ in (*ORIGIN, *PURCHASE)]


def accepted(checked: DataFrame) -> DataFrame:
    """The accepted lines without duplicates, as `CURATED`. Months are those of the session's time zone."""
    month = F.date_format(F.timestamp_millis("event_time"), "yyyy-MM")
    counting = checked.where(F.col("reason").isNull() & ~F.col("repeat"))
    return counting.select(*(name for name, _ in (*ORIGIN, *PURCHASE))).withColumn("month", month)


def write_curated(purchases: DataFrame, folder: str) -> None:
    """Write the purchases by month; each file holds a range of event times."""
    purchases.repartitionByRange("event_time").write.partitionBy("month").parquet(folder)


def read_curated(spark: SparkSession, folder: str) -> DataFrame:
    """The purchases that `write_curated` wrote."""
    return spark.read.schema(ddl(CURATED)).parquet(folder)


def curated_tables(store: ObjectStore, folder: str, columns: Sequence[str]) -> Iterator[pa.Table]:
    """The same files read one by one, without Spark."""
    for key, _size in store.list(folder):
        if key.endswith(".parquet"):
            yield pq.read_table(io.BytesIO(store.get(key)), columns=list(columns))


def count(checked: DataFrame) -> Curation:
    """Count the outcomes of `check`."""
    outcomes = checked.groupBy("reason", "repeat").agg(
        F.count(F.lit(1)).alias("lines"),
        F.count_if(F.col("category_code").isNull()).alias("unknown_category"),
        F.count_if(F.col("brand").isNull()).alias("unknown_brand"),
        F.count_if(F.col("user_id").isNull()).alias("anonymous"),
        F.count_if(F.col("offset").isNull()).alias("plain_lines"),
    )
    rows = outcomes.collect()
    counting = next((row for row in rows if row.reason is None and not row.repeat), None)
    return Curation(
        records=sum(row.lines for row in rows),
        accepted=counting.lines if counting else 0,
        repeats=sum(row.lines for row in rows if row.repeat),
        rejected={row.reason: row.lines for row in sorted(rows, key=str) if row.reason and not row.repeat},
        unknown_category=counting.unknown_category if counting else 0,
        unknown_brand=counting.unknown_brand if counting else 0,
        anonymous=counting.anonymous if counting else 0,
        plain_lines=sum(row.plain_lines for row in rows),
        offsets=_offsets(checked),
        rows=_rows(checked),
    )


def _offsets(checked: DataFrame) -> dict[str, int]:
    """Partition → the offset after the last archived record."""
    places = checked.where(F.col("offset").isNotNull())
    last = places.groupBy("partition").agg(F.max("offset").alias("last")).orderBy("partition").collect()
    return {str(row.partition): row.last + 1 for row in last}


def _rows(checked: DataFrame) -> dict[str, dict[str, int]]:
    """Partition → source → the highest row of its valid records, as `events.source_row` reads them.

    For each partition the `SOURCES` with the newest broker times, the newest last: as many as serving keeps.
    """
    places = checked.where(F.col("offset").isNotNull() & F.col("reason").isNull() & F.col("event_id").rlike(SOURCE_ROW))
    named = places.select(
        "partition",
        "timestamp",
        F.regexp_extract("event_id", SOURCE_ROW, 1).alias("source"),
        F.regexp_extract("event_id", SOURCE_ROW, 2).cast("bigint").alias("row"),
    )
    highest = named.groupBy("partition", "source").agg(
        F.max("row").alias("row"), F.max("timestamp").alias("newest_broker_ms")
    )
    newest_first = Window.partitionBy("partition").orderBy(F.desc("newest_broker_ms"), F.asc("source"))
    kept = highest.withColumn("place", F.row_number().over(newest_first)).where(F.col("place") <= SOURCES)
    found: dict[str, dict[str, int]] = {}
    for row in kept.orderBy("partition", F.desc("place")).collect():
        found.setdefault(str(row.partition), {})[row.source] = row.row
    return found
