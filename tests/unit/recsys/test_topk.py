"""Exhaustive top-k and cosines on arrays whose answers are known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.topk import Allowed, Float32s, InnerProductIndex, largest, largest_above_zero, unit_vectors


def everything(rows: int) -> Allowed:
    return np.ones(rows, dtype=np.bool_)


def normal(rows: int, rank: int, seed: int = 0) -> Float32s:
    return np.random.default_rng(seed).normal(size=(rows, rank)).astype(np.float32)


def by_hand(vectors: Float32s, query: Float32s, k: int, allowed: Allowed) -> list[int]:
    """The definition: exact inner products, score descending, row ascending."""
    exact = [sum(int(a * 64) * int(b * 64) for a, b in zip(row, query, strict=True)) for row in vectors]
    return sorted((row for row in range(len(vectors)) if allowed[row]), key=lambda row: (-exact[row], row))[:k]


def test_the_best_by_inner_product_come_first() -> None:
    index = InnerProductIndex(np.array([[1, 0], [0, 1], [2, 0], [1, 1]], dtype=np.float32))
    ranked = index.top_k(np.array([1, 0.25], dtype=np.float32), 3, everything(4))
    assert ranked.rows.tolist() == [2, 3, 0]
    assert ranked.scores.tolist() == [2.0, 1.25, 1.0]


def test_of_equal_scores_the_smaller_row_comes_first_even_at_the_edge_of_k() -> None:
    index = InnerProductIndex(np.array([[1], [3], [2], [2], [2], [2]], dtype=np.float32))
    assert index.top_k(np.array([1], dtype=np.float32), 3, everything(6)).rows.tolist() == [1, 2, 3]


@pytest.mark.parametrize("rank", [1, 7, 64, 129, 200])
def test_equal_vectors_tie_wherever_they_stand_in_the_matrix(rank: int) -> None:
    # BLAS works in blocks and treats the last rows apart: in float32 such copies may differ in the last bit.
    vectors = normal(1003, rank)
    copies = [0, 5, 17, 500, 999, 1002]
    vectors[copies] = 5 + np.abs(vectors[0])
    ranked = InnerProductIndex(vectors).top_k(np.abs(normal(1, rank, seed=9)[0]), 6, everything(1003))
    assert ranked.rows.tolist() == copies
    assert len(set(ranked.scores.tolist())) == 1


def test_an_addition_counts_as_much_as_the_inner_product() -> None:
    index, query = InnerProductIndex(normal(700, 16)), normal(1, 16, seed=4)[0]
    added = np.random.default_rng(5).normal(scale=3.0, size=700)
    exact = (index.vectors.astype(np.float64) * query).sum(axis=1) + added
    ranked = index.top_k(query, 8, everything(700), added)
    assert ranked.rows.tolist() == np.argsort(-exact, kind="stable")[:8].tolist()
    assert ranked.scores == pytest.approx(exact[ranked.rows], rel=1e-12)


def test_scores_are_the_same_whatever_else_survives_the_screen() -> None:
    vectors, query = normal(500, 64), normal(1, 64, seed=3)[0]
    index = InnerProductIndex(vectors)
    full = index.top_k(query, 500, everything(500))
    for k in (1, 2, 3, 10, 499):
        assert index.top_k(query, k, everything(500)).scores.tobytes() == full.scores[:k].tobytes()


# Multiples of 1/64: inner products are exact in integers, and ties are frequent.
_grid = st.integers(-200, 200).map(lambda number: number / 64)


@settings(max_examples=200, deadline=None)
@given(
    data=st.data(),
    rank=st.integers(1, 9),
    rows=st.integers(1, 40),
    k=st.integers(1, 45),
)
def test_top_k_is_its_definition(data: st.DataObject, rank: int, rows: int, k: int) -> None:
    numbers = data.draw(st.lists(_grid, min_size=(rows + 1) * rank, max_size=(rows + 1) * rank))
    allowed = np.array(data.draw(st.lists(st.booleans(), min_size=rows, max_size=rows)))
    vectors = np.array(numbers, dtype=np.float32).reshape(rows + 1, rank)
    ranked = InnerProductIndex(vectors[:-1]).top_k(vectors[-1], k, allowed)
    assert ranked.rows.tolist() == by_hand(vectors[:-1], vectors[-1], k, allowed)


def test_the_screen_loses_nothing_when_scores_differ_by_less_than_its_rounding() -> None:
    # Large components cancel, so the last places of a float32 sum are noise, while the exact scores are close.
    units = np.tile(np.array([10_000 * 1024, -10_000 * 1024]), 32) + np.random.default_rng(5).integers(
        -4, 5, size=(4000, 64)
    )
    vectors, query = (units / 1024).astype(np.float32), np.ones(64, dtype=np.float32)
    assert (vectors * np.float64(1024) == units).all(), "each component is exact"
    exact = units.sum(axis=1)
    best = np.argsort(-exact, kind="stable")[:10]
    ranked = InnerProductIndex(vectors).top_k(query, 10, everything(4000))
    assert ranked.rows.tolist() == best.tolist()
    assert ranked.scores.tolist() == (exact[best] / 1024).tolist()


def test_masked_rows_never_appear_even_if_fewer_than_k_remain() -> None:
    index = InnerProductIndex(normal(10, 4))
    mask = np.zeros(10, dtype=np.bool_)
    mask[[3, 8]] = True
    assert sorted(index.top_k(normal(1, 4)[0], 5, mask).rows.tolist()) == [3, 8]
    mask[:] = False
    assert index.top_k(normal(1, 4)[0], 5, mask).rows.tolist() == []


def test_an_index_without_rows_answers_nothing() -> None:
    index = InnerProductIndex(np.zeros((0, 4), dtype=np.float32))
    assert index.top_k(np.ones(4, dtype=np.float32), 3, everything(7)).rows.tolist() == []


def test_unit_vectors_have_length_one_and_zero_stays_zero() -> None:
    units = unit_vectors(np.array([[3, 4], [0, 0], [0, -2]], dtype=np.float32))
    assert units == pytest.approx(np.array([[0.6, 0.8], [0, 0], [0, -1]]))


@given(st.lists(st.integers(-2, 3), max_size=30), st.integers(1, 35))
def test_the_largest_are_those_of_a_sort_and_of_equal_ones_the_first(scores: list[int], n: int) -> None:
    merit = np.array(scores, np.float64)
    expected = sorted(sorted(range(len(scores)), key=lambda place: (-scores[place], place))[:n])
    assert largest(merit, n).tolist() == expected
    assert largest_above_zero(merit, n).tolist() == [place for place in expected if scores[place] > 0]
