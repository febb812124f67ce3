"""What an answer needs beside the factors: the catalogue, what is popular, what a customer has already."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

POPULARITY_WINDOW_MS = 7 * 24 * 3600 * 1000
POPULAR_AT_LEAST = 100


def catalogue(purchases: DataFrame) -> DataFrame:
    """Each product as its newest line by event time describes it (later arrival wins), texts null where unknown."""
    newest = F.struct("event_time", "timestamp", "partition", "offset")
    facts = F.struct("product_name", "category_code", "brand", "price")
    sold = F.max(F.when(F.col("quantity") > 0, F.col("event_time")))
    products = purchases.groupBy("product_id").agg(
        F.max_by(facts, newest).alias("facts"),
        F.coalesce(sold, F.max("event_time")).alias("last_sold_ms"),
    )
    return products.select(
        "product_id",
        "facts.product_name",
        "facts.category_code",
        "facts.brand",
        F.col("facts.price").alias("price_cents"),
        "last_sold_ms",
    )


def popularity(purchases: DataFrame, newest_ms: int) -> DataFrame:
    """product_id, score, best first: net pieces of the 7 days up to the newest event.

    A week with fewer than 100 products is filled up with the best of all time, scaled to score below all of the week.
    """
    in_week = F.col("event_time") > newest_ms - POPULARITY_WINDOW_MS
    pieces = purchases.groupBy("product_id").agg(
        F.coalesce(F.sum(F.when(in_week, F.col("quantity"))), F.lit(0)).alias("week"),
        F.sum("quantity").alias("ever"),
    )
    week = pieces.where(F.col("week") > 0).select("product_id", F.col("week").cast("double").alias("score"))
    missing = POPULAR_AT_LEAST - week.count()
    ranked = week if missing <= 0 else week.unionByName(_all_time(pieces, missing))
    return ranked.coalesce(1).sortWithinPartitions(F.desc("score"), F.asc("product_id"))


def _all_time(pieces: DataFrame, n: int) -> DataFrame:
    """The best `n` products outside the week. Pieces are whole, so a score below 1 is below all of the week."""
    others = pieces.where((F.col("week") <= 0) & (F.col("ever") > 0))
    return (
        others.orderBy(F.desc("ever"), F.asc("product_id"))
        .limit(n)
        .select("product_id", (F.col("ever") / (F.col("ever") + 1)).alias("score"))
    )


def known_purchases(held: DataFrame) -> DataFrame:
    """user_id, product_ids (ascending), pieces (of each): what each known user holds, from `interactions`."""
    holdings = held.groupBy("user_id").agg(F.sort_array(F.collect_list(F.struct("product_id", "pieces"))).alias("held"))
    return holdings.select(
        "user_id", F.col("held.product_id").alias("product_ids"), F.col("held.pieces").alias("pieces")
    )
