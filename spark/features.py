"""The tables of a model other than its factors: the Spark side of `recsys/evaluation/training_view.py`.

Both give the same numbers (tests/integration/test_spark_features.py), so that the evaluated model is the served one.
"""

from collections.abc import Iterable

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from recsys.category_affinity import MAX_CATEGORIES
from recsys.decayed_counts import DAY_MS, HOUR_MS
from recsys.evaluation.training_view import CATEGORY_SHRINK, NEIGHBOURS, NEWEST_PRODUCTS, POPULAR_DAYS
from recsys.recent_orders import ORDER_PRODUCTS
from services.common.event_clock import QUORUM, watermark_of
from spark.numbering import numbered

POPULAR_AT_LEAST = 100
FADED = 1e-9
"""Trends at or below this value are left out of the table."""


def time_range(purchases: DataFrame) -> tuple[int, int]:
    """The oldest event time and the event-time watermark, epoch milliseconds. There must be a purchase."""
    oldest = purchases.agg(F.min("event_time").alias("oldest")).head()
    assert oldest is not None  # an aggregate without groups has one row
    latest = purchases.select("event_time").orderBy(F.desc("event_time")).limit(QUORUM).collect()
    return oldest.oldest, watermark_of(row.event_time for row in latest)


def catalogue(purchases: DataFrame) -> DataFrame:
    """Each product's facts in its newest line by event time (ties: the later arrival); unknown texts are null.

    `last_sold_ms`: event time of the newest line with a positive quantity, or null.
    """
    newest = F.struct("event_time", "timestamp", "partition", "offset")
    facts = F.struct("product_name", "category_code", "brand", "price")
    products = purchases.groupBy("product_id").agg(
        F.max_by(facts, newest).alias("facts"),
        F.max(F.when(F.col("quantity") > 0, F.col("event_time"))).alias("last_sold_ms"),
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
    """product_id, score, best first: lines sold in the 7 days up to `newest_ms`; later lines do not count.

    A week with fewer than 100 products is filled up with the best sellers of all time, with scores below all of the
    week's.
    """
    counts = F.count_if(in_week(newest_ms)).alias("week"), F.count(F.lit(1)).alias("ever")
    lines = sold(purchases).groupBy("product_id").agg(*counts)
    week = lines.where(F.col("week") > 0).select("product_id", F.col("week").cast("double").alias("score"))
    missing = POPULAR_AT_LEAST - week.count()
    ranked = week if missing <= 0 else week.unionByName(_all_time(lines, missing))
    return ranked.coalesce(1).sortWithinPartitions(F.desc("score"), F.asc("product_id"))


def in_week(newest_ms: int) -> Column:
    """Whether a line is within the 7 days up to `newest_ms`."""
    return (F.col("event_time") > newest_ms - POPULAR_DAYS * DAY_MS) & (F.col("event_time") <= newest_ms)


def _all_time(lines: DataFrame, n: int) -> DataFrame:
    """The best `n` products outside the week. Counts of the week are at least 1; these scores are below 1."""
    others = lines.where(F.col("week") == 0)
    return (
        others.orderBy(F.desc("ever"), F.asc("product_id"))
        .limit(n)
        .select("product_id", (F.col("ever") / (F.col("ever") + 1)).alias("score"))
    )


def sold(purchases: DataFrame) -> DataFrame:
    """The lines with a positive quantity; the others are returns or corrections."""
    return purchases.where(F.col("quantity") > 0)


def known_purchases(interactions: DataFrame) -> DataFrame:
    """user_id, product_ids (ascending), pieces and bought_ms (of each): the net purchases of each known user."""
    each = F.struct("product_id", F.col("pieces").cast("double").alias("pieces"), "bought_ms")
    holdings = interactions.groupBy("user_id").agg(F.sort_array(F.collect_list(each)).alias("held"))
    return holdings.select(
        "user_id",
        F.col("held.product_id").alias("product_ids"),
        F.col("held.pieces").alias("pieces"),
        F.col("held.bought_ms").alias("bought_ms"),
    )


def co_purchases(interactions: DataFrame) -> DataFrame:
    """product_id, buyers, neighbour_ids, counts: number of buyers, and the products with most customers in common."""
    products = numbered(interactions, "product_id").withColumnRenamed("product_id_number", "number").persist()
    pairs = _ordered_pairs(_newest_products(interactions.join(products, "product_id")), "user_id", "number")
    return _with_neighbours(interactions, products, pairs).withColumnRenamed("total", "buyers")


def order_pairs(purchases: DataFrame) -> DataFrame:
    """product_id, orders, neighbour_ids, counts: number of orders, and the products most often in the same orders.

    Of an order the first `ORDER_PRODUCTS` products by their ids are paired.
    """
    held = sold(purchases).select("order_id", "product_id").distinct()
    products = numbered(held, "product_id").withColumnRenamed("product_id_number", "number").persist()
    by_id = Window.partitionBy("order_id").orderBy("number")
    paired = held.join(products, "product_id").withColumn("place", F.row_number().over(by_id))
    pairs = _ordered_pairs(paired.where(F.col("place") <= ORDER_PRODUCTS), "order_id", "number")
    return _with_neighbours(held, products, pairs).withColumnRenamed("total", "orders")


def _with_neighbours(held: DataFrame, products: DataFrame, pairs: DataFrame) -> DataFrame:
    """product_id, total, neighbour_ids, counts: the rows of `held`, and the `NEIGHBOURS` with most in common."""
    commonest = Window.partitionBy("one").orderBy(F.desc("customers"), F.asc("other"))
    kept = pairs.withColumn("place", F.row_number().over(commonest)).where(F.col("place") <= NEIGHBOURS)
    named = kept.join(products, F.col("other") == F.col("number")).select("one", "place", "product_id", "customers")
    neighbours = named.groupBy("one").agg(
        F.sort_array(F.collect_list(F.struct("place", "product_id", "customers"))).alias("found")
    )
    totals = held.groupBy("product_id").agg(F.count(F.lit(1)).alias("total")).join(products, "product_id")
    with_neighbours = totals.join(neighbours, F.col("number") == F.col("one"), "left")
    return with_neighbours.select(
        "product_id",
        "total",
        _or_none("found.product_id", "array<string>").alias("neighbour_ids"),
        _or_none("found.customers", "array<int>").alias("counts"),
    )


def _newest_products(interactions: DataFrame) -> DataFrame:
    """Each customer's newest products: the pairs grow with the square of their number."""
    newest = Window.partitionBy("user_id").orderBy(F.desc("bought_ms"), F.asc("number"))
    return interactions.withColumn("age", F.row_number().over(newest)).where(F.col("age") <= NEWEST_PRODUCTS)


def _ordered_pairs(of_groups: DataFrame, group: str, column: str) -> DataFrame:
    """one, other, customers: how many groups (customers, orders) have both values of `column`, in both orders."""
    ones = of_groups.select(group, F.col(column).alias("one"))
    others = of_groups.select(group, F.col(column).alias("other"))
    together = ones.join(others, group).where(F.col("one") < F.col("other"))
    counts = together.groupBy("one", "other").agg(F.count(F.lit(1)).alias("customers")).persist()
    mirrored = counts.select(F.col("other").alias("one"), F.col("one").alias("other"), "customers")
    return counts.unionByName(mirrored)


def _or_none(column: str, kind: str) -> Column:
    return F.coalesce(F.col(column), F.array()).cast(kind)


def category_ties(interactions: DataFrame, products: DataFrame) -> DataFrame:
    """category_code, towards, tie: affinities above 0 between the `MAX_CATEGORIES` categories with most buyers.

    The shrunk share of the buyers of a category who also bought in the other, or a second product in the same.
    """
    categories = products.where(F.col("category_code").isNotNull()).select("product_id", "category_code")
    bought = interactions.join(categories, "product_id").groupBy("user_id", "category_code")
    by_customer = _of_most_bought(bought.agg(F.count(F.lit(1)).alias("products"))).persist()
    buyers = by_customer.groupBy("category_code").agg(
        F.count(F.lit(1)).alias("buyers"), F.count_if(F.col("products") > 1).alias("again")
    )
    again = buyers.select("category_code", F.col("category_code").alias("towards"), F.col("again").alias("customers"))
    pairs = _ordered_pairs(by_customer, "user_id", "category_code").select(
        F.col("one").alias("category_code"), F.col("other").alias("towards"), "customers"
    )
    together = pairs.unionByName(again.where(F.col("customers") > 0))
    share = F.col("customers") / (F.col("buyers") + CATEGORY_SHRINK)
    return together.join(buyers, "category_code").select("category_code", "towards", share.alias("tie"))


def _of_most_bought(by_customer: DataFrame) -> DataFrame:
    """The rows of the `MAX_CATEGORIES` categories with most buyers."""
    buyers = by_customer.groupBy("category_code").agg(F.count(F.lit(1)).alias("buyers"))
    most = buyers.orderBy(F.desc("buyers"), F.asc("category_code")).limit(MAX_CATEGORIES).select("category_code")
    return by_customer.join(most, "category_code", "left_semi")


def trends(purchases: DataFrame, interactions: DataFrame, half_lives_h: Iterable[float], at_ms: int) -> DataFrame:
    """product_id, half_life_h, count: lines sold up to `at_ms`, decayed to `at_ms` with each half-life.

    Lines of products that their customer has returned entirely do not count; serving removes them too.
    """
    age_ms = F.lit(at_ms) - F.col("event_time")
    counts = [
        F.struct(
            F.lit(float(hours)).alias("half_life_h"),
            F.sum(F.pow(F.lit(2.0), -age_ms / F.lit(hours * HOUR_MS))).alias("count"),
        )
        for hours in sorted(set(half_lives_h))
    ]
    lines = sold(purchases).where(F.col("event_time") <= at_ms)
    by_product = _not_returned(lines, interactions).groupBy("product_id").agg(F.array(*counts).alias("counts"))
    each = by_product.select("product_id", F.explode("counts").alias("trend"))
    return each.select("product_id", "trend.half_life_h", "trend.count").where(F.col("count") > FADED)


def _not_returned(lines: DataFrame, interactions: DataFrame) -> DataFrame:
    """Lines whose customer has not returned the product, and anonymous lines."""
    pairs = interactions.select("user_id", "product_id", F.lit(True).alias("holds"))
    marked = lines.join(pairs, ["user_id", "product_id"], "left")
    return marked.where(F.col("user_id").isNull() | F.col("holds"))
