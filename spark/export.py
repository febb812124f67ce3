"""`python -m spark.export`: recommendations of all customers as files, for a mail tool, a spreadsheet, a warehouse."""

import argparse
import sys
import time
from collections.abc import Callable, Sequence

from botocore.exceptions import BotoCoreError, ClientError
from py4j.protocol import Py4JError  # type: ignore[import-untyped]
from pydantic import ValidationError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.functions import regexp_replace

from services.common.model_registry import folder_of, published_versions, read_pointer
from services.common.object_store import ObjectStore
from services.common.settings import explain
from spark.jars import JarsMissing
from spark.recommendation_rows import COLUMNS, answering
from spark.records import ddl
from spark.session import s3a_url, spark_session
from spark.settings import JobSettings

EXPORTS = "reports/recommendations/"
MAX_K = 100
_FORMULA = r"^([=+\-@\t\r\n])"
DESCRIPTION = """\
Write the recommendations of all customers of a model below reports/recommendations/<version>/ in the bucket.

The numbers are those that the recommender gives for the model as of its cut-off: what was bought since is not known to
an export. A file with the same model, k and format is replaced. docs/export.md describes the columns.
"""


class NoModel(Exception):
    """There is no such model."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit status: 0 done, 1 failed, 2 invalid settings."""
    options = _parser().parse_args(arguments)
    try:
        settings = JobSettings()
    except ValidationError as error:
        return _failed(explain(error), 2)
    try:
        folders, rows = export(settings, options.version, options.k, options.format)
    except (NoModel, JarsMissing, BotoCoreError, ClientError) as error:
        return _failed(f"failed: {error}", 1)
    except (Py4JError, PySparkException) as error:
        return _failed(f"failed: {str(error).splitlines()[0]}", 1)
    for folder in folders:
        print(f"{rows:,} rows in s3://{settings.s3_bucket}/{folder}", file=sys.stderr)
    return 0


def export(settings: JobSettings, version: str | None, k: int, kinds: Sequence[str]) -> tuple[list[str], int]:
    """Write an export in each of these formats; gives their folders and the number of rows. Raises NoModel."""
    store = ObjectStore(settings)
    try:
        version = _version(store, version)
        folders = {kind: f"{EXPORTS}{version}/k{k}-{kind}/" for kind in kinds}
        with spark_session(settings) as spark:
            rows = recommendations(spark, store, settings, version, k).persist()  # computed once
            for kind, folder in folders.items():
                WRITERS[kind](rows, s3a_url(store, folder))
            return list(folders.values()), rows.count()
    finally:
        store.close()


def recommendations(spark: SparkSession, store: ObjectStore, settings: JobSettings, version: str, k: int) -> DataFrame:
    """The top k of each customer of the model, as `COLUMNS`: each partition of customers is answered by itself."""
    known = spark.read.parquet(s3a_url(store, f"{folder_of(version)}known_purchases")).select("user_id")
    now_ms = time.time_ns() // 1_000_000
    spread = known.repartition(settings.spark_shuffle_partitions, "user_id").sortWithinPartitions("user_id")
    return spread.mapInArrow(answering(settings, settings.variety, settings.rotation, version, k, now_ms), ddl(COLUMNS))


def _parquet(rows: DataFrame, url: str) -> None:
    rows.write.mode("overwrite").parquet(url)


def for_spreadsheets(rows: DataFrame) -> DataFrame:
    """The rows with an apostrophe before each text that a spreadsheet would run as a formula.

    Names come from whoever wrote them into the shop, ids from whoever ordered: an e-mail address may begin with `=`.
    """
    texts = [name for name, kind in COLUMNS if kind == "string"]
    return rows.withColumns({name: regexp_replace(name, _FORMULA, "'$1") for name in texts})


def _csv(rows: DataFrame, url: str) -> None:
    # Quotes are doubled, as RFC 4180 says and spreadsheets expect.
    for_spreadsheets(rows).write.mode("overwrite").csv(url, header=True, quote='"', escape='"')


def _jsonl(rows: DataFrame, url: str) -> None:
    rows.write.mode("overwrite").json(url, ignoreNullFields=False)


WRITERS: dict[str, Callable[[DataFrame, str], None]] = {"parquet": _parquet, "csv": _csv, "jsonl": _jsonl}


def _version(store: ObjectStore, given: str | None) -> str:
    """The version to export: the given one, or the live one. Raises NoModel."""
    if given is not None:
        if given not in published_versions(store):
            raise NoModel(f"there is no model {given!r}: `python -m services.models list` lists them")
        return given
    pointer, _etag = read_pointer(store)
    if pointer is None:
        raise NoModel("there is no model yet: run `python -m spark run`")
    return pointer.version


def _k(text: str) -> int:
    k = int(text)
    if not 1 <= k <= MAX_K:
        raise argparse.ArgumentTypeError(f"must be 1 to {MAX_K}")
    return k


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m spark.export", description=DESCRIPTION, formatter_class=argparse.RawTextHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="what")
    what = commands.add_parser("recommendations", help="the best products of each customer")
    what.add_argument("--k", type=_k, default=10, help="products for each customer, 1 to 100 (10)")
    what.add_argument(
        "--format", choices=sorted(WRITERS), nargs="+", default=["parquet"], help="one or more, of the files (parquet)"
    )
    what.add_argument("--version", help="of the model (the live one)")
    return parser


def _failed(reason: str, status: int) -> int:
    print(reason, file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
