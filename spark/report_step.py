"""The step of a run that reports: the batch figures, computed by the driver alone or by Spark."""

from pyspark.sql import DataFrame

from services.common.conditional_write import encode, put_once
from services.common.object_store import ObjectStore
from services.common.times import format_time
from spark import curate, driver_figures, figures, publish
from spark.curate import Curation
from spark.driver_files import write_tables
from spark.figures import REPORTED, Json
from spark.folders import REPORTS, curated_folder
from spark.session import s3a_url
from spark.settings import JobSettings
from spark.step_log import StepLog
from spark.versions import RunId


def report_step(
    store: ObjectStore,
    run_id: RunId,
    purchases: DataFrame,
    curation: Curation,
    no_model: str | None,
    settings: JobSettings,
    step_log: StepLog,
) -> None:
    """The batch figures → `reports/<version>/`, `figures.json` last; then `reports/latest.json`."""
    with step_log.step("report") as step:
        if curation.accepted <= settings.driver_lines:
            batch_figures = on_driver(store, run_id, curation, settings.time_zone)
        else:
            batch_figures = by_spark(store, run_id, purchases, curation, settings.time_zone)
        document = {
            "version": run_id.version,
            "created_at": format_time(run_id.started_ms),
            "currency": settings.currency,
            "curated": curated_folder(run_id),
            "no_model": no_model,
            **batch_figures,
        }
        put_once(store, f"{_folder(run_id)}figures.json", encode(document))
        publish.move_forward(store, f"{REPORTS}latest.json", {"version": run_id.version})
        totals = batch_figures["totals"]
        step.says(
            f"revenue {totals['revenue']} {settings.currency}, quantity {totals['quantity']:,}, "
            f"{totals['orders']:,} orders, {totals['buyers']:,} buyers"
        )


def on_driver(store: ObjectStore, run_id: RunId, curation: Curation, time_zone: str) -> Json:
    """The figures from the run's curated purchases, in this process. Writes the tables of products and customers."""
    lines = driver_figures.coded(curate.curated_table(store, curated_folder(run_id), REPORTED), time_zone)
    write_tables(store, _folder(run_id), driver_figures.tables(lines))
    return driver_figures.figures(lines, curation, time_zone)


def by_spark(store: ObjectStore, run_id: RunId, purchases: DataFrame, curation: Curation, time_zone: str) -> Json:
    """The same as computations of Spark's."""
    lines = figures.by_order(purchases).persist()
    try:
        for name, column in figures.TABLES.items():
            figures.table(lines, column).write.parquet(s3a_url(store, f"{_folder(run_id)}{name}"))
        return figures.figures(lines, curation, time_zone)
    finally:
        lines.unpersist()


def _folder(run_id: RunId) -> str:
    return f"{REPORTS}{run_id.version}/"
