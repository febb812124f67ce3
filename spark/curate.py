"""Archive → curated purchases: validated lines, each once, and counts of all outcomes."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from services.common.canary import OUTCOME
from services.common.event_rules import DEFAULT_RULES, EventRules
from services.common.object_store import ObjectStore
from spark.line_verdicts import ACCEPTED, REPEAT, VERDICT, judge
from spark.records import CHECKED, ORIGIN, PURCHASE, arrow_schema, checker, ddl

CURATED = (*ORIGIN, *PURCHASE, ("month", "string"))
"""Columns of the curated purchases; partitioned by `month` (`2020-04`, in the shop's time zone)."""

JUDGED_RECORD = (*CHECKED, ("line_group", "string"), *VERDICT)
"""Columns of a record with its verdict."""


@dataclass(frozen=True, slots=True)
class Curation:
    """The outcomes of the archived records, canaries left out. `records` = `accepted` + `repeats` + all of `rejected`.

    `offsets`: partition → the offset after the last record, a canary or not.
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

    @property
    def dead_letters(self) -> int:
        """Distinct records that were rejected."""
        return sum(self.rejected.values())

    @property
    def outcomes(self) -> dict[str, int]:
        """Archived records by outcome."""
        return {"accepted": self.accepted, "repeat": self.repeats, "rejected": self.dead_letters}

    def counts(self) -> dict[str, object]:
        """The counts without the offsets, for the report and the manifest."""
        return {name: value for name, value in asdict(self).items() if name != "offsets"}


def read_archive(spark: SparkSession, folder: str | None) -> DataFrame:
    """The lines of all objects below a folder: (line: binary, path: string). None: the archive is empty."""
    if folder is None:
        return spark.createDataFrame([], "line binary, path string")
    objects = spark.read.option("recursiveFileLookup", True).option("lineSep", "\n").text(folder)
    return objects.select(F.col("value").cast("binary").alias("line"), F.col("_metadata.file_path").alias("path"))


def check(lines: DataFrame, job_ms: int, rules: EventRules = DEFAULT_RULES) -> DataFrame:
    """Rows of `JUDGED_RECORD`: validated records, and what becomes of each."""
    checked = lines.where(F.length("line") > 0).mapInArrow(checker(job_ms, rules), ddl(CHECKED))
    grouped = checked.withColumn("line_group", _line_group())
    together = grouped.repartition("line_group").sortWithinPartitions("line_group", *arrival_order())
    return together.mapInArrow(judge, ddl(JUDGED_RECORD))


def judged_again(checked: DataFrame) -> DataFrame:
    """Some of the rows of `check`, judged as if there were no others.

    They are still grouped and in order: neither a filter nor persisting moves a row.
    """
    return checked.drop(*(name for name, _ in VERDICT)).mapInArrow(judge, ddl(JUDGED_RECORD))


def _line_group() -> Column:
    """What is judged together: the lines of an order; of any other record, the copies that the archive holds.

    The broker time is part of a position: a recreated topic has the same offsets again.
    """
    order = F.when(F.col("reason").isNull(), F.concat(F.lit("order "), "order_id"))
    place = F.when(F.col("offset").isNotNull(), F.concat_ws("/", "partition", "offset", "timestamp"))
    return F.coalesce(
        order,
        F.concat(F.lit("record "), place),
        F.concat(F.lit("line "), F.monotonically_increasing_id().cast("string")),
    )


def arrival_order() -> list[Column]:
    """The order of verdicts: as in the stream, the first line counts; lines without an offset come last."""
    first = ("timestamp", "partition", "offset")
    return [F.col(name).asc_nulls_last() for name in (*first, *(name for name, _ in PURCHASE))]


def accepted(checked: DataFrame) -> DataFrame:
    """The accepted lines without duplicates, as `CURATED`. Months are those of the session's time zone."""
    month = F.date_format(F.timestamp_millis("event_time"), "yyyy-MM")
    counting = checked.where(F.col("outcome") == ACCEPTED)
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


def curated_table(store: ObjectStore, folder: str, columns: Sequence[str]) -> pa.Table:
    """All of them as one table, without a row where there is no file."""
    schema = arrow_schema(CURATED, columns)
    return pa.concat_tables(
        [schema.empty_table(), *(table.cast(schema) for table in curated_tables(store, folder, columns))]
    )


def count(checked: DataFrame) -> Curation:
    """Count the outcomes of `check`."""
    outcomes = checked.groupBy("outcome").agg(
        F.count(F.lit(1)).alias("lines"),
        F.count_if(F.col("category_code").isNull()).alias("unknown_category"),
        F.count_if(F.col("brand").isNull()).alias("unknown_brand"),
        F.count_if(F.col("user_id").isNull()).alias("anonymous"),
        F.count_if(F.col("offset").isNull()).alias("plain_lines"),
    )
    rows = [row for row in outcomes.collect() if row.outcome != OUTCOME]
    counting = next((row for row in rows if row.outcome == ACCEPTED), None)
    return Curation(
        records=sum(row.lines for row in rows),
        accepted=counting.lines if counting else 0,
        repeats=sum(row.lines for row in rows if row.outcome == REPEAT),
        rejected={row.outcome: row.lines for row in sorted(rows) if row.outcome not in (ACCEPTED, REPEAT)},
        unknown_category=counting.unknown_category if counting else 0,
        unknown_brand=counting.unknown_brand if counting else 0,
        anonymous=counting.anonymous if counting else 0,
        plain_lines=sum(row.plain_lines for row in rows),
        offsets=_offsets(checked),
    )


def _offsets(checked: DataFrame) -> dict[str, int]:
    """Partition → the offset after the last archived record."""
    places = checked.where(F.col("offset").isNotNull())
    last = places.groupBy("partition").agg(F.max("offset").alias("last")).orderBy("partition").collect()
    return {str(row.partition): row.last + 1 for row in last}
