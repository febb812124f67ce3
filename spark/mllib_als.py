"""Implicit ALS by Spark's MLlib: the reference for `spark/block_als.py`, and a setting."""

from pyspark.ml.recommendation import ALS
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys.als_settings import AlsSettings
from spark.factors import Factors
from spark.numbering import numbered

CHECKPOINT_EVERY = 5
"""Iterations between checkpoints: a longer lineage overflows the stack of a task."""


def factorise(interactions: DataFrame, als: AlsSettings) -> Factors:
    """Factors of every user and product in `interactions` (the columns of `interactions`).

    Ids are strings outside and dense integers inside. The context's checkpoint directory must be set.
    """
    users, products = numbered(interactions, "user_id"), numbered(interactions, "product_id")
    ratings = interactions.join(users, "user_id").join(products, "product_id")
    model = _algorithm(als).fit(
        ratings.select("user_id_number", "product_id_number", F.log1p("pieces").cast("float").alias("rating"))
    )
    return Factors(_named(model.userFactors, users, "user_id"), _named(model.itemFactors, products, "product_id"))


def _algorithm(als: AlsSettings) -> ALS:
    return ALS(
        rank=als.rank,
        maxIter=als.iterations,
        regParam=als.regularisation,
        implicitPrefs=True,
        alpha=als.alpha,
        seed=als.seed,
        checkpointInterval=CHECKPOINT_EVERY,
        numUserBlocks=als.blocks,
        numItemBlocks=als.blocks,
        userCol="user_id_number",
        itemCol="product_id_number",
        ratingCol="rating",
    )


def _named(factors: DataFrame, ids: DataFrame, column: str) -> DataFrame:
    named = factors.join(ids, F.col("id") == F.col(f"{column}_number"))
    return named.select(column, F.col("features").alias("factors"))
