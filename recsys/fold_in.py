"""Fold-in: a customer's vector from purchases alone. NumPy only.

With item factors Y [items, rank], C the confidences and p the preferences (1 where bought), a customer's vector is

    x = (YᵀY + Yᵀ(C − I)Y + λI)⁻¹ Yᵀ C p,    c = 1 + α·r,

equation (4) of Hu, Koren, Volinsky, "Collaborative Filtering for Implicit Feedback Datasets" (2008). Training
(`recsys/als_half_step.py`, or Spark MLlib) solves the same system with λ = regularisation · (number of the customer's
purchases), as Zhou et al. do in "Large-Scale Parallel Collaborative Filtering for the Netflix Prize" (2008, ALS-WR). It
solves the users last, from the final item factors: folding in a trained customer's purchases gives the exported vector
again, up to float32.

A customer of few products costs a system of their number n instead of one of the rank: with A the matrix above, Y now
the n bought rows, and B = YᵀY + λI, which the Gramian's eigenvectors Q and eigenvalues E give as Q(E + λI)Qᵀ for any λ,

    A⁻¹Yᵀ = B⁻¹Yᵀ(I + (C − I)·Y B⁻¹ Yᵀ)⁻¹,

the push-through identity (Henderson and Searle, "On Deriving the Inverse of a Sum of Matrices", 1981).
"""

import numpy as np

from recsys.topk import Float32s, Float64s, Rows


class FoldIn:
    """The linear system of one model's item factors. Rows given to it are distinct."""

    def __init__(self, item_factors: Float32s, alpha: float, regularisation: float) -> None:
        """`item_factors` [items, rank]; `alpha` ≥ 0 and `regularisation` > 0 as in training (above 0: solvable)."""
        factors = item_factors.astype(np.float64)
        self._factors = item_factors
        self._gramian = factors.T @ factors
        eigenvalues, self._axes = np.linalg.eigh(self._gramian)
        self._eigenvalues = np.maximum(eigenvalues, 0.0)  # rounding may leave a zero a little below
        self._alpha = alpha
        self._regularisation = regularisation

    def vector(self, rows: Rows, quantities: Float64s) -> Float32s:
        """The vector [rank] of a customer who bought `quantities` > 0 [n] of the products `rows` [n], n ≥ 1."""
        bought, confidence = self._bought(rows), self._confidence(quantities)
        if self._few(rows):
            return (self._directions(bought, confidence) @ confidence).astype(np.float32)
        return np.linalg.solve(self._system(bought, confidence), confidence @ bought).astype(np.float32)

    def _few(self, rows: Rows) -> bool:
        return 2 * len(rows) < len(self._gramian)  # beyond that the system of the rank is the cheaper one

    def _bought(self, rows: Rows) -> Float64s:
        return self._factors[rows].astype(np.float64)

    def _directions(self, bought: Float64s, confidence: Float64s) -> Float64s:
        """A⁻¹Yᵀ [rank, n] by a system of n."""
        rotated = bought @ self._axes
        spread = rotated / (self._eigenvalues + self._regularisation * len(bought))
        inner = np.eye(len(bought)) + (confidence - 1)[:, np.newaxis] * (spread @ rotated.T)
        return self._axes @ np.linalg.solve(inner.T, spread).T

    def _system(self, bought: Float64s, confidence: Float64s) -> Float64s:
        penalty = self._regularisation * len(bought) * np.eye(len(self._gramian))
        return self._gramian + bought.T @ ((confidence - 1)[:, np.newaxis] * bought) + penalty

    def _confidence(self, quantities: Float64s) -> Float64s:
        return 1 + self._alpha * np.log1p(quantities)  # the training's rating is log1p of the net quantity
