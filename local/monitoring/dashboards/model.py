"""The model, what it knows of the stream, and the batch job."""

from local.monitoring.dashboards.expressions import MODEL_AGE, rate
from local.monitoring.panels import Dashboard, Limits, Query, Row, figure, lines, table

MODEL = Dashboard(
    "model",
    "model and batch",
    [
        Row(
            "Model",
            [
                figure("Age", MODEL_AGE, "s", Limits(2 * 86400, 3 * 86400)),
                figure("Refused", "max(tillstream_recommender_model_refused)", "none", Limits(1, 1)),
                table("Versions that answer", "tillstream_recommender_model_info", width=16),
                lines(
                    "Time to load",
                    Query(
                        "rate(tillstream_recommender_load_seconds_sum[1h])"
                        " / rate(tillstream_recommender_load_seconds_count[1h])",
                        "{{instance}}",
                    ),
                    unit="s",
                ),
                lines(
                    "Refusals in an hour",
                    Query("sum by (fault) (increase(tillstream_recommender_model_refusals_total[1h]))", "{{fault}}"),
                ),
                lines("Failed polls per second", Query(rate("tillstream_recommender_poll_failures_total"), "failed")),
            ],
        ),
        Row(
            "What it knows of the stream",
            [
                lines(
                    "Age of the state",
                    Query("tillstream_recommender_stream_age_seconds", "{{instance}} {{version}}"),
                    unit="s",
                ),
                lines("Lag in records", Query("tillstream_recommender_stream_lag_records", "{{instance}} {{version}}")),
                lines(
                    "Records per second, by outcome",
                    Query(rate("tillstream_recommender_stream_records_total", "outcome"), "{{outcome}}"),
                ),
                lines(
                    "Entries of the state", Query("max by (kind) (tillstream_recommender_state_entries)", "{{kind}}")
                ),
                lines(
                    "Customers forgotten", Query("tillstream_recommender_state_forgotten", "{{instance}} {{version}}")
                ),
                lines(
                    "Interruptions in an hour",
                    Query("sum(increase(tillstream_recommender_stream_failures_total[1h]))", "failures"),
                    Query("sum(increase(tillstream_recommender_stream_resets_total[1h]))", "recreated topics"),
                    Query("sum(increase(tillstream_recommender_stream_lost_records_total[1h]))", "records expired"),
                ),
            ],
        ),
        Row(
            "Batch job: its newest report",
            [
                figure(
                    "Ended",
                    'time() - max(tillstream_job_finished_timestamp_seconds{service="gateway"})',
                    "s",
                    Limits(30 * 3600, 50 * 3600),
                ),
                table("Outcome", "tillstream_job_outcome", width=6),
                table("Gate", "tillstream_job_gate_info", width=14),
                lines("Steps", Query("max by (step) (tillstream_job_step_seconds)", "{{step}}"), unit="s", width=12),
                lines("Records", Query("max by (outcome) (tillstream_job_records)", "{{outcome}}"), width=12),
            ],
        ),
        Row(
            "Live figures against the archive",
            [
                figure(
                    "Figures that differ",
                    'max(tillstream_reconciliation_differences{service="gateway"})',
                    "none",
                    Limits(1, 1),
                ),
                figure(
                    "Compared",
                    'max(tillstream_reconciliation_age_seconds{service="gateway"})',
                    "s",
                    Limits(30 * 3600, 50 * 3600),
                ),
                lines(
                    "Revenue, live less archive, in cents",
                    Query('max(tillstream_reconciliation_drift_cents{service="gateway"})', "cents"),
                ),
                lines(
                    "Lines, live less archive",
                    Query('max(tillstream_reconciliation_drift_events{service="gateway"})', "lines"),
                ),
            ],
        ),
    ],
)
