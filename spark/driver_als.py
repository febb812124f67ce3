"""Implicit ALS on the driver: all pairs in one process, both sides exact, in NumPy.

For shops whose pairs fit: no job of Spark's in an iteration, where the jobs would take longer than the arithmetic.
"""

from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame

from recsys.als_half_step import FixedFactors, batches
from recsys.als_settings import AlsSettings
from recsys.evaluation.numpy_als import item_factors
from recsys.topk import Float64s, Int64s
from spark.block_als import factor_lists
from spark.factors import Factors
from spark.numbering import numbered_in_memory


def factorise(interactions: DataFrame, als: AlsSettings) -> Factors:
    """Factors of every customer and product of `interactions` (user_id, product_id, pieces)."""
    pairs = interactions.select("user_id", "product_id", "pieces").toArrow()
    customers, products = numbered_in_memory(pairs["user_id"]), numbered_in_memory(pairs["product_id"])
    order = np.lexsort((products.numbers, customers.numbers))  # Spark gives rows in any order
    pieces = pairs["pieces"].to_numpy()[order].astype(np.float64)
    users, items = factors_of(customers.numbers[order], products.numbers[order], pieces, als)
    spark = interactions.sparkSession
    return Factors(
        spark.createDataFrame(pa.table({"user_id": customers.ids, "factors": users})),
        spark.createDataFrame(pa.table({"product_id": products.ids, "factors": items})),
    )


def factors_of(
    customers: Int64s, rows: Int64s, pieces: Float64s, als: AlsSettings
) -> "tuple[pa.Array[Any], pa.Array[Any]]":
    """Factors of customers 0, 1, … and of products 0, 1, …, from distinct pairs in the order of both; pieces > 0."""
    items = item_factors(customers, rows, pieces, als)
    ratings = batches(customers, rows, (als.alpha * np.log1p(pieces)).astype(np.float32), als.rank)
    users = FixedFactors(items).solve(ratings, int(customers[-1]) + 1, als.regularisation)
    return factor_lists(users), factor_lists(items)
