"""Implicit ALS in one process, exact on both sides: for evaluations that fit many models, and the reference in tests.

The batches of a half-step are independent: threads solve them, one a processor and eight at most. Each is solved the
same way whatever their number, so that the result is the same bit for bit.
"""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from tqdm import tqdm

from recsys.als_half_step import FixedFactors, Floats, batches
from recsys.als_settings import AlsSettings
from recsys.topk import Float32s, Float64s, Int64s

_THREADS = 8
"""At most: each has temporary arrays of some 16 MB, and a container may have fewer processors than its machine."""


def item_factors(customers: Int64s, rows: Int64s, quantity: Float64s, als: AlsSettings) -> Float32s:
    """Factors [rows, rank] of products 0 … max(rows) from distinct pairs of customer and product, quantity > 0."""
    extra = als.alpha * np.log1p(quantity)
    users = [*batches(customers, rows, extra, als.rank)]
    items = [*batches(rows, customers, extra, als.rank)]
    y: Floats = np.random.default_rng(als.seed).normal(scale=als.rank**-0.5, size=(int(rows.max()) + 1, als.rank))
    with ThreadPoolExecutor(min(len(os.sched_getaffinity(0)), _THREADS)) as pool:
        for _ in tqdm(range(als.iterations), desc=f"ALS rank {als.rank}", unit=" iterations"):
            x = FixedFactors(y).solve(users, int(customers.max()) + 1, als.regularisation, pool.map)
            y = FixedFactors(x).solve(items, len(y), als.regularisation, pool.map)
    return y.astype(np.float32)
