"""Tables that the driver made → Parquet files in the bucket."""

import io
from collections.abc import Mapping

import pyarrow as pa
import pyarrow.parquet as pq

from services.common.conditional_write import put_once
from services.common.object_store import ObjectStore

ROWS_A_FILE = 250_000
"""64 MB of factors of rank 64."""


def write_tables(store: ObjectStore, folder: str, tables: Mapping[str, pa.Table]) -> None:
    """Each table → `<folder><name>/part-<number>.parquet`, at least one file, also where there is no row."""
    for name, table in tables.items():
        for part, first in enumerate(range(0, max(len(table), 1), ROWS_A_FILE)):
            body = io.BytesIO()
            pq.write_table(table.slice(first, ROWS_A_FILE), body)
            put_once(store, f"{folder}{name}/part-{part:05}.parquet", body.getvalue())
