"""Implicit ALS by blocks of customers: NumPy in Spark's Python tasks. Customers stay, arrays [products, rank] travel.

A block holds the ratings of some customers. An iteration is three passes over the blocks: each solves its customers
exactly, and adds up what the products' systems need of them; then two steps of conjugate gradients solve the products
(`recsys/als_items.py`). The driver holds the products' factors and sends them by broadcast. The customers' factors
follow from these and the block, so that Spark computes a lost block again from its lineage, which is two steps long.
See docs/adr/0108-als-by-blocks-of-customers.md.
"""

import operator
import pickle
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
from pyspark import RDD, Broadcast, SparkContext, StorageLevel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from recsys.als_half_step import Batch, FixedFactors, Floats, batches, pieces
from recsys.als_items import ItemSystem, conjugate_gradients, product, target_less_product
from recsys.als_settings import AlsSettings
from recsys.topk import Float32s
from spark.factors import Factors
from spark.numbering import numbered_in_memory

STEPS = 2
"""Of conjugate gradients an iteration: the loss is that of exact products to six digits (docs/performance.md)."""
_ROWS = 100_000
"""Customers in an Arrow batch of the result."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Block:
    """The ratings of some customers, by customer and by product. `customers`: their ids, ascending."""

    customers: "pa.Array[Any]"
    by_customer: list[Batch]
    by_product: list[Batch]


class _Solved(NamedTuple):
    block: Block
    factors: Floats


class _Sums(NamedTuple):
    """What the products' systems need of some customers: their Gramian, and `target_less_product`."""

    gramian: Floats
    residual: Floats

    def __add__(self, other: "_Sums") -> "_Sums":  # type: ignore[override]
        return _Sums(self.gramian + other.gramian, self.residual + other.residual)


def factorise(interactions: DataFrame, als: AlsSettings) -> Factors:
    """Factors of every customer and product of `interactions` (user_id, product_id, pieces)."""
    counts = interactions.groupBy("product_id").agg(F.count(F.lit(1)).alias("ratings"))
    products = counts.orderBy("product_id").toArrow()
    ids: pa.Array[Any] = products["product_id"].combine_chunks()
    blocks = _blocks(interactions, ids, als)
    penalty = (als.regularisation * products["ratings"].to_numpy()[:, np.newaxis]).astype(np.float32)
    items = _iterated(blocks, penalty, als)
    return Factors(_users(blocks, items, als), _products(interactions.sparkSession, ids, items))


def _blocks(interactions: DataFrame, product_ids: "pa.Array[Any]", als: AlsSettings) -> DataFrame:
    """One row a block, `block`: the pickled Block. Persisted."""
    numbers = pa.table({"product_id": product_ids, "number": pa.array(range(len(product_ids)), pa.int32())})
    ratings = interactions.join(F.broadcast(interactions.sparkSession.createDataFrame(numbers)), "product_id")
    by_customer = ratings.select("user_id", "number", "pieces").repartition(als.blocks, "user_id")
    return by_customer.mapInArrow(partial(_packed, als), "block binary").persist(StorageLevel.MEMORY_AND_DISK)


def _packed(als: AlsSettings, rows: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    parts = [*rows]
    if sum(len(part) for part in parts):
        block = block_of(pa.Table.from_batches(parts), als)
        yield pa.RecordBatch.from_pydict({"block": pa.array([pickle.dumps(block, 5)], pa.binary())})


def block_of(ratings: pa.Table, als: AlsSettings) -> Block:
    """The block of these customers: user_id, number (of the product), pieces. The order of the rows does not matter."""
    customers, customer = numbered_in_memory(ratings["user_id"])
    number = ratings["number"].to_numpy()
    order = np.lexsort((number, customer))
    extra = (als.alpha * np.log1p(ratings["pieces"].to_numpy())).astype(np.float32)
    customer, number, extra = customer[order].astype(np.int32), number[order].astype(np.int32), extra[order]
    return Block(
        customers,
        [*batches(customer, number, extra, als.rank)],
        [*pieces(number, customer, extra, als.rank)],
    )


def _iterated(blocks: DataFrame, penalty: Floats, als: AlsSettings) -> Floats:
    """The products' factors [products, rank] after all iterations."""
    unpacked: RDD[Block] = blocks.rdd.map(_unpacked)
    items = first_items(len(penalty), als)
    for _ in range(als.iterations):
        items = _iteration(unpacked, items, penalty, als.regularisation)
    return items


def first_items(products: int, als: AlsSettings) -> Float32s:
    """Where the products start [products, rank]: random, with rows of a length near 1."""
    return np.random.default_rng(als.seed).normal(scale=als.rank**-0.5, size=(products, als.rank)).astype(np.float32)


def _unpacked(row: Any) -> Block:
    block: Block = pickle.loads(row.block)
    return block


def _iteration(blocks: RDD[Block], items: Floats, penalty: Floats, regularisation: float) -> Floats:
    with ExitStack() as held:
        fixed = held.enter_context(_sent(blocks.context, FixedFactors(items)))
        solved = held.enter_context(_kept(blocks.map(partial(_solve, fixed, regularisation))))
        sums = solved.map(partial(_sums, fixed)).treeReduce(operator.add)
        system = ItemSystem(sums.gramian, penalty)

        def times(directions: Floats) -> Floats:
            with _sent(blocks.context, directions) as sent:
                return system.times(directions) + solved.map(partial(_product, sent)).treeReduce(operator.add)

        return conjugate_gradients(items, sums.residual - system.times(items), times, system.preconditioner(), STEPS)


def _solve(fixed: Broadcast[FixedFactors], regularisation: float, block: Block) -> _Solved:
    return _Solved(block, fixed.value.solve(block.by_customer, len(block.customers), regularisation))


def _sums(fixed: Broadcast[FixedFactors], solved: _Solved) -> _Sums:
    factors = solved.factors
    return _Sums(factors.T @ factors, target_less_product(solved.block.by_product, factors, fixed.value.factors))


def _product(directions: Broadcast[Floats], solved: _Solved) -> Floats:
    return product(solved.block.by_product, solved.factors, directions.value)


@contextmanager
def _sent(context: SparkContext, value: T) -> Iterator[Broadcast[T]]:
    """A value on every executor."""
    sent = context.broadcast(value)
    try:
        yield sent
    finally:
        sent.destroy()


@contextmanager
def _kept(rdd: RDD[T]) -> Iterator[RDD[T]]:
    """An RDD that each executor keeps its part of."""
    rdd.persist(StorageLevel.MEMORY_AND_DISK)
    try:
        yield rdd
    finally:
        rdd.unpersist()


def _users(blocks: DataFrame, items: Floats, als: AlsSettings) -> DataFrame:
    """user_id, factors: solved against the products' final factors, as folding in does."""
    fixed = blocks.sparkSession.sparkContext.broadcast(FixedFactors(items))  # lives as long as the table is read
    return blocks.mapInArrow(partial(_user_rows, fixed, als.regularisation), "user_id string, factors array<float>")


def _user_rows(
    fixed: Broadcast[FixedFactors], regularisation: float, rows: Iterable[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    packed: Iterable[Any] = (value for part in rows for value in part.column("block").to_pylist())
    for one in packed:
        block, factors = _solve(fixed, regularisation, pickle.loads(one))
        for start in range(0, len(factors), _ROWS):
            ids = block.customers.slice(start, _ROWS)
            yield pa.RecordBatch.from_pydict({"user_id": ids, "factors": factor_lists(factors[start : start + _ROWS])})


def _products(spark: SparkSession, product_ids: "pa.Array[Any]", items: Floats) -> DataFrame:
    return spark.createDataFrame(pa.table({"product_id": product_ids, "factors": factor_lists(items)}))


def factor_lists(factors: Floats) -> "pa.Array[Any]":
    """Rows [rows, rank] as Arrow lists."""
    rows, rank = factors.shape
    offsets = pa.array((np.arange(rows + 1) * rank).astype(np.int32))
    return pa.ListArray.from_arrays(offsets, pa.array(factors.ravel()))
