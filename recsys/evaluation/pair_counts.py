"""Pairs of products that groups (customers, orders) have in common, counted in NumPy within bounded memory."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.co_purchases import CoPurchases
from recsys.topk import Int64s

_PAIRS = 2**23
"""Pairs of products that are counted in one batch: 64 MiB."""


class Groups(NamedTuple):
    """The distinct products of each group: `owners` [n], ascending, and `rows` [n], those to count first."""

    owners: NDArray[np.int64]
    rows: NDArray[np.int64]


def most_in_common(groups: Groups, products: int, most: int, kept: int) -> CoPurchases:
    """For each product the `kept` ones with most groups in common, from the first `most` products of each group.

    Of equal counts the lower rows.
    """
    pairs, counts = counted(_pairs(groups, most, products))
    first, second = np.divmod(pairs, products)
    order = np.lexsort((second, -counts, first))
    starts = np.searchsorted(first, np.arange(products + 1))
    order = order[np.arange(len(order)) - starts[first] < kept]
    return CoPurchases(
        starts=np.concatenate(([0], np.cumsum(np.bincount(first[order], minlength=products)))),
        rows=second[order].astype(np.int32),
        counts=counts[order].astype(np.int32),
        buyers=np.bincount(groups.rows, minlength=products),
    )


def renumbered(pairs: CoPurchases, row_of: Int64s) -> CoPurchases:
    """The same pairs of products whose number n becomes `row_of[n]`."""
    lengths = np.diff(pairs.starts)
    owners = np.repeat(row_of, lengths)
    order = np.argsort(owners, kind="stable")
    buyers = np.empty_like(pairs.buyers)
    buyers[row_of] = pairs.buyers
    return CoPurchases(
        starts=np.concatenate(([0], np.cumsum(np.bincount(owners, minlength=len(row_of))))),
        rows=row_of[pairs.rows[order]].astype(np.int32),
        counts=pairs.counts[order],
        buyers=buyers,
    )


def _pairs(groups: Groups, most: int, products: int) -> Iterator[Int64s]:
    """first · products + second of every ordered pair in a group's products; groups of equal size together."""
    _, first, sizes = np.unique(groups.owners, return_index=True, return_counts=True)
    sizes = np.minimum(sizes, most)
    for size in np.unique(sizes[sizes > 1]).tolist():
        one, other = np.nonzero(~np.eye(size, dtype=np.bool_))
        starts, at_once = first[sizes == size], max(1, _PAIRS // len(one))
        for some in range(0, len(starts), at_once):
            rows = groups.rows[starts[some : some + at_once, np.newaxis] + np.arange(size)]
            yield (rows[:, one] * products + rows[:, other]).ravel()


def counted(parts: Iterable[Int64s], at_once: int = _PAIRS) -> tuple[Int64s, Int64s]:
    """The distinct values of all parts, ascending, and how often each occurs.

    Memory: about `at_once` values at a time, and the distinct ones.
    """
    values, counts = np.empty(0, np.int64), np.empty(0, np.int64)
    for batch in _batches(parts, at_once):
        new, times = np.unique(batch, return_counts=True)
        values, places = np.unique(np.concatenate((values, new)), return_inverse=True)
        counts = np.bincount(places, np.concatenate((counts, times)), len(values)).astype(np.int64)
    return values, counts


def _batches(parts: Iterable[Int64s], at_once: int) -> Iterator[Int64s]:
    """The same values in arrays of at least `at_once`, except the last."""
    waiting, size = list[Int64s](), 0
    for part in parts:
        waiting.append(part)
        size += len(part)
        if size >= at_once:
            yield np.concatenate(waiting)
            waiting, size = [], 0
    if waiting:
        yield np.concatenate(waiting)
