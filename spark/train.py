"""Curated purchases → implicit ALS factors (MLlib). Ids are strings outside and dense integers inside."""

from dataclasses import dataclass

from pyspark.ml.recommendation import ALS
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from recsys.als_settings import AlsSettings

CHECKPOINT_EVERY = 5
"""Iterations between checkpoints: a longer lineage overflows the stack of a task."""


@dataclass(frozen=True, slots=True)
class Factors:
    """`users`: user_id, factors; `products`: product_id, factors (array of `rank` floats)."""

    users: DataFrame
    products: DataFrame


def interactions(purchases: DataFrame) -> DataFrame:
    """Net purchases of known users: user_id, product_id, pieces (bought less returned, only above 0), bought_ms.

    `bought_ms`: event time of the newest purchase, epoch milliseconds.
    """
    known = purchases.where(F.col("user_id").isNotNull())
    pieces = known.groupBy("user_id", "product_id").agg(
        F.sum("quantity").alias("pieces"),
        F.max(F.when(F.col("quantity") > 0, F.col("event_time"))).alias("bought_ms"),
    )
    return pieces.where(F.col("pieces") > 0)


def reason_against_training(interactions: DataFrame) -> str | None:
    """Why no model can be trained on these interactions; None where one can."""
    if interactions.isEmpty():
        return "no known customer has a net purchase: every line is anonymous, rejected or returned"
    return None


def factorise(interactions: DataFrame, als: AlsSettings) -> Factors:
    """Factors of every user and product in `interactions` (the columns of `interactions`).

    Hu, Koren, Volinsky 2008: preference 1 with confidence 1 + alpha * rating; rating = ln(1 + pieces).
    The context's checkpoint directory must be set.
    """
    users, products = numbered(interactions, "user_id"), numbered(interactions, "product_id")
    ratings = interactions.join(users, "user_id").join(products, "product_id")
    model = _algorithm(als).fit(
        ratings.select("user_id_number", "product_id_number", F.log1p("pieces").cast("float").alias("rating"))
    )
    return Factors(_named(model.userFactors, users, "user_id"), _named(model.itemFactors, products, "product_id"))


def numbered(table: DataFrame, column: str) -> DataFrame:
    """The distinct ids of a string column, and `<column>_number`: 0, 1, 2 … in the order of the ids.

    One task sorts the ids, which takes milliseconds. The numbers are dense and reproducible; those of MLlib's
    StringIndexer are doubles in the order of frequency.
    """
    number = F.row_number().over(Window.orderBy(column)) - 1
    return table.select(column).distinct().withColumn(f"{column}_number", number)


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
