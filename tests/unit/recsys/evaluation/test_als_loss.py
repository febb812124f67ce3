"""The loss from pairs alone, against the loss written out over every customer and product."""

import numpy as np
import pytest

from recsys.als_settings import AlsSettings
from recsys.evaluation.als_loss import loss

ALS = AlsSettings(rank=3, regularisation=0.3, alpha=20.0, iterations=1, seed=1, blocks=1)


def test_pairs_give_the_loss_of_the_whole_matrix() -> None:
    rng = np.random.default_rng(2)
    quantity = rng.integers(0, 3, size=(5, 4))
    x, y = rng.normal(size=(5, 3)), rng.normal(size=(4, 3))
    bought = quantity > 0
    error = np.sum((1 + 20.0 * np.log1p(quantity)) * (bought - x @ y.T) ** 2)
    penalty = np.sum(bought.sum(1) * np.sum(x**2, 1)) + np.sum(bought.sum(0) * np.sum(y**2, 1))
    customers, rows = np.nonzero(quantity)
    found = loss(customers, rows, quantity[customers, rows].astype(np.float64), (x, y), ALS)
    assert found == pytest.approx(error + 0.3 * penalty)
