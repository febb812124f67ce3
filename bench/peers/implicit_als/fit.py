"""The peer of `python -m bench.training`: the same pairs, factorised by the library implicit, in its own environment.

`python -m bench.peers.implicit_als.fit FOLDER RANK REGULARISATION ALPHA ITERATIONS SEED` reads pairs.npz in the folder
and writes customers.npy and products.npy. It prints `start` before the work and `end` after it.
"""

import sys
from pathlib import Path

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from scipy.sparse import csr_matrix


def main() -> None:
    """Fit; implicit adds the regularisation once, where we multiply it by the number of ratings."""
    folder = Path(sys.argv[1])
    pairs = np.load(folder / "pairs.npz")
    confidence = (1 + float(sys.argv[4]) * np.log1p(pairs["quantity"])).astype(np.float32)
    matrix = csr_matrix((confidence, (pairs["customers"], pairs["rows"])))
    model = AlternatingLeastSquares(
        factors=int(sys.argv[2]),
        regularization=float(sys.argv[3]),
        alpha=1.0,
        iterations=int(sys.argv[5]),
        random_state=int(sys.argv[6]),
    )
    print("start", flush=True)
    model.fit(matrix, show_progress=False)
    print("end", flush=True)
    np.save(folder / "customers.npy", model.user_factors)
    np.save(folder / "products.npy", model.item_factors)


if __name__ == "__main__":
    main()
