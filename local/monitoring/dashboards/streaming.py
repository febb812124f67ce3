"""From Kafka to the live tables and the archive."""

from local.monitoring.dashboards.expressions import quantile, rate
from local.monitoring.panels import Dashboard, Query, Row, lines

STREAMING = Dashboard(
    "streaming",
    "streaming",
    [
        Row(
            "Lag of the figures, as the gateway measures it",
            [
                lines(
                    "In seconds",
                    Query("max by (partition) (tillstream_gateway_lag_seconds)", "{{partition}}"),
                    unit="s",
                ),
                lines("In records", Query("max by (partition) (tillstream_gateway_lag_records)", "{{partition}}")),
                lines(
                    "Without progress",
                    Query("max by (partition) (tillstream_gateway_stalled_seconds)", "{{partition}}"),
                    unit="s",
                    about="Time since the applied offset moved while records wait.",
                ),
            ],
        ),
        Row(
            "Aggregator",
            [
                lines(
                    "From arrival to visible",
                    Query(quantile(0.5, "tillstream_aggregator_delay_seconds"), "median"),
                    Query(quantile(0.99, "tillstream_aggregator_delay_seconds"), "99 %"),
                    Query("max(tillstream_aggregator_freshness_seconds)", "newest chunk"),
                    unit="s",
                ),
                lines(
                    "Age of the applied offset",
                    Query(
                        "time() - max by (topic, partition) (tillstream_aggregator_applied_timestamp_seconds)",
                        "{{topic}}/{{partition}}",
                    ),
                    unit="s",
                    about="It also grows where no record comes in: compare with the lag.",
                ),
                lines(
                    "Lag by topic and partition", Query("tillstream_aggregator_lag_records", "{{topic}}/{{partition}}")
                ),
                lines(
                    "Records of a batch",
                    Query(quantile(0.5, "tillstream_aggregator_batch_records"), "median"),
                    Query(quantile(0.99, "tillstream_aggregator_batch_records"), "99 %"),
                ),
                lines(
                    "One script call",
                    Query(quantile(0.5, "tillstream_aggregator_script_seconds"), "median, with the network"),
                    Query(quantile(0.99, "tillstream_aggregator_script_seconds"), "99 %, with the network"),
                    unit="s",
                ),
                lines(
                    "Lines per second",
                    Query(rate("tillstream_aggregator_lines_total"), "counted"),
                    Query(rate("tillstream_aggregator_repeats_total"), "repeats"),
                    Query(rate("tillstream_aggregator_refetched_records_total"), "fetched again"),
                    Query(rate("tillstream_aggregator_other_lines_total"), "under other"),
                ),
                lines(
                    "Conflicts per second",
                    Query(rate("tillstream_aggregator_mark_mismatches_total"), "offset"),
                    Query(rate("tillstream_aggregator_order_conflicts_total"), "order"),
                ),
                lines(
                    "Rebalances in five minutes",
                    Query("sum by (service) (increase(tillstream_rebalances_total[5m]))", "{{service}}"),
                ),
                lines(
                    "Time to read a snapshot of the figures",
                    Query('max(tillstream_aggregator_snapshot_read_seconds{service="aggregator"})', "newest"),
                    unit="s",
                ),
                lines(
                    "Snapshots in an hour",
                    Query("sum(increase(tillstream_aggregator_snapshots_total[1h]))", "stored"),
                    Query("sum(increase(tillstream_aggregator_snapshot_failures_total[1h]))", "failed"),
                ),
            ],
        ),
        Row(
            "Dead letters",
            [
                lines(
                    "Per second, by reason",
                    Query(rate("tillstream_aggregator_dead_letters_total", "reason"), "{{reason}}"),
                    Query(rate("tillstream_producer_dead_letters_total", "reason"), "{{reason}} (producer)"),
                ),
                lines(
                    "Share of a source's newest records",
                    Query("tillstream_dead_letters_ratio", "{{source}}"),
                    unit="percentunit",
                ),
                lines("In a row", Query("tillstream_dead_letters_run", "{{source}}")),
            ],
        ),
        Row(
            "Archiver",
            [
                lines(
                    "Age of the oldest record not in S3",
                    Query('max by (partition) (tillstream_archiver_open_seconds{service="archiver"})', "{{partition}}"),
                    unit="s",
                ),
                lines("Lag in records", Query("max by (partition) (tillstream_archiver_lag_records)", "{{partition}}")),
                lines("Bytes per second", Query(rate("tillstream_archiver_bytes_total"), "compressed"), unit="Bps"),
                lines("Objects per minute", Query(f"60 * {rate('tillstream_archiver_objects_total')}", "objects")),
                lines("Failed calls to S3 per second", Query(rate("tillstream_archiver_s3_failures_total"), "failed")),
                lines(
                    "Records lost",
                    Query("sum(tillstream_archiver_lost_records_total)", "before they were archived"),
                    Query("sum(tillstream_aggregator_missing_records_total)", "missing in the figures"),
                ),
            ],
        ),
    ],
)
