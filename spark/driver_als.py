"""Implicit ALS on the driver: all pairs in one process, both sides exact, in NumPy.

For shops whose pairs fit: no job of Spark's in an iteration, where the jobs would take longer than the arithmetic.
"""

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame

from recsys.als_half_step import FixedFactors, batches
from recsys.als_settings import AlsSettings
from recsys.evaluation.numpy_als import item_factors
from spark.block_als import factor_lists
from spark.factors import Factors
from spark.numbering import numbered_in_memory


def factorise(interactions: DataFrame, als: AlsSettings) -> Factors:
    """Factors of every customer and product of `interactions` (user_id, product_id, pieces)."""
    pairs = interactions.select("user_id", "product_id", "pieces").toArrow()
    customers, products = numbered_in_memory(pairs["user_id"]), numbered_in_memory(pairs["product_id"])
    order = np.lexsort((products.numbers, customers.numbers))  # Spark gives rows in any order
    rows, others = customers.numbers[order], products.numbers[order]
    pieces = pairs["pieces"].to_numpy()[order].astype(np.float64)
    items = item_factors(rows, others, pieces, als)
    ratings = batches(rows, others, (als.alpha * np.log1p(pieces)).astype(np.float32), als.rank)
    users = FixedFactors(items).solve(ratings, len(customers.ids), als.regularisation)
    spark = interactions.sparkSession
    return Factors(
        spark.createDataFrame(pa.table({"user_id": customers.ids, "factors": factor_lists(users)})),
        spark.createDataFrame(pa.table({"product_id": products.ids, "factors": factor_lists(items)})),
    )
