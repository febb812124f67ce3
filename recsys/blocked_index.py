"""Exact top-k by inner product with less work: most rows are ruled out by a bound, a block at a time. NumPy only.

Rows lie in blocks in descending order of the length of their vectors. By Cauchy and Schwarz no inner product of a
block exceeds |query| · |longest vector of the block|. With a bound of what is added to it, blocks that cannot reach the
k-th best score found so far are never multiplied. (Teflioudi, Gemulla, Mykytiuk, "LEMP: Fast Retrieval of Large Entries
in a Matrix Product", 2015, puts vectors into buckets by length in the same way.)
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from recsys.topk import Allowed, Float32s, Float64s, Ranked, Rows, best, least, length, lengths, products, rounding

BLOCK = 128  # rows
_FIRST = 4  # blocks that are multiplied before there is anything to compare bounds with
_SOME = 32  # of the rows beyond their block's bound that are multiplied before the others
_FEW = 16  # where at most one row in so many is allowed, bounds cost more than they save
_ROUNDED_UP = 1 + 2.0**-20


@dataclass(frozen=True, slots=True)
class Added:
    """What is added to the inner products: `of` some rows [n], finite.

    `bounds` [blocks]: no row of the block gets more, except the rows `beyond` (distinct, in any order).
    """

    of: Callable[[Rows], Float64s]
    bounds: Float64s
    beyond: Rows


class BlockedIndex:
    """Vectors [rows, rank], float32. Answers equal those of `InnerProductIndex` bit for bit."""

    def __init__(self, vectors: Float32s) -> None:
        long = lengths(vectors)
        rows = np.argsort(-long, kind="stable")
        places = np.empty_like(rows)
        places[rows] = np.arange(len(rows))
        ordered = np.ascontiguousarray(vectors[rows], dtype=np.float32)
        self._blocks = _Blocks(ordered, rows, places, long[rows] * _ROUNDED_UP, float(long.max(initial=0.0)))

    def __len__(self) -> int:
        return len(self._blocks.rows)

    def vectors_of(self, rows: Rows) -> Float32s:
        """The vectors of some rows [n, rank]."""
        return self._blocks.of(rows)

    def scores(self, query: Float32s, rows: Rows) -> Float64s:
        """The inner products [n] of some rows, as `top_k` decides by them."""
        return products(self._blocks.of(rows), query)

    def bounds(self, values: Float64s) -> Float64s:
        """The largest of some values [rows] in each block [blocks], rounded up."""
        if not len(values):
            return values
        largest: Float64s = np.maximum.reduceat(values[self._blocks.rows], np.arange(0, len(values), BLOCK))
        return largest + (_ROUNDED_UP - 1) * np.abs(largest)

    def top_k(self, query: Float32s, k: int, allowed: Allowed, added: Added) -> Ranked:
        """The k best of the allowed rows (fewer where there are fewer): score descending, then row ascending.

        `query` [rank]; `allowed` [rows] or longer, what lies beyond the rows is not looked at.
        """
        allowed, search = allowed[: len(self)], _Search(self._blocks, query, k, added)
        if np.count_nonzero(allowed) * _FEW <= len(self):
            search.screen(np.flatnonzero(allowed))
        else:
            search.screen_by_bounds(allowed)
        rows = search.contenders()
        return best(rows, self.scores(query, rows), k, added.of(rows))


class _Blocks(NamedTuple):
    """Everything in the order of the blocks, except `places`."""

    vectors: Float32s  # [rows, rank]
    rows: Rows  # [rows], of each place
    places: Rows  # [rows], of each row
    lengths: Float64s  # [rows], rounded up
    longest: float

    def of(self, rows: Rows) -> Float32s:
        vectors: Float32s = self.vectors.take(self.places.take(rows), axis=0)
        return vectors


class _Search:
    """One query: the rows that were multiplied so far and may be among the best k, with their float32 products."""

    def __init__(self, blocks: _Blocks, query: Float32s, k: int, added: Added) -> None:
        self._blocks, self._query, self._k, self._added = blocks, query, k, added
        self._length = length(query)
        self._rounding = rounding(len(query), self._length, blocks.longest)
        self._rows: Rows = np.empty(0, np.int64)
        self._screened = np.empty(0)
        self._least = -np.inf  # what one of the best k has at least

    def screen_by_bounds(self, allowed: Allowed) -> None:
        """Multiply the allowed rows that may be among the best k."""
        beyond, others = self._added.beyond, allowed.copy()
        others[beyond] = False
        self._screen_beyond(beyond[allowed[beyond]])
        bounds = self._length * self._blocks.lengths[::BLOCK] + self._added.bounds
        first = self._screen_blocks(0, bounds[:_FIRST], others)
        self._screen_blocks(first, bounds[first:], others)

    def screen(self, rows: Rows) -> None:
        """Multiply these rows."""
        self._take(rows, self._products(self._blocks.places[rows]), self._added.of(rows))

    def contenders(self) -> Rows:
        """The rows that may be among the best k, ascending."""
        return np.sort(self._rows)

    def _screen_beyond(self, rows: Rows) -> None:
        """Multiply those that may be among the best k; first some with high bounds, to compare the others with."""
        added, places = self._added.of(rows), self._blocks.places.take(rows)
        bounds = self._length * self._blocks.lengths.take(places) + added
        some = np.empty(0, np.int64)
        if len(rows) > 4 * _SOME:
            some = bounds.argpartition(-_SOME)[-_SOME:]
            self._take(rows[some], self._products(places[some]), added[some])
        reaches = bounds >= self._least
        reaches[some] = False
        (near,) = reaches.nonzero()
        self._take(rows[near], self._products(places[near]), added[near])

    def _screen_blocks(self, start: int, bounds: Float64s, allowed: Allowed) -> int:
        """Multiply the blocks from `start` to the last whose bound may be among the best k; gives the block after it.

        Those before it nearly always may as well.
        """
        (near,) = (bounds >= self._least).nonzero()
        if not len(near):
            return start
        end = start + int(near[-1]) + 1
        span = slice(start * BLOCK, end * BLOCK)
        rows = self._blocks.rows[span]
        (passing,) = allowed.take(rows).nonzero()
        rows = rows[passing]
        self._take(rows, (self._blocks.vectors[span] @ self._query)[passing], self._added.of(rows))
        return end

    def _products(self, places: Rows) -> Float32s:
        inner: Float32s = self._blocks.vectors.take(places, axis=0) @ self._query
        return inner

    def _take(self, rows: Rows, inner: Float32s, added: Float64s) -> None:
        """Keep those of the rows, and of the rows before, that may be among the best k."""
        rows, screened = np.concatenate((self._rows, rows)), np.concatenate((self._screened, inner + added))
        self._least = max(self._least, self._least_of(screened))
        (kept,) = (screened >= self._least).nonzero()
        self._rows, self._screened = rows[kept], screened[kept]

    def _least_of(self, scores: Float64s) -> float:
        return least(scores, self._k, self._rounding)
