"""Parquet files without some of their customers. Pure."""

import io
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from services.common.erased import Erased

COLUMN = "user_id"


def without_rows(body: bytes, erased: Erased) -> bytes | None:
    """The file without the rows of erased customers; None where it has none."""
    table = pq.read_table(io.BytesIO(body))
    theirs = _of_erased(table, erased)
    return None if theirs is None else _written(table.filter(pc.invert(theirs)))


def without_customers(body: bytes, erased: Erased) -> bytes | None:
    """The file with all its rows, those of erased customers without a customer; None where it has none."""
    table = pq.read_table(io.BytesIO(body))
    theirs = _of_erased(table, erased)
    if theirs is None:
        return None
    place = table.schema.get_field_index(COLUMN)
    nobody = pa.scalar(None, table.schema.field(place).type)
    return _written(table.set_column(place, table.schema.field(place), pc.if_else(theirs, nobody, table[COLUMN])))


def rows_of(body: bytes) -> int:
    """How many rows a file has."""
    return int(pq.read_metadata(io.BytesIO(body)).num_rows)


def _of_erased(table: pa.Table, erased: Erased) -> Any:
    """Row by row whether it is of an erased customer [rows]; None where none is."""
    if COLUMN not in table.column_names:
        return None
    customers = (each for each in table[COLUMN].unique().to_pylist() if each is not None)
    found = [each for each in customers if each in erased]
    # Of a null `is_in` says false.
    return pc.is_in(table[COLUMN], pa.array(found, table[COLUMN].type)) if found else None


def _written(table: pa.Table) -> bytes:
    written = io.BytesIO()
    pq.write_table(table, written)
    return written.getvalue()
