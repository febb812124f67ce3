"""Implicit ALS on Spark: by blocks of customers, by MLlib, and exactly in NumPy, on one shop's purchases."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pyspark.sql import DataFrame

from recsys.als_half_step import FixedFactors, batches
from recsys.als_settings import AlsSettings
from recsys.evaluation.als_loss import loss
from recsys.evaluation.numpy_als import item_factors
from recsys.fold_in import FoldIn
from recsys.topk import Float32s, Float64s, Int64s
from spark.factors import Factors
from spark.session import spark_session
from spark.settings import JobSettings, Solver
from spark.train import SOLVERS

ALS = AlsSettings(rank=8, regularisation=1.0, alpha=40.0, iterations=4, seed=3, blocks=3)
CUSTOMERS, PRODUCTS = 150, 60


@dataclass(frozen=True, slots=True)
class Shop:
    """Pairs of customer and product in the order of their ids; and the same as a table of Spark."""

    customers: Int64s
    rows: Int64s
    quantity: Float64s
    interactions: DataFrame

    def loss(self, factors: tuple[Float32s, Float32s]) -> float:
        return loss(self.customers, self.rows, self.quantity, factors, ALS)

    def solved(self, items: Float32s) -> Float32s:
        """The customers' exact factors against these of the products."""
        ratings = batches(self.customers, self.rows, ALS.alpha * np.log1p(self.quantity), ALS.rank)
        return np.asarray(FixedFactors(items).solve(ratings, CUSTOMERS, ALS.regularisation), np.float32)

    def trained(self, solver: Solver, blocks: int = ALS.blocks) -> tuple[Float32s, Float32s]:
        made: Factors = SOLVERS[solver](self.interactions, ALS.model_copy(update={"blocks": blocks}))
        return matrix(made.users.toArrow(), CUSTOMERS), matrix(made.products.toArrow(), PRODUCTS)


def matrix(table: pa.Table, rows: int) -> Float32s:
    table = table.sort_by(table.column_names[0])
    assert table[0].to_pylist() == [f"id-{number:03}" for number in range(rows)]
    return np.asarray(pc.list_flatten(table["factors"]).to_numpy().reshape(rows, ALS.rank), np.float32)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    rng = np.random.default_rng(5)
    taste = rng.random((CUSTOMERS, 4)) ** 3 @ rng.random((4, PRODUCTS)) ** 3
    quantity = rng.poisson(2 * taste) + (np.arange(CUSTOMERS)[:, np.newaxis] % PRODUCTS == np.arange(PRODUCTS))
    quantity[0, 1:40] = 1  # more products than the rank: solved by the factors
    customers, rows = np.nonzero(quantity)
    pieces = quantity[customers, rows]
    shuffled = rng.permutation(len(rows))  # Spark gives rows in any order
    ids = [[f"id-{number:03}" for number in side[shuffled].tolist()] for side in (customers, rows)]
    table = pa.table({"user_id": ids[0], "product_id": ids[1], "pieces": pieces[shuffled]})
    settings = JobSettings(
        spark_master="local[2]",
        spark_driver_memory="1g",
        spark_dir=tmp_path_factory.mktemp("als"),
        spark_shuffle_partitions=2,
    )
    with spark_session(settings) as spark:
        yield Shop(customers, rows, pieces.astype(np.float64), spark.createDataFrame(table).persist())


@pytest.fixture(scope="module")
def by_blocks(shop: Shop) -> tuple[Float32s, Float32s]:
    return shop.trained("blocks")


def test_blocks_reach_the_loss_of_exact_solutions_from_the_same_start(
    shop: Shop, by_blocks: tuple[Float32s, Float32s]
) -> None:
    items = item_factors(shop.customers, shop.rows, shop.quantity, ALS)
    assert shop.loss(by_blocks) == pytest.approx(shop.loss((shop.solved(items), items)), rel=2e-3)


def test_on_the_driver_both_sides_are_exact(shop: Shop) -> None:
    users, items = shop.trained("driver")
    assert items == pytest.approx(item_factors(shop.customers, shop.rows, shop.quantity, ALS), abs=1e-5)
    assert users == pytest.approx(shop.solved(items), abs=1e-5)


def test_mllib_solves_the_same_equations_and_reaches_no_lower_loss(
    shop: Shop, by_blocks: tuple[Float32s, Float32s]
) -> None:
    users, items = shop.trained("mllib")
    assert users == pytest.approx(shop.solved(items), abs=1e-4)
    assert shop.loss(by_blocks) < shop.loss((users, items)) * 1.02, "the starts differ"


def test_the_number_of_blocks_changes_nothing_but_rounding(shop: Shop, by_blocks: tuple[Float32s, Float32s]) -> None:
    for one, other in zip(by_blocks, shop.trained("blocks", blocks=7), strict=True):
        assert one == pytest.approx(other, abs=1e-3)


def test_a_customer_s_factors_are_what_folding_in_gives(shop: Shop, by_blocks: tuple[Float32s, Float32s]) -> None:
    users, items = by_blocks
    fold_in = FoldIn(items, ALS.alpha, ALS.regularisation)
    for customer in range(CUSTOMERS):
        mine = shop.customers == customer
        vector = fold_in.vector(shop.rows[mine], shop.quantity[mine])
        assert users[customer] == pytest.approx(vector, abs=1e-5)
