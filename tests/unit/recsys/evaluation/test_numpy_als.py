"""The NumPy ALS against the textbook's dense one, and against folding in."""

import numpy as np
import pytest

from recsys.als_settings import AlsSettings
from recsys.evaluation.numpy_als import _batches, _half_step, item_factors
from recsys.fold_in import FoldIn
from tests.support.models import half_step


def settings(rank: int, iterations: int = 12) -> AlsSettings:
    return AlsSettings(rank=rank, regularisation=0.3, alpha=20.0, iterations=iterations, seed=3, blocks=1)


@pytest.mark.parametrize("rank", [2, 5, 40])
def test_a_half_step_solves_the_textbook_s_equations(rank: int) -> None:
    rng = np.random.default_rng(1)
    quantity = rng.integers(0, 4, size=(30, 12)) * (rng.random((30, 12)) < 0.5)
    fixed = rng.normal(size=(12, rank))
    users, items = np.nonzero(quantity)
    ratings = np.log1p(quantity.astype(np.float64))
    als = settings(rank)
    solved = _half_step([*_batches(users, items, ratings[users, items], rank)], fixed, 30, als)
    assert solved == pytest.approx(half_step(ratings, fixed, als.alpha, als.regularisation), abs=1e-9)


def test_a_checkerboard_is_learnt() -> None:
    pairs = [(u, p) for u in range(20) for p in range(10) if u % 2 == p % 2 and p != u % 10]
    users, rows = (np.array(column) for column in zip(*pairs, strict=True))
    factors = item_factors(users, rows, np.ones(len(rows)), settings(rank=4))
    fold_in = FoldIn(factors, alpha=20.0, regularisation=0.3)
    for number in range(10):
        held = np.array([p for p in range(10) if p % 2 == number % 2 and p != number])
        scores = factors @ fold_in.vector(held, np.ones(len(held)))
        scores[held] = -np.inf
        assert scores.argmax() == number
