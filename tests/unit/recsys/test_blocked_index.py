"""The search by bounds gives the answers of the exhaustive one, bit for bit."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.blocked_index import BLOCK, Added, BlockedIndex
from recsys.topk import Allowed, Float32s, Float64s, InnerProductIndex, Ranked, Rows


@dataclass(slots=True)
class Shop:
    """Vectors of very different lengths, shared terms, and a few products with a term of their own."""

    vectors: Float32s
    query: Float32s
    shared: Float64s
    own: Float64s
    allowed: Allowed
    asked: int = 0  # rows whose term was asked for

    def added(self, index: BlockedIndex) -> Added:
        def of(rows: Rows) -> Float64s:
            self.asked += len(rows)
            return self.shared[rows] + self.own[rows]

        return Added(of, index.bounds(self.shared), np.flatnonzero(self.own))

    def exhaustive(self, k: int) -> Ranked:
        return InnerProductIndex(self.vectors).top_k(self.query, k, self.allowed, self.shared + self.own)

    def by_bounds(self, k: int) -> Ranked:
        index = BlockedIndex(self.vectors)
        return index.top_k(self.query, k, self.allowed, self.added(index))


def shop(seed: int, rows: int, rank: int = 16, *, spread: float = 2.0, allowed: float = 0.8) -> Shop:
    """`spread` of the logarithms of the lengths; 0: all alike, and no bound excludes anything."""
    rng = np.random.default_rng(seed)
    scales = np.exp(rng.normal(scale=spread, size=(rows, 1)))
    own = np.zeros(rows)
    beyond = rng.integers(rows, size=rows // 10)
    own[beyond] = rng.normal(scale=2.0, size=len(beyond))
    return Shop(
        (rng.normal(size=(rows, rank)) * scales).astype(np.float32),
        rng.normal(size=rank).astype(np.float32),
        rng.normal(size=rows),
        own,
        rng.random(rows) < allowed,
    )


def same(one: Ranked, other: Ranked) -> bool:
    return one.rows.tolist() == other.rows.tolist() and one.scores.tobytes() == other.scores.tobytes()


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.sampled_from([1, 2, BLOCK - 1, BLOCK, 5 * BLOCK, 5 * BLOCK + 1, 2_000]),
    k=st.sampled_from([1, 3, 100]),
    spread=st.sampled_from([0.0, 0.5, 3.0]),
    allowed=st.sampled_from([0.0, 0.01, 0.5, 1.0]),
    rounded=st.booleans(),
)
def test_the_answer_is_that_of_the_exhaustive_search(
    seed: int, rows: int, k: int, spread: float, allowed: float, rounded: bool
) -> None:
    some = shop(seed, rows, rank=5, spread=spread, allowed=allowed)
    if rounded:  # many equal vectors, terms and scores
        some.vectors, some.query = np.round(some.vectors), np.round(some.query)
        some.shared, some.own = np.round(some.shared), np.round(some.own)
    assert same(some.by_bounds(k), some.exhaustive(k))


def test_more_products_are_asked_for_than_are_multiplied_first() -> None:
    some = shop(0, 2_000, spread=0.0, allowed=1.0)
    ranked = some.by_bounds(100)
    assert len(set(ranked.rows.tolist())) == 100
    assert same(ranked, some.exhaustive(100))


@pytest.mark.parametrize("query", [0.0, 1e-30, 1e6])
def test_queries_of_any_length(query: float) -> None:
    some = shop(3, 3_000)
    some.query *= np.float32(query)
    assert same(some.by_bounds(5), some.exhaustive(5))


def test_equal_vectors_tie_in_whatever_block_they_are() -> None:
    some = shop(5, 4_000, rank=64)
    copies = [0, 700, 1_999, 2_000, 3_999]
    some.vectors[copies] = 3 * np.abs(some.vectors).max() * some.query
    some.shared[copies] = some.own[copies] = 0
    some.allowed[copies] = True
    ranked = some.by_bounds(5)
    assert ranked.rows.tolist() == copies
    assert len(set(ranked.scores.tolist())) == 1


def test_the_last_block_is_searched_where_something_added_makes_up_for_short_vectors() -> None:
    some = shop(6, 4_000)
    shortest = int(np.square(some.vectors).sum(axis=1).argmin())
    some.allowed[shortest] = True
    some.shared[shortest] = 1e6
    assert some.by_bounds(1).rows.tolist() == [shortest]


def test_few_rows_are_looked_at_where_lengths_differ() -> None:
    some = shop(7, 20_000, spread=2.0)
    some.by_bounds(3)
    assert some.asked < 6_000  # a tenth of the rows have a term of their own


def test_vectors_and_scores_of_rows() -> None:
    some = shop(8, 1_000)
    index, rows = BlockedIndex(some.vectors), np.array([999, 0, 500])
    assert index.vectors_of(rows).tolist() == some.vectors[rows].tolist()
    exact = (some.vectors[rows].astype(np.float64) * some.query).sum(axis=1)
    assert index.scores(some.query, rows).tolist() == exact.tolist()


def test_an_index_without_rows_answers_nothing() -> None:
    assert shop(9, 0).by_bounds(3).rows.tolist() == []
