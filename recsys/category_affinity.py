"""Category affinity: a back-off for products with few buyers of their own. NumPy only."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from recsys.topk import Float64s

MAX_CATEGORIES = 2_000
"""So many categories, those with most buyers, have an affinity; the others count as unknown. The matrix is square."""


@dataclass(frozen=True, slots=True)
class Categories:
    """`of[product]` is a product's category, −1 where unknown.

    `affinity[a, b]`: share of the buyers of `a` who bought in `b` (on the diagonal: a second product of `a`).
    `numbers`: the category of each code, for products that are new to the model.
    """

    of: NDArray[np.int32]  # [products]
    affinity: Float64s  # [categories, categories]
    numbers: Mapping[str, int] = field(default_factory=dict)

    def padded(self, products: int) -> "Categories":
        """The same with rows for new products, `products` in all."""
        of = np.pad(self.of, (0, products - len(self.of)), constant_values=-1)
        return Categories(of, self.affinity, self.numbers)

    def assign(self, product: int, code: str | None) -> None:
        """Give a new product its category; unknown where the model has no affinity for it."""
        self.of[product] = self.numbers.get(code or "", -1)

    def user_affinity(self, purchased: NDArray[np.int64], weights: Float64s) -> Float64s:
        """By category, the sum of weight · affinity over the purchases [categories]; 0 without a category."""
        own = self.of[purchased]
        known = np.flatnonzero(own >= 0)
        sums: Float64s = (self.affinity[own[known]] * weights[known, np.newaxis]).sum(axis=0)
        return sums

    def shares(self, popularity: Float64s) -> Float64s:
        """Each product's share [products] in the popularity of its category; 0 without one."""
        known = np.flatnonzero(self.of >= 0)
        totals = np.bincount(self.of[known], popularity[known], minlength=len(self.affinity))
        totals[totals == 0] = 1.0
        shares = np.zeros(len(self.of))
        shares[known] = popularity[known] / totals[self.of[known]]
        return shares


def no_categories(products: int) -> Categories:
    """A shop whose products have no category."""
    return Categories(np.full(products, -1, np.int32), np.zeros((0, 0)))
