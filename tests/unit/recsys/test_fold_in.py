"""Folding in, against numbers worked out by hand and against a textbook ALS."""

import numpy as np
import pytest

from recsys.fold_in import FoldIn
from tests.support.models import als

PURCHASES = np.array(
    [
        [2, 1, 0, 0, 0],
        [1, 3, 0, 0, 1],
        [0, 0, 4, 1, 0],
        [0, 0, 1, 2, 0],
        [1, 0, 0, 0, 5],
    ]
)


def test_a_vector_worked_out_by_hand() -> None:
    # One factor, items 1 and 2; bought e − 1 pieces of item 1, so r = ln(e) = 1 and c = 1 + 3·1 = 4.
    # x = (1·1 + 2·2 + (4 − 1)·1·1 + 0.5·1)⁻¹ · 4·1 = 4 / 8.5
    fold_in = FoldIn(np.array([[1], [2]], dtype=np.float32), alpha=3.0, regularisation=0.5)
    vector = fold_in.vector(np.array([0]), np.array([np.e - 1]))
    assert vector.tolist() == pytest.approx([4 / 8.5])


def test_the_penalty_grows_with_the_number_of_purchases() -> None:
    # As MLlib weighs it. Two products: (1 + 4 + 3·1 + 3·4 + 0.5·2)⁻¹ · (4·1 + 4·2) = 12 / 21
    fold_in = FoldIn(np.array([[1], [2]], dtype=np.float32), alpha=3.0, regularisation=0.5)
    vector = fold_in.vector(np.array([0, 1]), np.array([np.e - 1, np.e - 1]))
    assert vector.tolist() == pytest.approx([12 / 21])


@pytest.mark.parametrize(("alpha", "regularisation"), [(1.0, 0.1), (40.0, 0.01), (40.0, 30.0)])
def test_folding_in_a_trained_customer_gives_the_exported_vector(alpha: float, regularisation: float) -> None:
    users, items = als(np.log1p(PURCHASES), rank=3, alpha=alpha, regularisation=regularisation, seed=1)
    fold_in = FoldIn(items.astype(np.float32), alpha, regularisation)
    for exported, bought in zip(users, PURCHASES, strict=True):
        rows = np.flatnonzero(bought)
        folded = fold_in.vector(rows, bought[rows].astype(np.float64))
        assert folded == pytest.approx(exported, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("purchases", [1, 4, 9, 10, 11, 30])
def test_few_and_many_purchases_solve_the_same_system(purchases: int) -> None:
    chance = np.random.default_rng(purchases)
    factors = chance.normal(size=(40, 10)).astype(np.float32)
    rows, pieces = chance.choice(40, purchases, replace=False), chance.integers(1, 9, purchases).astype(np.float64)
    y, confidence = factors.astype(np.float64), 1 + 3.0 * np.log1p(pieces)
    system = y.T @ y + y[rows].T @ ((confidence - 1)[:, np.newaxis] * y[rows]) + 0.5 * purchases * np.eye(10)
    fold_in = FoldIn(factors, alpha=3.0, regularisation=0.5)
    assert fold_in.vector(rows, pieces) == pytest.approx(np.linalg.solve(system, y[rows].T @ confidence), rel=1e-4)
