"""Curated purchases → implicit ALS factors, by a solver of our own or by Spark's MLlib.

Hu, Koren, Volinsky 2008: preference 1 with confidence 1 + alpha * rating; rating = ln(1 + pieces).
"""

from collections.abc import Callable, Mapping

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys.als_settings import AlsSettings
from spark import block_als, driver_als, mllib_als
from spark.factors import Factors
from spark.settings import Solver

SOLVERS: Mapping[Solver, Callable[[DataFrame, AlsSettings], Factors]] = {
    "driver": driver_als.factorise,
    "blocks": block_als.factorise,
    "mllib": mllib_als.factorise,
}
"""Factors of every user and product in a table of `interactions`. MLlib needs the context's checkpoint directory."""


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


def reason_against_training(pairs: int) -> str | None:
    """Why no model can be trained on so many rows of `interactions`; None where one can."""
    if not pairs:
        return "no known customer has a net purchase: every line is anonymous, rejected or returned"
    return None
