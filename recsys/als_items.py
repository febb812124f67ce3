"""The products' half-step of implicit ALS where customers are spread over machines: conjugate gradients by sums.

A product solves A x = b with A = G + λnI + Σ (c − 1)uuᵀ and b = Σ c·u over the factors u of its n customers; G = UᵀU is
the Gramian of all customers. Each machine adds up the terms of its own customers, and only arrays [products, rank]
travel. All products take their steps at once, each with a length of its own, from the factors of the iteration before.
The preconditioner is (G + λnI)⁻¹, which costs one eigendecomposition for all products. Conjugate gradients: Hestenes
and Stiefel, "Methods of Conjugate Gradients for Solving Linear Systems" (1952); in implicit ALS: Takács, Pilászy, Tikk,
"Applications of the Conjugate Gradient Method for Implicit Feedback Collaborative Filtering" (2011).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from recsys.als_half_step import Batch, Floats, axes_of

Linear = Callable[[Floats], Floats]


@dataclass(frozen=True, slots=True)
class ItemSystem:
    """What all products' systems share: the customers' Gramian [rank, rank], and λn of each product [products, 1]."""

    gramian: Floats
    penalty: Floats

    def times(self, vectors: Floats) -> Floats:
        """(G + λnI)v for each product: [products, rank]."""
        return np.asarray(vectors @ self.gramian + self.penalty * vectors)

    def preconditioner(self) -> Linear:
        """v → (G + λnI)⁻¹v for each product."""
        eigenvalues, axes = axes_of(self.gramian)
        spread = eigenvalues + self.penalty
        return lambda vectors: np.asarray(((vectors @ axes) / spread) @ axes.T)


def target_less_product(ratings: Iterable[Batch], customers: Floats, items: Floats) -> Floats:
    """Σ c·u − Σ (c − 1)uuᵀx over these customers, for each product x of `items` [products, rank]."""
    total = np.zeros_like(items)
    for batch in ratings:
        bought_by = customers[batch.others]
        weights = 1 + batch.extra - batch.extra * _inner_products(bought_by, items[batch.entities])
        total[batch.entities] += _combined(weights, bought_by)
    return total


def product(ratings: Iterable[Batch], customers: Floats, directions: Floats) -> Floats:
    """Σ (c − 1)uuᵀp over these customers, for each product's direction p of `directions` [products, rank]."""
    total = np.zeros_like(directions)
    for batch in ratings:
        bought_by = customers[batch.others]
        weights = batch.extra * _inner_products(bought_by, directions[batch.entities])
        total[batch.entities] += _combined(weights, bought_by)
    return total


def _inner_products(vectors: Floats, with_one: Floats) -> Floats:
    """[b, n] of vectors [b, n, rank] with one vector an entity [b, rank]."""
    return np.asarray((vectors @ with_one[:, :, np.newaxis])[:, :, 0])


def _combined(weights: Floats, vectors: Floats) -> Floats:
    return np.asarray((weights[:, np.newaxis] @ vectors)[:, 0])


def conjugate_gradients(
    start: Floats,
    residual: Floats,
    times: Linear,
    precondition: Linear,
    steps: int,
) -> Floats:
    """`start` [products, rank] after this many steps towards A x = b of each product.

    `residual`: b − A·start. `times` computes A·direction for all products: where customers are spread, one pass over
    them. The last step needs no new residual, so that `steps` passes are made.
    """
    solution, direction = start, precondition(residual)
    size = _dot(residual, direction)
    for step in range(1, steps + 1):
        moved = times(direction)
        length = _ratio(size, _dot(direction, moved))
        solution = solution + length * direction
        if step < steps:
            residual = residual - length * moved
            conditioned = precondition(residual)
            before, size = size, _dot(residual, conditioned)
            direction = conditioned + _ratio(size, before) * direction
    return solution


def _dot(left: Floats, right: Floats) -> Floats:
    return np.asarray(np.einsum("ik,ik->i", left, right)[:, np.newaxis])


def _ratio(above: Floats, below: Floats) -> Floats:
    """0 where the denominator is 0: such a product is solved already."""
    return np.asarray(np.divide(above, below, out=np.zeros_like(above), where=below > 0))
