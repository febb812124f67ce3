"""Training alone, by each solver and by the library implicit, on the same purchases: wall and CPU time, memory, loss.

python -m bench.training --csv kz.csv.gz                            driver, blocks, mllib, exact (no Spark) and implicit
python -m bench.training --csv kz.csv.gz --trainers blocks,implicit
python -m bench.training --csv kz.csv.gz --trainers blocks --master "local-cluster[2,1,2048]" --lose-executor

Settings are the batch job's (`TILLSTREAM_ALS_*`). The clock runs from the pairs in memory to the factors (of Spark:
written as Parquet files); the start of Spark's session does not count. `--lose-executor` kills one during training.
implicit is installed below `.tillstream/peers/` on the first run. Exit status 1 if a loss of ours differs from another
solver's by more than 0.1 %; implicit minimises another loss: it adds the regularisation once.
"""

import argparse
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bench.machine import machine, table
from bench.peers.builds import implicit_python
from bench.processes import Tree
from local.layout import REPOSITORY, STATE
from recsys.evaluation.als_loss import loss
from recsys.topk import Int64s
from spark import train
from spark.import_csv import import_file, purchases
from spark.session import spark_session
from spark.settings import JobSettings

TRAINERS = ("driver", "blocks", "mllib", "exact", "implicit")
TOLERANCE = 1e-3
LOST_AFTER_S = 5


@dataclass(frozen=True, slots=True)
class Trained:
    """What one training took: seconds, CPU seconds and the largest memory of its processes (bytes); and its loss."""

    seconds: float
    cpu_s: float
    peak_bytes: int
    loss: float


def main(arguments: list[str] | None = None) -> int:
    """Measure; returns the exit status."""
    options = _parser().parse_args(arguments)
    settings = JobSettings()
    folder = (STATE / "bench-training" / options.csv.name.split(".")[0]).resolve()
    prepare(options.csv, folder, settings)
    print(machine())
    print(f"rank {settings.als_rank}, {settings.als_iterations} iterations, {settings.als_blocks} blocks", flush=True)
    commands = {name: command(name, folder, settings, options.master) for name in options.trainers.split(",")}
    trained = {name: measured(argv, folder, settings, options.lose_executor) for name, argv in commands.items()}
    print(table([("", "wall s", "CPU s", "peak MiB", "loss"), *(_row(name, one) for name, one in trained.items())]))
    losses = [one.loss for name, one in trained.items() if name != "implicit"]
    return int(max(losses, default=1.0) > min(losses, default=1.0) * (1 + TOLERANCE))


def _row(name: str, one: Trained) -> tuple[str, ...]:
    return name, f"{one.seconds:.1f}", f"{one.cpu_s:.1f}", f"{one.peak_bytes / 2**20:.0f}", f"{one.loss:,.0f}"


def prepare(csv: Path, folder: Path, settings: JobSettings) -> None:
    """Import the file once: interactions.parquet for Spark, pairs.npz for NumPy."""
    if (folder / "pairs.npz").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    with spark_session(settings) as spark:
        import_file(spark, csv, folder / "raw", folder / "purchases")
        pairs = train.interactions(purchases(spark, folder / "purchases")).toArrow()
    pq.write_table(pairs, folder / "interactions.parquet")
    customers, rows = (_numbers(pairs[column]) for column in ("user_id", "product_id"))
    quantity = pairs["pieces"].to_numpy().astype(np.float64)
    np.savez(folder / "pairs.npz", customers=customers, rows=rows, quantity=quantity)


def _numbers(ids: "pa.ChunkedArray[Any]") -> Int64s:
    """0, 1, 2 … in the order of the ids."""
    return np.asarray(pc.index_in(ids, ids.unique().sort()).to_numpy(), np.int64)


def command(name: str, folder: Path, settings: JobSettings, master: str) -> Sequence[str]:
    """The command of a trainer."""
    if name != "implicit":
        return [sys.executable, "-m", "bench.training_fit", str(folder), name, master]
    als = settings.als
    values = map(str, (als.rank, als.regularisation, als.alpha, als.iterations, als.seed))
    return [str(implicit_python()), "-m", "bench.peers.implicit_als.fit", str(folder), *values]


def measured(argv: Sequence[str], folder: Path, settings: JobSettings, lose_executor: bool) -> Trained:
    """Run a trainer and measure between its `start` and its `end`. Raises CalledProcessError."""
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY) as process:
        assert process.stdout is not None
        tree = Tree(process.pid)
        _wait_for("start", process.stdout)
        began, cpu_before = time.monotonic(), tree.cpu_seconds()
        if lose_executor:
            threading.Timer(LOST_AFTER_S, _kill_an_executor, [tree]).start()
        with tree.watched() as peak:
            _wait_for("end", process.stdout)
        seconds, cpu_s = time.monotonic() - began, tree.cpu_seconds() - cpu_before
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, argv)
    return Trained(seconds, cpu_s, peak.bytes, _loss(folder, settings))


def _wait_for(word: str, lines: IO[str]) -> None:
    """Read up to a line with this word alone; where the trainer ends before, its exit status says so."""
    next((line for line in lines if line.strip() == word), None)


def _kill_an_executor(tree: Tree) -> None:
    executors = tree.running("CoarseGrainedExecutorBackend")
    print(f"{len(executors)} executors run; one is killed", flush=True)
    for pid in executors[:1]:
        os.kill(pid, signal.SIGKILL)


def _loss(folder: Path, settings: JobSettings) -> float:
    pairs = np.load(folder / "pairs.npz")
    factors = (np.load(folder / "customers.npy"), np.load(folder / "products.npy"))
    return loss(pairs["customers"], pairs["rows"], pairs["quantity"], factors, settings.als)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m bench.training", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--csv", type=Path, required=True, help="purchases in the seed layout, plain or .gz")
    parser.add_argument("--trainers", default=",".join(TRAINERS), help=f"default: {','.join(TRAINERS)}")
    parser.add_argument("--master", default="local[*]", help="Spark's master (default: local[*])")
    parser.add_argument("--lose-executor", action="store_true", help="kill one executor of a cluster while it trains")
    return parser


if __name__ == "__main__":
    sys.exit(main())
