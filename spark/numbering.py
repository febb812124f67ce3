"""Ids are strings outside and dense integers inside."""

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F


def numbered(table: DataFrame, column: str) -> DataFrame:
    """The distinct ids of a string column, and `<column>_number`: 0, 1, 2 … in the order of the ids.

    One task sorts the ids, which takes milliseconds. The numbers are dense and reproducible; those of MLlib's
    StringIndexer are doubles in the order of frequency.
    """
    number = F.row_number().over(Window.orderBy(column)) - 1
    return table.select(column).distinct().withColumn(f"{column}_number", number)
