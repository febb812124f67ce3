"""A half-step of implicit ALS, exact, in NumPy: one side's factors against the fixed factors of the other.

Hu, Koren, Volinsky (2008) with the regularisation multiplied by the number of ratings, as `recsys.fold_in` states it.
With Y the fixed factors, YᵀY = QEQᵀ and Z = YQ, an entity with the n rows Zₙ and confidences c solves, on the axes Q,

    (E + λnI + ZₙᵀDZₙ) x = Zₙᵀc,    D = diag(c − 1),

and for n ≤ rank the same as a system of n, by the push-through identity (Henderson and Searle, "On Deriving the Inverse
of a Sum of Matrices", 1981): x = SᵀW with S = Zₙ(E + λnI)⁻¹ and (I + D·S Zₙᵀ) W = c. E + λnI is diagonal, so that no
entity needs a matrix of its own. Results have the precision of the fixed factors: float32 or float64.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.topk import Int64s, Rows

Floats = NDArray[np.floating[Any]]
_CELLS = 2**19
"""Numbers of the largest temporary array: 2 MB of float32 stay in a processor's cache."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Entities [b] with the same number of ratings n: the others they rated [b, n], and confidence − 1 [b, n]."""

    entities: Rows
    others: Rows
    extra: Floats


def batches(entities: Rows, others: Rows, extra: Floats, rank: int) -> Iterator[Batch]:
    """Ratings [ratings] as batches, each entity in one of them."""
    order = np.argsort(entities, kind="stable")
    distinct, first, counts = np.unique(entities[order], return_index=True, return_counts=True)
    return _of_equal_length(_Runs(distinct, first, counts), others[order], extra[order], rank)


def pieces(entities: Rows, others: Rows, extra: Floats, rank: int) -> Iterator[Batch]:
    """As `batches`, for sums: the ratings of one entity may be spread over batches, so that none is large."""
    longest = -(-_CELLS // rank)
    order = np.argsort(entities, kind="stable")
    distinct, first, counts = np.unique(entities[order], return_index=True, return_counts=True)
    parts = -(-counts // longest)
    owner = np.repeat(np.arange(len(counts)), parts)
    skipped = longest * (np.arange(len(owner)) - np.repeat(np.cumsum(parts) - parts, parts))
    cut = _Runs(distinct[owner], first[owner] + skipped, np.minimum(counts[owner] - skipped, longest))
    return _of_equal_length(cut, others[order], extra[order], rank)


class _Runs(NamedTuple):
    """Entities, and where the ratings of each are: the place of the first, and their number."""

    entities: Rows
    first: Int64s
    counts: Int64s


def _of_equal_length(runs: _Runs, others: Rows, extra: Floats, rank: int) -> Iterator[Batch]:
    for n in np.unique(runs.counts).tolist():
        same = np.flatnonzero(runs.counts == n)
        for some in np.array_split(same, min(len(same), -(-len(same) * n * rank // _CELLS))):
            places = runs.first[some][:, np.newaxis] + np.arange(n)
            yield Batch(runs.entities[some], others[places], extra[places])


Each = Callable[[Callable[[Batch], None], Iterable[Batch]], Iterable[None]]
"""Calls a function with each batch; what it gives has to be read to its end."""


class FixedFactors:
    """Factors [rows, rank] of the fixed side. What solving needs of them is computed once, where it is needed."""

    def __init__(self, factors: Floats) -> None:
        self.factors = factors

    def solve(self, ratings: Iterable[Batch], entities: int, regularisation: float, each: Each = map) -> Floats:
        """The factors [entities, rank] of the other side; zeros for entities without ratings.

        `each`: `map`, or that of a pool of threads; NumPy lets several of them work at once. The result is the same.
        """
        solved = np.zeros((entities, self.factors.shape[1]), self.factors.dtype)
        rotated = self._rotated  # before the threads need it

        def put(batch: Batch) -> None:
            solved[batch.entities] = self._solve_batch(batch, rotated, regularisation)

        for _ in each(put, ratings):
            pass
        return np.asarray(solved @ self._axes.T)

    def _solve_batch(self, batch: Batch, rotated: Floats, regularisation: float) -> Floats:
        n, rated = batch.others.shape[1], rotated[batch.others]
        base = (self._eigenvalues + regularisation * n).astype(rated.dtype)
        solve = _by_ratings if n <= rated.shape[2] else _by_factors
        return solve(base, rated, batch.extra.astype(rated.dtype, copy=False))

    @cached_property
    def _gramian_axes(self) -> tuple[Floats, Floats]:
        return axes_of(self.factors.T @ self.factors)

    @property
    def _eigenvalues(self) -> Floats:
        return self._gramian_axes[0]

    @property
    def _axes(self) -> Floats:
        return self._gramian_axes[1]

    @cached_property
    def _rotated(self) -> Floats:
        return np.asarray(self.factors @ self._axes)


def axes_of(gramian: Floats) -> tuple[Floats, Floats]:
    """The eigenvalues [rank], none below 0, and the eigenvectors [rank, rank] of a Gramian, in its precision."""
    eigenvalues, axes = np.linalg.eigh(gramian.astype(np.float64))
    return np.maximum(eigenvalues, 0.0).astype(gramian.dtype), axes.astype(gramian.dtype)


def _by_ratings(base: Floats, rated: Floats, extra: Floats) -> Floats:
    spread = rated / base  # [b, n, rank]
    system = extra[:, :, np.newaxis] * (spread @ rated.transpose(0, 2, 1))
    each = np.arange(extra.shape[1])
    system[:, each, each] += 1
    weights = np.linalg.solve(system, (1 + extra)[:, :, np.newaxis])
    return np.asarray((weights.transpose(0, 2, 1) @ spread)[:, 0])


def _by_factors(base: Floats, rated: Floats, extra: Floats) -> Floats:
    systems = np.diag(base) + rated.transpose(0, 2, 1) @ (extra[:, :, np.newaxis] * rated)
    targets = (1 + extra)[:, np.newaxis] @ rated
    return np.asarray(np.linalg.solve(systems, targets.transpose(0, 2, 1))[:, :, 0])
