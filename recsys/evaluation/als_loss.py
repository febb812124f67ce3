"""The loss that implicit ALS minimises, to compare solvers by what they reach."""

import numpy as np

from recsys.als_half_step import Floats
from recsys.als_settings import AlsSettings
from recsys.topk import Float64s, Int64s


def loss(
    customers: Int64s, rows: Int64s, quantity: Float64s, factors: tuple[Floats, Floats], als: AlsSettings
) -> float:
    """Σ c(p − x·y)² over all pairs of a customer and a product, and λ·n·|x|² and λ·n·|y|² of each.

    The pairs with a quantity are given; all others have p = 0 and c = 1. `factors`: customers' and products'.
    """
    x, y = (side.astype(np.float64) for side in factors)
    scores = np.einsum("nk,nk->n", x[customers], y[rows])
    confidence = 1 + als.alpha * np.log1p(quantity)
    squares = np.sum((x.T @ x) * (y.T @ y))  # Σ (x·y)² over all pairs
    error = squares + np.sum(confidence * (1 - scores) ** 2 - scores**2)
    counted = ((x, np.bincount(customers, minlength=len(x))), (y, np.bincount(rows, minlength=len(y))))
    penalty = sum(float(np.sum(counts * np.sum(side**2, axis=1))) for side, counts in counted)
    return float(error) + als.regularisation * penalty
