"""One training for `python -m bench.training`, in a process of its own: `… FOLDER SOLVER MASTER`.

Settings are the batch job's (`TILLSTREAM_ALS_*`). Reads interactions.parquet in the folder (`exact`: pairs.npz), writes
customers.npy and products.npy in the order of the ids, and prints `start` before the work and `end` after it.
"""

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recsys.als_half_step import FixedFactors, batches
from recsys.evaluation.numpy_als import item_factors
from recsys.topk import Float32s
from spark import train
from spark.session import spark_session
from spark.settings import JobSettings


def main() -> None:
    """Train by the solver that is asked for."""
    folder, solver, master = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    if solver == "exact":
        _exact(folder)
    else:
        _on_spark(folder, solver, master)


def _exact(folder: Path) -> None:
    """Both sides exact, in float64, on one core."""
    als, pairs = JobSettings().als, np.load(folder / "pairs.npz")
    customers, rows, quantity = pairs["customers"], pairs["rows"], pairs["quantity"]
    print("start", flush=True)
    products = item_factors(customers, rows, quantity, als)
    ratings = batches(customers, rows, als.alpha * np.log1p(quantity), als.rank)
    solved = FixedFactors(products).solve(ratings, int(customers.max()) + 1, als.regularisation)
    print("end", flush=True)
    np.save(folder / "customers.npy", solved)
    np.save(folder / "products.npy", products)


def _on_spark(folder: Path, solver: str, master: str) -> None:
    """From interactions in the executors to factors in Parquet files, as in the batch job."""
    settings = JobSettings.model_validate({"als_solver": solver, "spark_master": master, "spark_dir": folder / "spark"})
    with spark_session(settings) as spark:
        spark.sparkContext.setCheckpointDir((folder / "checkpoints").as_uri())
        interactions = spark.read.parquet((folder / "interactions.parquet").as_uri()).repartition(8).persist()
        pairs = interactions.count()
        print("start", flush=True)
        factors = train.SOLVERS[settings.solver_for(pairs)](interactions, settings.als)
        sides = {"customers": factors.users, "products": factors.products}
        for name, side in sides.items():
            side.write.mode("overwrite").parquet((folder / f"{name}.parquet").as_uri())
        print("end", flush=True)
    for name in sides:
        np.save(folder / f"{name}.npy", _matrix(pq.read_table(folder / f"{name}.parquet")))


def _matrix(table: pa.Table) -> Float32s:
    """The factors [rows, rank] in the order of the ids."""
    table = table.sort_by(table.column_names[0])
    values = pc.list_flatten(table["factors"]).to_numpy()
    return np.asarray(values.reshape(len(table), -1), np.float32)


if __name__ == "__main__":
    main()
