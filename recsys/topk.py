"""Exact top-k by inner product, on NumPy arrays alone: no I/O, no ids, no protobuf.

Rows stand for products, in ascending order of their ids, so that "the lower row" is "the smaller id".
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Float32s = NDArray[np.float32]
Float64s = NDArray[np.float64]
Int64s = NDArray[np.int64]
Rows = NDArray[np.integer[Any]]
Allowed = NDArray[np.bool_]

_ROUNDING = 2.0**-24  # unit roundoff of float32
_ADDITION = 2.0**-50  # of a sum in float64, with room to spare
_BATCH = 64


@dataclass(frozen=True, slots=True)
class Ranked:
    """Rows and their scores [n], best first."""

    rows: Rows
    scores: Float64s


class InnerProductIndex:
    """Vectors [rows, rank], float32, searched exhaustively.

    Two steps. The screen multiplies in float32 by BLAS, whose rounding depends on the processor, on the number of
    queries and on where a row stands in the matrix; it keeps every row that could belong to the best k under the
    worst rounding. The final scores those few rows in float64, each on its own. So the answer does not depend on the
    screen: a batch equals its single queries bit for bit, and equal vectors have equal scores everywhere.
    """

    def __init__(self, vectors: Float32s) -> None:
        self._vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        self._longest = float(np.sqrt(_squared_lengths(self._vectors).max(initial=0.0)))

    def __len__(self) -> int:
        return len(self._vectors)

    @property
    def rank(self) -> int:
        """Length of each vector."""
        return int(self._vectors.shape[1])

    @property
    def vectors(self) -> Float32s:
        """All vectors [rows, rank]; not to be written to."""
        return self._vectors

    def vector(self, row: int) -> Float32s:
        """One row's vector [rank]."""
        vector: Float32s = self._vectors[row]
        return vector

    def top_k(self, query: Float32s, k: int, allowed: Allowed, added: Float64s | None = None) -> Ranked:
        """The k best of the allowed rows (fewer where there are fewer): score descending, then row ascending.

        `query` [rank]; `allowed` [rows] or longer, what lies beyond the rows is not looked at. `added` [rows] is a part
        of the scores that is added to the inner product.
        """
        return next(self.top_k_each(query[np.newaxis], k, [allowed], None if added is None else [added]))

    def top_k_each(
        self, queries: Float32s, k: int, allowed: Sequence[Allowed], added: Sequence[Float64s] | None = None
    ) -> Iterator[Ranked]:
        """`top_k` of each query [queries, rank] under its own mask, with its own addition."""
        for start in range(0, len(queries), _BATCH):
            chunk = queries[start : start + _BATCH]
            for place, screened in enumerate(self._screened(chunk), start):
                addition = None if added is None else added[place]
                yield self._best(queries[place], screened, k, allowed[place][: len(self)], addition)

    def _screened(self, queries: Float32s) -> Float32s:
        """Inner products [queries, rows] as BLAS rounds them; of queries with few dimensions by those alone."""
        used = np.flatnonzero(queries.any(axis=0))
        if len(used) * 8 > self.rank:
            return queries @ self._vectors.T
        return queries[:, used] @ self._vectors[:, used].T

    def _best(
        self, query: Float32s, screened: Float32s | Float64s, k: int, allowed: Allowed, added: Float64s | None
    ) -> Ranked:
        slack = self._slack(query)
        if added is not None:
            screened = screened + added
            slack += 2 * _ADDITION * float(np.abs(screened).max(initial=0.0))
        return self._final(query, _contenders(screened, allowed, k, slack), k, added)

    def _final(self, query: Float32s, rows: Rows, k: int, added: Float64s | None) -> Ranked:
        scores = self.scores(query, rows)
        if added is not None:
            scores += added[rows]
        best = np.argsort(-scores, kind="stable")[:k]
        return Ranked(rows[best], scores[best])

    def scores(self, query: Float32s, rows: Rows) -> Float64s:
        """The inner products [n] of some rows, as `top_k` decides by them."""
        # A product of two float32 is exact in float64, and summing row by row (no BLAS) rounds each row alike.
        products: Float64s = np.multiply(self._vectors[rows], query, dtype=np.float64).sum(axis=1)
        return products

    def _slack(self, query: Float32s) -> float:
        """How far below the k-th screened score a row of the true best k may lie.

        The error of one float32 inner product in any order of summation is at most γₙ·|x|·|y| with γₙ ≈ n·u (Higham,
        Accuracy and Stability of Numerical Algorithms, 2002, section 3.1), here rounded up; both rows may be off by it.
        """
        length = float(np.sqrt(np.square(query, dtype=np.float64).sum()))
        smallest = float(np.finfo(np.float32).tiny)
        return 2 * ((self.rank + 8) * _ROUNDING * length * self._longest + self.rank * smallest)


def _contenders(scores: Float32s | Float64s, allowed: Allowed, k: int, slack: float) -> Rows:
    """Allowed rows that may be among the best k, ascending."""
    rows = np.flatnonzero(allowed)
    if k >= len(rows):
        return rows
    candidates = scores[rows]
    kth = np.partition(candidates, -k)[-k]
    return rows[candidates >= scores.dtype.type(kth - slack)]


def unit_vectors(vectors: Float32s) -> Float32s:
    """Each row scaled to length 1, so that an inner product is the cosine; a zero row stays zero."""
    lengths = np.sqrt(_squared_lengths(vectors))
    lengths[lengths == 0] = 1
    return (vectors / lengths[:, np.newaxis]).astype(np.float32)


def _squared_lengths(vectors: Float32s) -> Float64s:
    squares: Float64s = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)
    return squares
