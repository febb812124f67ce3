"""Implicit ALS in NumPy on one core: the equations that MLlib solves, for evaluations that fit many models.

Hu, Koren, Volinsky (2008) with the regularisation multiplied by the number of ratings, as `recsys.fold_in`
states them. A customer of n ≤ rank products costs a system of n × n instead of rank × rank:

    (B + YᵀDY)⁻¹ Yᵀc = B⁻¹ Yᵀ (I + D·Y B⁻¹ Yᵀ)⁻¹ c,    B = gramian + λnI, D = diag(c − 1),

the push-through identity (Henderson and Searle, "On Deriving the Inverse of a Sum of Matrices", 1981).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from recsys.als_settings import AlsSettings
from recsys.topk import Float32s, Float64s, Int64s

_CELLS = 2**21  # of the largest temporary array


@dataclass(frozen=True, slots=True)
class _Batch:
    """Entities [b] with the same number of ratings n: the others they rated [b, n], and how [b, n]."""

    entities: Int64s
    others: Int64s
    ratings: Float64s


def item_factors(customers: Int64s, rows: Int64s, quantity: Float64s, als: AlsSettings) -> Float32s:
    """Factors [rows, rank] of products 0 … max(rows) from distinct pairs of customer and product, quantity > 0."""
    ratings = np.log1p(quantity)
    users = [*_batches(customers, rows, ratings, als.rank)]
    items = [*_batches(rows, customers, ratings, als.rank)]
    y = np.random.default_rng(als.seed).normal(scale=als.rank**-0.5, size=(int(rows.max()) + 1, als.rank))
    for _ in tqdm(range(als.iterations), desc=f"ALS rank {als.rank}", unit=" iterations"):
        x = _half_step(users, y, int(customers.max()) + 1, als)
        y = _half_step(items, x, len(y), als)
    return y.astype(np.float32)


def _batches(entities: Int64s, others: Int64s, ratings: Float64s, rank: int) -> Iterator[_Batch]:
    order = np.argsort(entities, kind="stable")
    distinct, first, counts = np.unique(entities[order], return_index=True, return_counts=True)
    for n in np.unique(counts).tolist():
        same = np.flatnonzero(counts == n)
        for some in np.array_split(same, -(-len(same) * n * rank // _CELLS)):
            places = order[first[some][:, np.newaxis] + np.arange(n)]
            yield _Batch(distinct[some], others[places], ratings[places])


def _half_step(batches: Iterable[_Batch], fixed: Float64s, entities: int, als: AlsSettings) -> Float64s:
    """The factors [entities, rank] of one side against those of the other; zeros for entities without ratings."""
    gramian, identity = fixed.T @ fixed, np.eye(als.rank)
    solved = np.zeros((entities, als.rank))
    for batch in batches:
        n = batch.others.shape[1]
        base = gramian + als.regularisation * n * identity
        solve = _by_ratings if n <= als.rank else _by_factors
        solved[batch.entities] = solve(base, fixed[batch.others], als.alpha * batch.ratings)
    return solved


def _by_ratings(base: Float64s, rated: Float64s, extra: Float64s) -> Float64s:
    spread = rated @ np.linalg.inv(base)  # [b, n, rank]
    system = extra[:, :, np.newaxis] * (spread @ rated.transpose(0, 2, 1)) + np.eye(extra.shape[1])
    weights = np.linalg.solve(system, 1 + extra[:, :, np.newaxis])
    return np.asarray((weights.transpose(0, 2, 1) @ spread)[:, 0], np.float64)


def _by_factors(base: Float64s, rated: Float64s, extra: Float64s) -> Float64s:
    systems = base + rated.transpose(0, 2, 1) @ (extra[:, :, np.newaxis] * rated)
    targets = (1 + extra)[:, np.newaxis] @ rated
    return np.asarray(np.linalg.solve(systems, targets.transpose(0, 2, 1))[:, :, 0], np.float64)
