"""Pairs of products that groups (customers, orders) have in common, counted in NumPy within bounded memory.

Products are taken a batch at a time: all pairs of a batch's products come together, are sorted and counted once, and
only the neighbours that are kept stay in memory.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.co_purchases import CoPurchases
from recsys.topk import Int64s

_PAIRS = 2**21
"""Pairs of products that are counted in one batch: 16 MiB an array."""


class Groups(NamedTuple):
    """The distinct products of each group: `owners` [n], ascending, and `rows` [n], those to count first."""

    owners: NDArray[np.int64]
    rows: NDArray[np.int64]


class _Members(NamedTuple):
    """Products of groups that are paired: `rows` [n] group by group; the place of its group's first, and its size."""

    rows: Int64s
    first: Int64s  # [n]
    sizes: Int64s  # [n]


class _Counts(NamedTuple):
    """How many groups have both products of a pair, in the order of the first product."""

    first: Int64s
    second: Int64s
    counts: Int64s


def most_in_common(groups: Groups, products: int, most: int, kept: int, at_once: int = _PAIRS) -> CoPurchases:
    """For each product the `kept` ones with most groups in common, from the first `most` products of each group.

    Of equal counts the lower rows. Memory: `at_once` pairs, or those of one product if they are more; and what is kept.
    """
    members = _members(groups, most)
    found = [_best(_counted(members, some, products), kept) for some in _batches(members, at_once)]
    none = np.empty(0, np.int64)
    first, second, counts = (np.concatenate([none, *(batch[part] for batch in found)]) for part in range(3))
    return CoPurchases(
        starts=np.concatenate(([0], np.cumsum(np.bincount(first, minlength=products)))),
        rows=second.astype(np.int32),
        counts=counts.astype(np.int32),
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


def _members(groups: Groups, most: int) -> _Members:
    """The first `most` products of each group that has two or more."""
    _, first, sizes = np.unique(groups.owners, return_index=True, return_counts=True)
    sizes = np.minimum(sizes, most)
    first, sizes = first[sizes > 1], sizes[sizes > 1]
    starts = np.cumsum(sizes) - sizes
    return _Members(groups.rows[_ranges(first, sizes)], np.repeat(starts, sizes), np.repeat(sizes, sizes))


def _batches(members: _Members, at_once: int) -> Iterator[Int64s]:
    """Places of members, by product: all those of some products with `at_once` pairs at most, or of one product."""
    order = np.argsort(members.rows, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(members.rows[order])) + 1, len(order))  # of each product's places
    pairs, done = np.cumsum(members.sizes[order]), 0
    while done < len(order):
        before = pairs[done - 1] if done else 0
        fit = int(np.searchsorted(pairs, before + at_once, side="right"))
        last = int(np.searchsorted(ends, fit, side="right")) - 1
        end = int(ends[last]) if last >= 0 and ends[last] > done else int(ends[np.searchsorted(ends, done, "right")])
        yield order[done:end]
        done = end


def _counted(members: _Members, places: Int64s, products: int) -> _Counts:
    """The distinct pairs of the products at these places with the others of their groups, by first and second."""
    sizes = members.sizes[places]
    first, second = np.repeat(members.rows[places], sizes), members.rows[_ranges(members.first[places], sizes)]
    pairs, counts = np.unique((first * products + second)[first != second], return_counts=True)
    return _Counts(*np.divmod(pairs, products), counts)


def _best(counted: _Counts, kept: int) -> _Counts:
    """Of each first product the `kept` pairs with the highest counts, best first; of equal counts the lower second."""
    first, highest = counted.first, int(counted.counts.max(initial=0))
    # One stable sort: the pairs of a product are in the order of the second one already.
    order = np.argsort(first * (highest + 1) + (highest - counted.counts), kind="stable")
    sizes = np.diff(np.append(np.flatnonzero(np.diff(first, prepend=-1)), len(first)))
    order = order[_ranges(np.zeros(len(sizes), np.int64), sizes) < kept]
    return _Counts(counted.first[order], counted.second[order], counted.counts[order])


def _ranges(starts: Int64s, lengths: Int64s) -> Int64s:
    """start, start + 1, … for each start, as many as its length."""
    skipped = np.repeat(starts - (np.cumsum(lengths) - lengths), lengths)
    return skipped + np.arange(len(skipped))
