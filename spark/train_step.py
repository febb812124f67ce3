"""The step of a run that trains: the tables of a model, made and written by the driver alone or by Spark."""

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from recsys.basket_weights import half_lives_h
from recsys.evaluation.run_evaluation import EvaluationResult
from services.common.model_registry import folder_of
from services.common.object_store import ObjectStore
from spark import curate, driver_tables, features, train
from spark.curate import Curation
from spark.driver_files import write_tables
from spark.folders import CHECKPOINTS, curated_folder, delete_folder
from spark.model_tables import TableInputs, model_tables
from spark.session import blas_in_use, s3a_url
from spark.settings import JobSettings, Solver
from spark.step_log import StepLog
from spark.versions import RunId


@dataclass(frozen=True, slots=True)
class ModelInputs:
    """A model's training data and configuration. `pairs`: rows of `interactions`; `oldest_ms`, `newest_ms`: of the
    purchases, the oldest event time and the event-time watermark."""

    purchases: DataFrame
    interactions: DataFrame
    curation: Curation
    pairs: int
    evaluated: EvaluationResult
    oldest_ms: int
    newest_ms: int


def train_step(
    store: ObjectStore, run_id: RunId, inputs: ModelInputs, settings: JobSettings, step_log: StepLog
) -> None:
    """The model's tables → `models/als/<version>/`."""
    als, solver = inputs.evaluated.config.als, settings.solver_for(inputs.pairs)
    with step_log.step("train") as step:
        if settings.tables_on_driver(inputs.pairs, inputs.curation.accepted):
            write_tables(store, folder_of(run_id.version), tables_on_driver(store, run_id, inputs))
        else:
            write_by_spark(store, run_id, tables_by_spark(store, run_id, inputs, solver), settings.als_blocks)
        by = _in_words(solver, als.blocks, inputs.purchases.sparkSession)
        step.says(f"ALS rank {als.rank}, {als.iterations} iterations over {inputs.pairs:,} pairs, by {by}")


def tables_on_driver(store: ObjectStore, run_id: RunId, inputs: ModelInputs) -> dict[str, pa.Table]:
    """The tables from the run's curated purchases, all of them in this process."""
    config = inputs.evaluated.config
    lines = curate.curated_table(store, curated_folder(run_id), driver_tables.COLUMNS)
    shop = driver_tables.shop_lines(lines, inputs.newest_ms)
    return driver_tables.model_tables(shop, config.als, half_lives_h(config.weights, config.basket))


def tables_by_spark(store: ObjectStore, run_id: RunId, inputs: ModelInputs, solver: Solver) -> dict[str, DataFrame]:
    """The tables as computations of Spark's; the factors are trained here."""
    purchases, interactions, config = inputs.purchases, inputs.interactions, inputs.evaluated.config
    if solver == "mllib":
        checkpoints = s3a_url(store, f"{CHECKPOINTS}{run_id.version}/")
        purchases.sparkSession.sparkContext.setCheckpointDir(checkpoints)
    factors = train.SOLVERS[solver](interactions, config.als)
    products = features.catalogue(purchases).persist()
    half_lives = half_lives_h(config.weights, config.basket)
    return model_tables(TableInputs(factors, purchases, interactions, products, half_lives, inputs.newest_ms))


def write_by_spark(store: ObjectStore, run_id: RunId, tables: Mapping[str, DataFrame], files: int) -> None:
    """Each table as at most so many Parquet files."""
    for name, table in tables.items():
        table.coalesce(files).write.parquet(s3a_url(store, f"{folder_of(run_id.version)}{name}"))
    delete_folder(store, f"{CHECKPOINTS}{run_id.version}/")


def _in_words(solver: Solver, blocks: int, spark: SparkSession) -> str:
    match solver:
        case "driver":
            return "NumPy on the driver"
        case "blocks":
            return f"NumPy in {blocks} blocks"
        case "mllib":
            return f"MLlib with {blas_in_use(spark)}"
