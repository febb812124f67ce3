"""Implicit ALS on the driver: all pairs in one process, both sides exact, in NumPy.

For shops whose pairs fit: no job of Spark's in an iteration, where the jobs would take longer than the arithmetic.
"""

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame

from recsys.als_half_step import FixedFactors, batches
from recsys.als_settings import AlsSettings
from recsys.evaluation.numpy_als import item_factors
from recsys.topk import Int64s
from spark.block_als import factor_lists
from spark.factors import Factors


class _Side(NamedTuple):
    """The ids of a side, ascending, and the place of each pair's id among them."""

    ids: "pa.Array[Any]"
    places: Int64s


def factorise(interactions: DataFrame, als: AlsSettings) -> Factors:
    """Factors of every customer and product of `interactions` (user_id, product_id, pieces)."""
    pairs = interactions.select("user_id", "product_id", "pieces").toArrow()
    customers, products = _side(pairs["user_id"]), _side(pairs["product_id"])
    order = np.lexsort((products.places, customers.places))  # Spark gives rows in any order
    rows, others = customers.places[order], products.places[order]
    pieces = pairs["pieces"].to_numpy()[order].astype(np.float64)
    items = item_factors(rows, others, pieces, als)
    ratings = batches(rows, others, (als.alpha * np.log1p(pieces)).astype(np.float32), als.rank)
    users = FixedFactors(items).solve(ratings, len(customers.ids), als.regularisation)
    spark = interactions.sparkSession
    return Factors(
        spark.createDataFrame(pa.table({"user_id": customers.ids, "factors": factor_lists(users)})),
        spark.createDataFrame(pa.table({"product_id": products.ids, "factors": factor_lists(items)})),
    )


def _side(column: "pa.ChunkedArray[Any]") -> _Side:
    ids = column.combine_chunks()
    ascending = ids.unique().sort()
    return _Side(ascending, pc.index_in(ids, ascending).to_numpy().astype(np.int64))
