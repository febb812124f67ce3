"""A purchase file → curated purchases, with the code of the producer and the batch job."""

import gzip
import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from tqdm import tqdm

from services.producer.layouts.purchases import open_purchases
from services.producer.line_ids import read_line_ids
from services.producer.rows import RejectedRow, RowEncoder
from spark import curate

LINES_A_FILE = 200_000


@dataclass(frozen=True, slots=True)
class Imported:
    """Counts of the file's rows."""

    rows: int
    refused: int


def import_file(spark: SparkSession, csv: Path, raw: Path, folder: Path, mapping: Path | None = None) -> Imported:
    """Write the file's accepted lines, deduplicated, to `folder`, as the batch job curates them.

    `raw` holds the events in between; `mapping` says how the file is read, None for the seed layout. Raises BadFile.
    """
    imported = _write_events(csv, raw, mapping)
    checked = curate.check(curate.read_archive(spark, raw.as_uri()), time.time_ns() // 1_000_000)
    curate.write_curated(curate.accepted(checked), folder.as_uri())
    return imported


def purchases(spark: SparkSession, folder: Path) -> DataFrame:
    """What `import_file` wrote."""
    return curate.read_curated(spark, folder.as_uri())


def _write_events(csv: Path, raw: Path, mapping: Path | None) -> Imported:
    raw.mkdir(parents=True)
    rows = refused = 0
    with tqdm(desc="rows read", unit=" rows", unit_scale=True) as bar:
        found = events(csv, time.time_ns() // 1_000_000, mapping)
        chunks = iter(lambda: list(itertools.islice(found, LINES_A_FILE)), [])
        for number, chunk in enumerate(chunks):
            accepted = [event for event in chunk if event is not None]
            rows, refused = rows + len(chunk), refused + len(chunk) - len(accepted)
            with gzip.open(raw / f"{number:05d}.json.gz", "wb", compresslevel=1) as out:
                out.writelines(line for event in accepted for line in (event, b"\n"))
            bar.update(len(chunk))
    return Imported(rows, refused)


def events(csv: Path, now_ms: int, mapping: Path | None = None) -> Iterator[bytes | None]:
    """Each row of a file as the producer would send it; None for a dead letter. Raises BadFile."""
    with open_purchases(csv, mapping) as source:
        ids = read_line_ids(source)
    with open_purchases(csv, mapping) as source:
        encoder = RowEncoder(source.columns, csv.name, ids, lambda key: (0, key.encode()))
        for block in source.blocks():
            for outcome in encoder.encode(block, now_ms):
                yield None if isinstance(outcome, RejectedRow) else outcome.value
