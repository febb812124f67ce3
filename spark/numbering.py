"""Ids are strings outside and dense integers inside."""

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from recsys.topk import Int64s


class Numbered(NamedTuple):
    """Distinct ids, ascending, and for each row [rows] the number of its id among them."""

    ids: "pa.Array[Any]"
    numbers: Int64s


def numbered_in_memory(column: "pa.ChunkedArray[Any]") -> Numbered:
    """The ids of a column that one process holds; the order of its rows does not matter."""
    given = column.combine_chunks()
    ids = given.unique().sort()
    return Numbered(ids, pc.index_in(given, ids).to_numpy().astype(np.int64))


def numbered(table: DataFrame, column: str) -> DataFrame:
    """The distinct ids of a string column, and `<column>_number`: 0, 1, 2 … in the order of the ids.

    One task sorts the ids, which takes milliseconds. The numbers are dense and reproducible; those of MLlib's
    StringIndexer are doubles in the order of frequency.
    """
    number = F.row_number().over(Window.orderBy(column)) - 1
    return table.select(column).distinct().withColumn(f"{column}_number", number)
