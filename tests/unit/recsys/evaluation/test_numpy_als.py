"""What the NumPy ALS learns."""

import numpy as np

from recsys.als_settings import AlsSettings
from recsys.evaluation.numpy_als import item_factors
from recsys.fold_in import FoldIn


def settings(rank: int, iterations: int = 12) -> AlsSettings:
    return AlsSettings(rank=rank, regularisation=0.3, alpha=20.0, iterations=iterations, seed=3, blocks=1)


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
