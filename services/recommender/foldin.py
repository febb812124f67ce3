"""A customer's vector from purchases alone, and what each purchase contributes to a score. NumPy only.

With item factors Y [items, rank], C the confidences and p the preferences (1 where bought), a customer's vector is

    x = (YᵀY + Yᵀ(C − I)Y + λI)⁻¹ Yᵀ C p,    c = 1 + α·r,

equation (4) of Hu, Koren, Volinsky, "Collaborative Filtering for Implicit Feedback Datasets" (2008). Spark MLlib's
ALS solves the same system with λ = regParam · (number of the customer's purchases), as Zhou et al. do in "Large-Scale
Parallel Collaborative Filtering for the Netflix Prize" (2008, ALS-WR). Its last half-step computes the users from the
final item factors: folding in a trained customer's purchases gives the exported vector again, up to float32.
"""

import numpy as np

from services.recommender.scoring import Float32s, Float64s, Rows


class FoldIn:
    """The linear system of one model's item factors. Rows given to it are distinct."""

    def __init__(self, item_factors: Float32s, alpha: float, regularisation: float) -> None:
        """`item_factors` [items, rank]; `alpha` ≥ 0 and `regularisation` > 0 as in training (above 0: solvable)."""
        factors = item_factors.astype(np.float64)
        self._factors = item_factors
        self._gramian = factors.T @ factors
        self._alpha = alpha
        self._regularisation = regularisation

    def vector(self, rows: Rows, pieces: Float64s) -> Float32s:
        """The vector [rank] of a customer who bought `pieces` > 0 [n] of the products `rows` [n], n ≥ 1."""
        bought = self._bought(rows)
        target = self._confidence(pieces) @ bought
        return np.linalg.solve(self._system(bought, pieces), target).astype(np.float32)

    def contributions(self, rows: Rows, pieces: Float64s, towards: Rows) -> Float64s:
        """What each purchase adds to the score of each product of `towards`: [towards, purchases].

        cᵢ · yⱼᵀ A⁻¹ yᵢ with A the matrix above: section 5 of Hu, Koren, Volinsky (2008), as implicit's `explain`
        computes it. A row of the answer sums to that product's score.
        """
        bought = self._bought(rows)
        solved = np.linalg.solve(self._system(bought, pieces), self._bought(towards).T)
        return (bought @ solved).T * self._confidence(pieces)

    def _bought(self, rows: Rows) -> Float64s:
        return self._factors[rows].astype(np.float64)

    def _system(self, bought: Float64s, pieces: Float64s) -> Float64s:
        penalty = self._regularisation * len(bought) * np.eye(len(self._gramian))
        beyond_one = (self._confidence(pieces) - 1)[:, np.newaxis]
        return self._gramian + bought.T @ (beyond_one * bought) + penalty

    def _confidence(self, pieces: Float64s) -> Float64s:
        return 1 + self._alpha * np.log1p(pieces)  # the training's rating is log1p of the net pieces
