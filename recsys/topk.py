"""Exact top-k by inner product, on NumPy arrays alone: no I/O, no ids, no protobuf.

Rows stand for products, in ascending order of their ids, so that "the lower row" is "the smaller id".
"""

from collections.abc import Iterator
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
_SMALLEST = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True, slots=True)
class Ranked:
    """Rows and their scores [n], best first."""

    rows: Rows
    scores: Float64s

    def pairs(self) -> Iterator[tuple[int, float]]:
        """Each row with its score."""
        return zip(self.rows.tolist(), self.scores.tolist(), strict=True)


class InnerProductIndex:
    """Vectors [rows, rank], float32, searched exhaustively.

    Two steps. The screen multiplies in float32 by BLAS, whose rounding depends on the processor and on where a row
    stands in the matrix; it keeps every row that could belong to the best k under the worst rounding. The final scores
    those few rows in float64, each on its own. So the answer does not depend on the screen, and equal vectors have
    equal scores everywhere.
    """

    def __init__(self, vectors: Float32s) -> None:
        self._vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        self._longest = float(lengths(self._vectors).max(initial=0.0))

    def __len__(self) -> int:
        return len(self._vectors)

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
        rows = np.flatnonzero(allowed[: len(self)])
        screened: Float32s | Float64s = (self._vectors @ query)[rows]
        if added is not None:
            screened = screened + added[rows]
        rows = rows[screened >= least(screened, k, rounding(len(query), length(query), self._longest))]
        return best(rows, products(self._vectors[rows], query), k, None if added is None else added[rows])


def rounding(rank: int, query: float, longest: float) -> float:
    """How far below the k-th screened score a row of the true best k may lie, by float32 inner products alone.

    The error of one float32 inner product in any order of summation is at most γₙ·|x|·|y| with γₙ ≈ n·u (Higham,
    Accuracy and Stability of Numerical Algorithms, 2002, section 3.1), here rounded up; both rows may be off by it.
    `query` and `longest`: the lengths of the query and of the longest vector.
    """
    return 2 * ((rank + 8) * _ROUNDING * query * longest + rank * _SMALLEST)


def least(screened: Float32s | Float64s, k: int, rounding: float) -> float:
    """What a row of the true best k has at least, by the screened scores of some rows [n]; −∞ where n < k."""
    if len(screened) < k:
        return -np.inf
    kth = float(np.partition(screened, -k)[-k])
    return kth - rounding - 2 * _ADDITION * float(np.abs(screened).max())


def products(vectors: Float32s, query: Float32s) -> Float64s:
    """The inner products [n] by which a search decides, of vectors [n, rank]."""
    # A product of two float32 is exact in float64, and summing row by row (no BLAS) rounds each row alike.
    inner: Float64s = np.multiply(vectors, query, dtype=np.float64).sum(axis=1)
    return inner


def best(rows: Rows, inner: Float64s, k: int, added: Float64s | None) -> Ranked:
    """The k best of some rows [n] in ascending order, by their inner products and what is added to them."""
    scores = inner if added is None else inner + added
    order = np.argsort(-scores, kind="stable")[:k]
    return Ranked(rows[order], scores[order])


def largest(scores: Float64s, n: int) -> Int64s:
    """The places of the n largest scores, ascending; of equal ones the first.

    Not by `argpartition`: which of equal scores it takes depends on the processor.
    """
    if n >= len(scores):
        return np.arange(len(scores))
    kth = np.partition(scores, -n)[-n]
    above = np.flatnonzero(scores > kth)
    equal = np.flatnonzero(scores == kth)[: n - len(above)]
    return np.sort(np.concatenate((above, equal)))


def largest_above_zero(scores: Float64s, n: int) -> Int64s:
    """The same, without scores of 0 or less."""
    places = largest(scores, n)
    return places[scores[places] > 0]


def unit_vectors(vectors: Float32s) -> Float32s:
    """Each row scaled to length 1, so that an inner product is the cosine; a zero row stays zero."""
    divisors = lengths(vectors)
    divisors[divisors == 0] = 1
    return (vectors / divisors[:, np.newaxis]).astype(np.float32)


def lengths(vectors: Float32s) -> Float64s:
    """The length of each row [rows]."""
    squares: Float64s = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)
    return np.sqrt(squares)


def length(vector: Float32s) -> float:
    """The length of one vector [rank]."""
    exact = vector.astype(np.float64)
    return float(np.sqrt(exact @ exact))
